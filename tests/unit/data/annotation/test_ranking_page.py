"""What an annotator sees and sends, and what the inbox holds afterwards; no JavaScript anywhere."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.annotation.answers import SKIP_REASONS
from data.inbox import accounts, batches, events
from data.inbox.connection import open_inbox
from data.tiers import FLAGS
from tests.unit.data.annotation.builders import (
    BATCH,
    GENERATOR,
    PROMPT,
    RESPONSES,
    Site,
    TaskForm,
    make_batch,
    make_site,
    make_task,
    rows,
    sent,
)

pytestmark = pytest.mark.usefixtures("reads_quickly")

LONG = tuple("word " * 400 + str(i) for i in range(4))


def orders(site: Site, annotator_id: str) -> list[list[str]]:
    """The recorded orders of what was handed out, as texts."""
    with open_inbox(site.inbox) as con:
        handed = [json.loads(it.payload) for it in events.read(con, types={"handed_out"})]
    return [
        [RESPONSES[int(it.rpartition("_")[2])] for it in one["display_order"]]
        for one in handed
        if one["annotator_id"] == annotator_id
    ]


def test_a_ranking_is_stored_as_it_was_given(site: Site) -> None:
    browser = site.client("ada")
    task = browser.task()
    more = {"quality.A": "2", "quality.B": "6", "flag.A": ["hallucination", "opinion"]}
    assert "Your ranking is saved" in sent(browser, task.ranked(2, 1, 3, 3, **more))
    (row,) = rows(site)
    ids = row["display_order"]
    assert [RESPONSES[int(it.rpartition("_")[2])] for it in ids] == task.texts
    assert row["tiers"] == dict(zip(ids, [2, 1, 3, 3], strict=True))
    assert row["quality"] == {ids[0]: 2, ids[1]: 6}
    assert row["flags"] == {ids[0]: ["hallucination", "opinion"]}
    assert (row["outcome"], row["coverage"], row["revision"]) == ("ranked", "full", 1)
    assert row["touched"] is True


def test_the_order_on_the_page_was_recorded_before(site: Site) -> None:
    for name in ("ada", "bob"):
        assert site.client(name).task().texts == orders(site, name)[0]


def test_orders_differ_between_annotators(tmp_path: Path) -> None:
    """24 orders of 4 responses: that 8 people all see one has the chance 24^-7."""
    people = {f"ann_{i}": "annotator" for i in range(8)}
    site = make_site(tmp_path, [make_task(1, want=8)], **people)
    assert len({tuple(site.client(name).task().texts) for name in people}) > 1


def test_every_response_starts_not_ranked(site: Site) -> None:
    task = site.client("ada").task()
    assert {name: value for name, value in task.fields.items() if name.startswith("tier.")} == {
        f"tier.{letter}": "" for letter in "ABCD"
    }
    assert 'value="" checked' in task.html


def test_no_page_names_who_wrote_a_response(site: Site) -> None:
    browser = site.client("bob")
    task = browser.task()
    browser.post("/submit", data=task.ranked(1, 2, 3, 4))
    for path in ("/", "/last", "/lead", "/guidelines"):
        html = browser.get(path).text
        assert GENERATOR not in html, path
        assert "r_1_" not in html, path
        assert "r_2_" not in html, path


def test_gaps_are_closed_and_said(site: Site) -> None:
    browser = site.client("ada")
    html = sent(browser, browser.task().ranked(1, 3, 3, 4))
    assert "had gaps" in html
    assert sorted(rows(site)[0]["tiers"].values()) == [1, 2, 2, 3]
    html = sent(browser, browser.task().ranked(1, 2, 2, 3))
    assert "had gaps" not in html


def test_a_missing_rank_is_named_and_nothing_else_is_lost(site: Site) -> None:
    browser = site.client("ada")
    form = browser.task().ranked(1, 2, **{"quality.A": "5", "flag.B": "opinion"})
    answer = browser.post("/submit", data=form)
    assert answer.status_code == 422
    assert "Response C has no rank" in answer.text
    assert "Response D has no rank" in answer.text
    again = TaskForm(answer.text)
    assert (again.fields["tier.A"], again.fields["tier.B"]) == ("1", "2")
    assert again.fields["quality.A"] == "5"
    assert 'name="flag.B" value="opinion" checked' in answer.text
    assert rows(site) == []


@pytest.mark.parametrize("reason", SKIP_REASONS)
def test_a_skip_has_a_reason(site: Site, reason: str) -> None:
    browser = site.client("ada")
    form = browser.task().ranked(action="skipped", skip_reason=reason)
    assert "Skipped." in sent(browser, form)
    (row,) = rows(site)
    assert (row["outcome"], row["skip_reason"]) == ("skipped", reason)
    assert "tiers" not in row


@pytest.mark.parametrize("reason", ["", "because"])
def test_a_skip_without_a_reason_of_the_list_is_not_stored(site: Site, reason: str) -> None:
    browser = site.client("ada")
    answer = browser.post(
        "/submit", data=browser.task().ranked(action="skipped", skip_reason=reason)
    )
    assert answer.status_code == 422
    assert "Choose a reason" in answer.text
    assert rows(site) == []


def test_none_is_acceptable_is_an_answer(site: Site) -> None:
    browser = site.client("ada")
    form = browser.task().ranked(action="not_rankable", **{"flag.A": "encourages_harm"})
    assert "none is acceptable" in sent(browser, form)
    assert rows(site)[0]["outcome"] == "not_rankable"


def test_all_flags_of_the_list_can_be_set_and_no_other(site: Site) -> None:
    browser = site.client("ada")
    task = browser.task()
    for flag in FLAGS:
        assert f'name="flag.A" value="{flag}"' in task.html
    answer = browser.post("/submit", data=task.ranked(1, 2, 3, 4, **{"flag.A": "boring"}))
    assert answer.status_code == 422
    assert "unknown flag: boring" in answer.text


def test_an_answer_too_quick_to_be_read_is_kept_and_held(tmp_path: Path) -> None:
    site = make_site(tmp_path, [make_task(1, texts=LONG)])
    browser = site.client("ada")
    sent(browser, browser.task().ranked(1, 2, 3, 4))
    with open_inbox(site.inbox) as con:
        progress = batches.progress(con, BATCH, now=datetime.now(UTC))
    assert (progress.held, progress.have, len(rows(site))) == (1, 0, 1)


def test_only_a_lead_is_told_that_an_answer_was_too_quick(tmp_path: Path) -> None:
    tasks = [make_task(1, texts=LONG, want=2)]
    site = make_site(tmp_path, tasks, ada="annotator", lea="lead")
    for name, is_told in (("ada", False), ("lea", True)):
        browser = site.client(name)
        html = sent(browser, browser.task().ranked(1, 2, 3, 4))
        assert ("It is held" in html) is is_told


def test_a_batch_may_allow_that_the_worst_are_left_out(tmp_path: Path) -> None:
    site = make_site(tmp_path, [make_task(1), make_task(2)], make_batch(allow_top=True))
    browser = site.client("ada")
    task = browser.task()
    assert "data-allow-top" in task.html
    assert browser.post("/submit", data=task.ranked()).status_code == 422
    sent(browser, task.ranked(1, 2))
    sent(browser, browser.task().ranked(1, 2, 3, 4))
    assert [it["coverage"] for it in rows(site)] == ["top", "full"]


def test_the_queue_ends_with_thanks_and_what_comes_next(site: Site) -> None:
    browser = site.client("ada")
    task = browser.task()
    assert "You have done 0. Left for you: 2." in task.html
    sent(browser, task.ranked(1, 2, 3, 4))
    html = sent(browser, browser.task().ranked(1, 2, 3, 4))
    assert "Nothing left for you now" in html
    assert "You have answered 2" in html
    assert "Other people are still ranking" in html


@pytest.mark.parametrize("role", ["lead", "annotator"])
def test_a_lead_is_told_the_way_out_where_nobody_can_rank_what_is_left(
    tmp_path: Path, role: str
) -> None:
    # Guards: "other people are still ranking" where there is nobody else.
    site = make_site(tmp_path, [make_task(1, want=2)], ada=role)
    browser = site.client("ada")
    html = sent(browser, browser.task().ranked(1, 2, 3, 4))
    assert ("Other people are still ranking" in html) == (role == "annotator")
    assert ("rlhf annotators add" in html) == (role == "lead")
    with open_inbox(site.inbox) as con:
        accounts.add(con, "eve", now=datetime.now(UTC))
    assert "Other people are still ranking" in browser.get("/").text


def test_all_are_told_when_only_a_lead_can_go_on(tmp_path: Path) -> None:
    browser = make_site(tmp_path, [make_task(1)], ada="annotator").client("ada")
    contradiction = {"quality.A": "1", "quality.B": "7"}
    html = sent(browser, browser.task().ranked(1, 2, 3, 4, **contradiction))
    assert "goes on when a lead has decided on them" in html


def test_an_empty_inbox_says_so(tmp_path: Path) -> None:
    site = make_site(tmp_path, [], ada="lead")
    browser = site.client("ada")
    assert "No sets are published" in browser.get("/").text
    assert "No batch is published yet" in browser.get("/lead").text


def test_the_daily_limit_is_said(tmp_path: Path) -> None:
    site = make_site(tmp_path, [make_task(1), make_task(2)])
    with open_inbox(site.inbox) as con:
        token = accounts.add(con, "eve", now=datetime.now(UTC), max_per_day=1)
    browser = site.client()
    browser.enter(token)
    task = browser.task()
    assert "Left today: 1." in task.html
    assert "that one person gives in a day" in sent(browser, task.ranked(1, 2, 3, 4))


def test_whoever_gives_the_last_ranking_that_is_needed_may_stop(tmp_path: Path) -> None:
    site = make_site(tmp_path, [make_task(i) for i in (1, 2, 3)], make_batch(wanted=2))
    browser = site.client("ada")
    assert "enough rankings" not in sent(browser, browser.task().ranked(1, 2, 3, 4))
    assert "There are enough rankings now" in sent(browser, browser.task().ranked(1, 2, 3, 4))
    assert "enough rankings" not in browser.task().html, "said once"


def test_enough_rankings_end_the_queue(tmp_path: Path) -> None:
    site = make_site(tmp_path, [make_task(1)], make_batch(wanted=1))
    browser = site.client("ada")
    assert "There are enough rankings" in sent(browser, browser.task().ranked(1, 2, 3, 4))


def test_an_answer_to_a_batch_that_was_trained_on_is_kept_and_said(site: Site) -> None:
    browser = site.client("ada")
    task = browser.task()
    with open_inbox(site.inbox) as con:
        batches.finish(con, BATCH, events.head(con), now=datetime.now(UTC))
    html = sent(browser, task.ranked(1, 2, 3, 4))
    assert "Your ranking is saved." in html
    assert "the next run takes it in" in html
    assert len(rows(site)) == 1
    html = sent(browser, browser.task("/last").ranked(2, 1, 3, 4))
    assert "the next run takes it in" in html


def test_texts_of_models_are_text(tmp_path: Path) -> None:
    hostile = (
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        '"><svg onload=alert(1)>',
        "{{ 7 * 7 }} {% raw %} ${7*7}",
    )
    site = make_site(tmp_path, [make_task(1, texts=hostile, prompt="</div><script>x</script>")])
    task = site.client("ada").task()
    assert sorted(task.texts) == sorted(hostile)
    assert "<img src=x" not in task.html
    assert "</div><script>x" not in task.html
    assert "49" not in task.html.partition('class="prompt"')[2].partition("ranks")[0]


def test_both_languages_of_every_page(site: Site) -> None:
    browser = site.client("bob")
    for path in ("/", "/guidelines", "/lead", "/enter/x"):
        chinese = browser.get(f"{path}?lang=zh").text
        assert '<html lang="zh-Hans">' in chinese
        assert '<html lang="zh-Hans">' in browser.get(path).text, "the cookie remembers"
        assert '<html lang="en">' in browser.get(f"{path}?lang=en").text


def test_a_form_that_came_back_has_its_page_in_the_other_language(site: Site) -> None:
    browser = site.client("ada")
    answer = browser.post("/submit", data=browser.task().ranked(1))
    assert answer.status_code == 422
    assert 'href="/?lang=zh"' in answer.text
    sent(browser, browser.task().ranked(1, 2, 3, 4))
    without_reason = browser.task("/last").ranked(1, action="skipped", skip_reason="")
    answer = browser.post("/submit", data=without_reason)
    assert answer.status_code == 422
    assert 'href="/last?lang=zh"' in answer.text
    refused = browser.post("/submit", data={**browser.task("/last").fields, "set_id": "s_none"})
    assert refused.status_code == 400
    assert 'href="/?lang=zh"' in refused.text
    assert 'href="?lang=zh"' in browser.get("/guidelines").text


def test_guidelines_of_another_version_are_asked_for(tmp_path: Path) -> None:
    batch = make_batch(guideline_version="7")
    site = make_site(tmp_path, [make_task(1, guideline_version="7")], batch)
    browser = site.client("ada")
    assert "Guidelines, version 7" in browser.task().html
    assert "ask for version 7" in browser.get("/guidelines").text


def test_a_dialogue_shows_who_speaks(site: Site) -> None:
    html = site.client("ada").task().html
    assert PROMPT in html
    assert "Instruction to the assistant" not in html
