"""Batches: published once, renewed, counted, finished; a lead's decisions; answers carried over."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from data.inbox import accounts, assignments, batches, chain, decisions, events
from data.inbox.assignments import Assignment, Result
from data.inbox.connection import open_inbox
from data.sets import parse_set
from tests.unit.data.inbox.builders import (
    BATCH,
    NOW,
    answer,
    make_batch,
    make_inbox,
    make_row,
    make_task,
)

DAY = timedelta(days=1)
OTHER = "b_00000000000other"


@pytest.fixture
def con(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """One batch of s1 (wants two answers), s2 and a gold set; ann, bob, eve and the lead boss."""
    tasks = [make_task("s1", want=2), make_task("s2"), make_task("g1", purpose="gold")]
    make_inbox(tmp_path / "inbox.sqlite", tasks, "ann", "bob", "eve", wanted=2)
    with open_inbox(tmp_path / "inbox.sqlite") as con:
        yield con


def give(con: sqlite3.Connection, who: str) -> Assignment:
    given = assignments.next_task(con, who, now=NOW)
    assert given is not None
    return given


def see(con: sqlite3.Connection, set_id: str, who: str, batch: str = BATCH) -> Assignment:
    found = assignments.find(con, batch, set_id, who)
    assert found is not None
    return found


def answer_all(con: sqlite3.Connection, who: str) -> None:
    while (given := assignments.next_task(con, who, now=NOW)) is not None:
        answer(con, given)


def ids_of(con: sqlite3.Connection, batch: str, kind: str = "ranking") -> list[str]:
    return [it.event_id for it in events.read(con, batch_id=batch, types=[kind])]


def test_publishing_twice_keeps_the_tasks_and_renews_the_wishes(con: sqlite3.Connection) -> None:
    batches.withdraw(con, BATCH, now=NOW)
    renewed = make_batch(wanted=9, deadline=NOW + DAY, config='{"a": 1}', name="again")
    assert not batches.publish(con, renewed, [make_task("s9")], now=NOW + DAY)
    found = batches.find_batch(con, BATCH)
    assert found is not None
    assert (found.wanted, found.deadline, found.config) == (9, NOW + DAY, '{"a": 1}')
    assert (found.name, found.published_at, found.withdrawn_at) == ("again", NOW, None)
    assert [it.set_id for it in batches.read_tasks(con, BATCH)] == ["s1", "s2", "g1"]
    assert len(ids_of(con, BATCH, "published")) == 1


def test_a_publish_that_fails_leaves_nothing(con: sqlite3.Connection) -> None:
    twice = [make_task("s1"), make_task("s1")]
    with pytest.raises(sqlite3.IntegrityError):
        batches.publish(con, make_batch(OTHER), twice, now=NOW)
    assert batches.find_batch(con, OTHER) is None
    assert ids_of(con, OTHER, "published") == []


def test_a_task_comes_back_as_it_was_published(con: sqlite3.Connection) -> None:
    row = {
        "schema": "set/1",
        "set_id": "sx",
        "prompt_id": "p",
        "messages": [{"role": "user", "content": "你好 \u202e'\""}],
        "responses": [
            {"response_id": f"r{i}", "text": f"<b>{i}</b>\n", "generator": "sft"} for i in range(3)
        ],
        "guideline_version": "2",
        "campaign": "c",
        "purpose": "retest",
        "retest_of": "s1",
    }
    task = batches.task_of(parse_set(row), want=3, priority=4)
    batches.publish(con, make_batch(OTHER), [task], now=NOW)
    assert batches.find_task(con, OTHER, "sx") == task
    assert batches.find_task(con, OTHER, "s1") is None
    assert (task.count_words, task.want, task.priority) == (3, 3, 4)


def test_progress_counts_what_can_train(con: sqlite3.Connection) -> None:
    answer_all(con, "ann")
    progress = batches.progress(con, BATCH, now=NOW)
    assert (progress.tasks, progress.tasks_done, progress.tasks_left) == (3, 2, 1)
    assert (progress.ranked, progress.have) == (3, 2)
    held = give(con, "bob")
    assert batches.progress(con, BATCH, now=NOW).in_work == 1
    assert batches.progress(con, BATCH, now=NOW + DAY).in_work == 0
    assignments.submit(con, batch_id=BATCH, row=make_row(held), is_held=True, now=NOW)
    progress = batches.progress(con, BATCH, now=NOW)
    assert (progress.ranked, progress.have, progress.held) == (4, 2, 1)
    assert batches.list_progress(con, now=NOW) == [progress]


def test_the_gate_opens_for_one_of_three_reasons(con: sqlite3.Connection) -> None:
    def gate(**wishes: Any) -> str | None:
        batches.publish(con, make_batch(**wishes), [], now=NOW)
        progress = batches.progress(con, BATCH, now=NOW)
        assert progress.is_open(NOW) == (progress.gate(NOW) is not None)
        return progress.gate(NOW)

    assert gate(wanted=1) is None
    assert gate(wanted=0) == "enough"
    assert gate(wanted=1, deadline=NOW) == "deadline"
    assert gate(wanted=1, deadline=NOW + DAY) is None
    answer_all(con, "ann")
    assert gate(wanted=2) == "enough"
    assert gate(wanted=3) is None
    answer_all(con, "bob")
    assert gate(wanted=4) == "nothing_left"


def test_an_answer_that_waits_for_a_lead_is_something_left(con: sqlite3.Connection) -> None:
    # Guards: a run that begins before anybody could decide.
    batches.publish(con, make_batch(wanted=4), [], now=NOW)
    answer_all(con, "ann")
    given = give(con, "bob")
    row = make_row(given)
    assignments.submit(con, batch_id=BATCH, row=row, is_held=True, now=NOW)
    answer_all(con, "bob")
    progress = batches.progress(con, BATCH, now=NOW)
    assert (progress.tasks_left, progress.held, progress.gate(NOW)) == (0, 1, None)
    ranking = {"batch_id": BATCH, "ranking_id": row["event_id"]}
    decisions.decide(con, **ranking, action="accept", by="boss", now=NOW)
    assert batches.progress(con, BATCH, now=NOW).gate(NOW) == "nothing_left"


def test_a_set_that_two_people_share_makes_up_for_none_that_nobody_saw(
    con: sqlite3.Connection,
) -> None:
    # Guards: as many rankings as sets, and sets without any.
    tasks = [make_task("a", want=2), make_task("b", priority=1)]
    batches.publish(con, make_batch(OTHER, wanted=2), tasks, now=NOW)
    batches.withdraw(con, BATCH, now=NOW)
    for who in ("ann", "bob"):
        given = give(con, who)
        assert given.task.set_id == "a"
        answer(con, given)
    progress = batches.progress(con, OTHER, now=NOW)
    assert (progress.have, progress.unanswered, progress.gate(NOW)) == (2, 1, None)
    answer(con, give(con, "ann"), outcome="skipped", skip_reason="language")
    assert batches.progress(con, OTHER, now=NOW).gate(NOW) == "enough"


def test_a_batch_without_tasks_does_not_wait(con: sqlite3.Connection) -> None:
    batches.publish(con, make_batch(OTHER, wanted=0), [], now=NOW)
    assert batches.progress(con, OTHER, now=NOW).gate(NOW) == "enough"


def test_finish_is_noted_once_per_head(con: sqlite3.Connection) -> None:
    at = events.head(con)
    for _ in range(2):
        batches.finish(con, BATCH, at, now=NOW)
    found = batches.find_batch(con, BATCH)
    assert found is not None
    assert (found.finished_at, found.finished_seq) == (NOW, at.seq)
    (event,) = events.read(con, types={"finished"})
    assert json.loads(event.payload)["sha256"] == at.sha256


def test_what_does_not_exist_is_said(con: sqlite3.Connection) -> None:
    with pytest.raises(InputError, match="there is no batch b_x"):
        batches.progress(con, "b_x", now=NOW)
    with pytest.raises(InputError, match="there is no batch b_x"):
        batches.finish(con, "b_x", events.head(con), now=NOW)
    with pytest.raises(InputError, match="has no ranking e_x"):
        decide(con, "e_x", "accept")
    with pytest.raises(InputError, match="'ann' is no active lead"):
        decide(con, "e_x", "accept", by="ann")


def decide(con: sqlite3.Connection, ranking_id: str, action: Any, by: str = "boss") -> bool:
    return decisions.decide(
        con, batch_id=BATCH, ranking_id=ranking_id, action=action, by=by, now=NOW
    )


def test_a_discarded_answer_frees_its_task_for_somebody_else(con: sqlite3.Connection) -> None:
    answer_all(con, "ann")
    wrong = see(con, "s2", "ann").answer_id
    assert wrong is not None
    assert decide(con, wrong, "discard")
    assert not decide(con, wrong, "discard")
    assert assignments.next_task(con, "ann", now=NOW) is None
    progress = batches.progress(con, BATCH, now=NOW)
    assert (progress.have, progress.discarded, progress.tasks_left) == (1, 1, 2)
    answer_all(con, "bob")
    assert see(con, "s2", "bob").state == "done"
    payload = json.loads(next(events.read(con, types={"decision"})).payload)
    assert payload == {
        "event_id": wrong,
        "action": "discard",
        "by": "boss",
        "at": "2026-11-22T12:00:00.000000+00:00",
    }


def test_a_discarded_answer_cannot_be_revised(con: sqlite3.Connection) -> None:
    given = give(con, "ann")
    answer(con, given)
    decide(con, str(see(con, given.task.set_id, "ann").answer_id), "discard")
    discarded = see(con, given.task.set_id, "ann")
    assert discarded.is_discarded
    assert assignments.last_answered(con, "ann") is None
    assert answer(con, discarded) is Result.CONFLICT


def test_accepting_takes_a_discard_back(con: sqlite3.Connection) -> None:
    answer_all(con, "ann")
    ranking_id = str(see(con, "s2", "ann").answer_id)
    for action in ("discard", "accept", "discard", "accept"):
        assert decide(con, ranking_id, action)
    assert decisions.read_decisions(con, BATCH) == {ranking_id: "accept"}
    progress = batches.progress(con, BATCH, now=NOW)
    assert (progress.have, progress.discarded) == (2, 0)


def test_an_accepted_held_answer_counts(con: sqlite3.Connection) -> None:
    given = give(con, "ann")
    while given.task.purpose == "gold":
        answer(con, given)
        given = give(con, "ann")
    row = make_row(given)
    assignments.submit(con, batch_id=BATCH, row=row, is_held=True, now=NOW)
    assert batches.progress(con, BATCH, now=NOW).have == 0
    decide(con, row["event_id"], "accept")
    progress = batches.progress(con, BATCH, now=NOW)
    assert (progress.have, progress.held) == (1, 0)


def test_a_new_batch_begins_with_the_answers_that_are_there(con: sqlite3.Connection) -> None:
    answer_all(con, "ann")
    answer(con, see(con, "s2", "ann"))
    ranking_id = str(see(con, "s2", "ann").answer_id)
    decide(con, ranking_id, "accept")
    tasks = [make_task("s2", want=2), make_task("s3")]
    batches.publish(con, make_batch(OTHER), tasks, now=NOW)
    old = list(events.read(con, batch_id=BATCH, types=["ranking", "decision"]))
    about_s2 = [it for it in old if b"s2" in it.payload or ranking_id.encode() in it.payload]
    new = list(events.read(con, batch_id=OTHER, types=["ranking", "decision"]))
    assert [it.payload for it in new] == [it.payload for it in about_s2]
    assert [it.event_id for it in new] == [it.event_id for it in about_s2]
    assert [it.type for it in new] == ["ranking", "ranking", "decision"]
    progress = batches.progress(con, OTHER, now=NOW)
    assert (progress.have, progress.tasks_left) == (1, 2)
    assert accounts.counts_of(con, "ann", now=NOW).done == 3
    assert give(con, "ann").task.set_id == "s3"
    chain.verify(con)


def test_an_answer_serves_the_other_batches_in_work(con: sqlite3.Connection) -> None:
    given = give(con, "ann")
    set_id = given.task.set_id
    batches.publish(con, make_batch(OTHER), [make_task(set_id)], now=NOW)
    batches.publish(con, make_batch("b_done"), [make_task(set_id)], now=NOW)
    batches.finish(con, "b_done", events.head(con), now=NOW)
    answer(con, given)
    assert ids_of(con, OTHER) == ids_of(con, BATCH)
    assert ids_of(con, "b_done") == []
    answer(con, see(con, set_id, "ann", OTHER))
    assert see(con, set_id, "ann").revision == 2
    assert ids_of(con, OTHER) == ids_of(con, BATCH)
    assert len(ids_of(con, OTHER)) == 2
    assert accounts.counts_of(con, "ann", now=NOW).done == 1


def test_a_batch_that_is_wanted_again_gets_what_was_answered_meanwhile(
    con: sqlite3.Connection,
) -> None:
    # Guards: sets that nobody is handed any more, and a gate that never opens.
    tasks = [make_task("s2"), make_task("s3")]
    batches.publish(con, make_batch(OTHER, wanted=2), tasks, now=NOW)
    batches.withdraw(con, OTHER, now=NOW)
    answer_all(con, "ann")
    assert batches.progress(con, OTHER, now=NOW).have == 0
    assert not batches.publish(con, make_batch(OTHER, wanted=2), tasks, now=NOW)
    assert batches.progress(con, OTHER, now=NOW).have == 1
    answer_all(con, "ann")
    assert batches.progress(con, OTHER, now=NOW).gate(NOW) == "enough"
    stored = events.head(con).seq
    batches.publish(con, make_batch(OTHER, wanted=2), tasks, now=NOW)
    assert events.head(con).seq == stored


def test_what_was_in_hand_of_a_batch_that_is_over_is_handed_out_in_the_next(
    con: sqlite3.Connection,
) -> None:
    held = give(con, "ann").task.set_id
    batches.publish(con, make_batch(OTHER), [make_task(held)], now=NOW)
    batches.withdraw(con, BATCH, now=NOW)
    given = give(con, "ann")
    assert (given.batch_id, given.task.set_id) == (OTHER, held)
    # The page of the first one is still open: its answer serves both.
    answer(con, see(con, held, "ann"))
    assert batches.progress(con, OTHER, now=NOW).have == 1
    assert see(con, held, "ann", OTHER).state == "done"


def test_a_decision_holds_in_every_batch_of_the_ranking(con: sqlite3.Connection) -> None:
    answer_all(con, "ann")
    batches.publish(con, make_batch(OTHER), [make_task("s2")], now=NOW)
    assert batches.progress(con, OTHER, now=NOW).have == 1
    ranking_id = str(see(con, "s2", "ann").answer_id)
    decide(con, ranking_id, "discard")
    assert decisions.read_decisions(con, OTHER) == {ranking_id: "discard"}
    progress = batches.progress(con, OTHER, now=NOW)
    assert (progress.have, progress.discarded, progress.tasks_left) == (0, 1, 1)


def test_the_oldest_batch_comes_first(con: sqlite3.Connection) -> None:
    batches.publish(con, make_batch(OTHER), [make_task("s0", priority=-1)], now=NOW + DAY)
    seen = []
    while (given := assignments.next_task(con, "ann", now=NOW)) is not None:
        seen.append(given.batch_id)
        answer(con, given)
    assert seen == [BATCH, BATCH, BATCH, OTHER]
