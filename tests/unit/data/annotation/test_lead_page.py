"""What a lead sees and decides."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.inbox import batches, decisions, events, mirror
from data.inbox.connection import open_inbox
from tests.unit.data.annotation.builders import (
    BATCH,
    Browser,
    Site,
    make_batch,
    make_site,
    make_task,
)

pytestmark = pytest.mark.usefixtures("reads_quickly")

FIGURES = {
    "mutual_agreement": {"value": 0.714, "low": 0.6, "high": 0.81, "n": 40},
    "alpha": {"value": None, "low": None, "high": None, "n": 0},
    "something_new": {"value": 12.34, "low": None, "high": None, "n": 3},
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    batch = make_batch(deadline=datetime(2031, 5, 6, 7, 8, tzinfo=UTC))
    return make_site(tmp_path, [make_task(1), make_task(2)], batch, ada="annotator", lea="lead")


def put(site: Site, key: str, value: object) -> None:
    with open_inbox(site.inbox) as con:
        mirror.put(con, f"{key}:{BATCH}", json.dumps(value), now=datetime.now(UTC))


def answer_one(site: Site) -> str:
    """Let ada answer one set; returns the event id."""
    browser = site.client("ada")
    form = browser.task().ranked(1, 2, 3, 4)
    browser.post("/submit", data=form)
    return str(form["event_id"])


def held_row(event_id: str) -> dict[str, object]:
    return {
        "event_id": event_id,
        "annotator_id": "ada",
        "set_id": "s_0001",
        "reason": "TOO_FAST",
        "detail": "3000 ms for <u>400</u> words",
        "resolution": None,
        "active_ms": 3000,
        "messages": [{"role": "user", "content": "<b>asked</b>"}],
        "responses": [
            {"response_id": "r_1_0", "text": "first <i>", "tier": 1},
            {"response_id": "r_1_1", "text": "second", "tier": None},
        ],
    }


def decide(browser: Browser, event_id: str, decision: str, batch_id: str = BATCH) -> object:
    csrf = browser.csrf()
    form = {"csrf": csrf, "batch_id": batch_id, "event_id": event_id, "decision": decision}
    return browser.post("/lead/decide", data=form)


def test_progress_gate_and_people_are_there_without_any_figure(site: Site) -> None:
    answer_one(site)
    html = site.client("lea").get("/lead").text
    assert "1 of 10" in html
    assert "1 of 2" in html
    assert "2031-05-06 07:08 UTC" in html
    assert "No figures yet" in html
    assert "No ranking waits for a decision" in html


def test_held_rankings_that_no_run_has_read_are_told_too_quick(site: Site) -> None:
    answer_one(site)
    assert "the pipeline has not read them yet" in site.client("lea").get("/lead").text


def test_people_are_listed_with_what_they_did(site: Site) -> None:
    answer_one(site)
    html = site.client("lea").get("/lead").text
    assert "ada" in html


def test_figures_are_shown_where_there_are_some(site: Site) -> None:
    person = {"annotator_id": "ada", "answers": 7, "figures": {"quality": FIGURES["alpha"]}}
    references = {"mutual_agreement": 0.726}
    statistics = {"figures": FIGURES, "references": references, "annotators": [person]}
    put(site, "statistics", statistics)
    html = site.client("lea").get("/lead").text
    assert "0.71" in html
    assert "[0.60, 0.81]" in html
    assert "InstructGPT&#39;s labellers: 0.73" in html
    assert "Krippendorff" not in html, "no value, no row"
    assert "something_new" in html
    assert "Quality (Dawid-Skene)" in html


def test_a_held_ranking_is_accepted_or_discarded_by_an_event(site: Site) -> None:
    event_id = answer_one(site)
    put(site, "held", [held_row(event_id), held_row("x") | {"resolution": "accepted"}])
    browser = site.client("lea")
    html = browser.get("/lead").text
    assert "Faster than it can be read" in html
    assert "&lt;b&gt;asked" in html
    assert "<u>" not in html
    assert html.count('action="/lead/decide"') == 1
    assert "Discarded." in decide(browser, event_id, "discard").text
    assert "discarded, waits for the pipeline" in browser.get("/lead").text
    decide(browser, event_id, "accept")
    with open_inbox(site.inbox) as con:
        assert decisions.read_decisions(con, BATCH) == {event_id: "accept"}
        log = [json.loads(it.payload) for it in events.read(con, types={"decision"})]
    assert [(it["action"], it["by"]) for it in log] == [("discard", "lea"), ("accept", "lea")]


def test_a_discarded_ranking_goes_back_into_the_queue(site: Site) -> None:
    event_id = answer_one(site)
    decide(site.client("lea"), event_id, "discard")
    with open_inbox(site.inbox) as con:
        progress = batches.progress(con, BATCH, now=datetime.now(UTC))
    assert (progress.have, progress.discarded) == (0, 1)


@pytest.mark.parametrize(
    ("event_id", "decision", "batch_id", "status"),
    [
        ("00000000-0000-0000-0000-000000000000", "accept", BATCH, 404),
        ("00000000-0000-0000-0000-000000000000", "accept", "b_none", 404),
        ("00000000-0000-0000-0000-000000000000", "maybe", BATCH, 400),
    ],
)
def test_a_decision_on_nothing_is_refused(
    site: Site, event_id: str, decision: str, batch_id: str, status: int
) -> None:
    assert decide(site.client("lea"), event_id, decision, batch_id).status_code == status


def test_the_pipeline_is_asked_to_read_and_says_how_it_went(site: Site) -> None:
    browser = site.client("lea")
    csrf = browser.csrf()
    form = {"csrf": csrf, "batch_id": BATCH}
    assert "Asked for" in browser.post("/lead/refresh", data=form).text
    with open_inbox(site.inbox) as con:
        asked = json.loads(mirror.get(con, f"refresh:{BATCH}"))
    assert datetime.now(UTC) - datetime.fromisoformat(asked["at"]) < timedelta(minutes=1)
    for exit_code, text in ((0, "up to your last request"), (1, "could not read them")):
        put(site, "refresh", asked | {"done_at": asked["at"], "exit_code": exit_code})
        assert text in browser.get("/lead").text
    assert "/lead/refresh" in browser.get("/lead").text
    assert browser.post("/lead/refresh", data=form | {"batch_id": "b_none"}).status_code == 404
    with open_inbox(site.inbox) as con:
        batches.withdraw(con, BATCH, now=datetime.now(UTC))
    assert "/lead/refresh" not in browser.get("/lead").text
