"""Each answer counts once: replays, second windows, revisions, drafts, other people's forms."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.unit.data.annotation.builders import Site, make_site, make_task, rows, sent

pytestmark = pytest.mark.usefixtures("reads_quickly")


def test_a_page_that_is_sent_twice_counts_once(site: Site) -> None:
    browser = site.client("ada")
    form = browser.task().ranked(1, 2, 3, 4)
    for _ in range(3):
        assert "Your ranking is saved" in sent(browser, form)
    assert len(rows(site)) == 1
    answer = browser.post("/submit", data={**form, "tier.A": "4"})
    assert answer.status_code == 409
    assert "already answered" in answer.text
    assert rows(site)[0]["tiers"][rows(site)[0]["display_order"][0]] == 1


def test_a_second_window_does_not_answer_a_set_again(site: Site) -> None:
    browser = site.client("ada")
    first, second = browser.task(), browser.task()
    assert first.fields["event_id"] != second.fields["event_id"]
    sent(browser, first.ranked(1, 2, 3, 4))
    assert browser.post("/submit", data=second.ranked(4, 3, 2, 1)).status_code == 409
    assert len(rows(site)) == 1


def test_somebody_elses_set_cannot_be_answered(tmp_path: Path) -> None:
    # Each set is wanted once, so that the two people hold different ones.
    tasks = [make_task(1), make_task(2)]
    site = make_site(tmp_path, tasks, ada="annotator", bob="annotator")
    ada, bob = site.client("ada"), site.client("bob")
    form = ada.task().ranked(1, 2, 3, 4)
    csrf = bob.csrf()
    assert bob.post("/submit", data={**form, "csrf": csrf}).status_code == 409
    assert bob.post("/submit", data={**form, "csrf": csrf, "set_id": "s_9"}).status_code == 409
    assert rows(site) == []


def test_a_form_filled_in_for_other_texts_is_refused(site: Site) -> None:
    browser = site.client("ada")
    form = browser.task().ranked(1, 2, 3, 4, shown="0" * 64)
    assert browser.post("/submit", data=form).status_code == 409
    assert rows(site) == []


def test_the_last_answer_can_be_changed_more_than_once(site: Site) -> None:
    browser = site.client("ada")
    sent(browser, browser.task().ranked(1, 2, 3, 4, **{"quality.A": "7"}))
    last = browser.task("/last")
    assert [last.fields[f"tier.{letter}"] for letter in "ABCD"] == ["1", "2", "3", "4"]
    assert last.fields["quality.A"] == "7"
    assert "last answer is changed" in sent(browser, last.ranked(2, 2, 1, 3))
    sent(browser, browser.task("/last").ranked(action="not_rankable"))
    first, second, third = rows(site)
    assert [it["revision"] for it in (first, second, third)] == [1, 2, 3]
    assert second["supersedes"] == first["event_id"]
    assert third["supersedes"] == second["event_id"]
    assert second["started_at"] == first["started_at"]
    assert third["outcome"] == "not_rankable"
    stale = browser.post("/submit", data=last.ranked(1, 1, 1, 1, event_id=first["event_id"][::-1]))
    assert stale.status_code in (400, 409)
    assert len(rows(site)) == 3


def test_there_is_no_last_answer_at_first(site: Site) -> None:
    browser = site.client("ada")
    assert browser.get("/last").status_code == 404
    assert "Change my last answer" not in browser.task().html


def test_a_draft_comes_back_with_everything(site: Site) -> None:
    browser = site.client("ada")
    form = browser.task().ranked(3, 1, **{"quality.B": "6", "flag.A": "opinion"})
    form |= {"skip_reason": "expertise", "rev": "1", "active_ms": "1234"}
    answer = browser.post("/draft", data=form, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()) == (200, {"saved": True})
    again = site.client("ada").task()
    assert again.texts == browser.task().texts
    assert [again.fields[f"tier.{letter}"] for letter in "ABCD"] == ["3", "1", "", ""]
    assert again.fields["quality.B"] == "6"
    assert (again.fields["rev"], again.fields["active_ms"]) == ("1", "1234")
    assert 'name="flag.A" value="opinion" checked' in again.html
    assert '<option value="expertise" selected>' in again.html
    assert "data-restored" in again.html
    assert rows(site) == []


def test_an_overtaken_draft_is_told_and_a_draft_after_the_answer_too(site: Site) -> None:
    browser, as_json = site.client("ada"), {"Accept": "application/json"}
    task = browser.task()
    for rev, status in (("2", 200), ("1", 409), ("2", 409), ("3", 200)):
        form = task.ranked(1, rev=rev)
        assert browser.post("/draft", data=form, headers=as_json).status_code == status
    sent(browser, task.ranked(1, 2, 3, 4))
    late = browser.post("/draft", data=task.ranked(2, rev="9"), headers=as_json)
    assert (late.status_code, late.json()) == (409, {"reason": "lost"})


@pytest.mark.parametrize("rev", ["", "-1", "x", str(10**20), "9" * 5000])
def test_a_draft_that_no_script_of_ours_counted_is_refused(site: Site, rev: str) -> None:
    browser, as_json = site.client("ada"), {"Accept": "application/json"}
    answer = browser.post("/draft", data=browser.task().ranked(1, rev=rev), headers=as_json)
    assert (answer.status_code, answer.json()) == (400, {"reason": "form"})


def test_without_javascript_a_button_keeps_the_draft(site: Site) -> None:
    browser = site.client("ada")
    for tiers in ((1,), (1, 2)):
        form = browser.task().ranked(*tiers, action="draft", active_ms="")
        assert "You can close this page" in sent(browser, form, "/draft")
    fields = browser.task().fields
    assert [fields[f"tier.{letter}"] for letter in "ABCD"] == ["1", "2", "", ""]


def test_time_is_never_more_than_the_clock_of_the_server_saw(site: Site) -> None:
    browser = site.client("ada")
    sent(browser, browser.task().ranked(1, 2, 3, 4, active_ms="4000000000"))
    sent(browser, browser.task().ranked(1, 2, 3, 4, active_ms=""))
    for row in rows(site):
        wall = datetime.fromisoformat(row["submitted_at"]) - datetime.fromisoformat(
            row["started_at"]
        )
        assert row["active_ms"] <= wall.total_seconds() * 1000
        assert row["active_ms"] > 0


@pytest.mark.parametrize(
    "change",
    [
        {"action": "steal"},
        {"event_id": "1"},
        {"revision": ""},
        {"revision": "²"},
        {"action": ""},
        {"revision": "9" * 5000},
    ],
)
def test_a_form_that_is_not_ours_is_refused(site: Site, change: dict[str, str]) -> None:
    browser = site.client("ada")
    answer = browser.post("/submit", data=browser.task().ranked(1, 2, 3, 4) | change)
    assert answer.status_code == 400
    assert rows(site) == []


def test_a_locked_inbox_is_said_and_the_form_can_be_sent_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data.inbox.connection import InboxBusyError

    browser = site.client("ada")
    form = browser.task().ranked(1, 2, 3, 4)

    def busy(*_: object, **__: object) -> None:
        raise InboxBusyError("locked")

    with monkeypatch.context() as patch:
        patch.setattr("data.inbox.assignments.submit", busy)
        assert browser.post("/submit", data=form).status_code == 503
    assert "Your ranking is saved" in sent(browser, form)
