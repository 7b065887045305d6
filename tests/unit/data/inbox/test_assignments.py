"""Who gets which task, and what becomes of the answer."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from data.inbox import accounts, assignments, batches, events
from data.inbox.assignments import Assignment, Result
from data.inbox.connection import open_inbox, write
from data.inbox.shuffle import shuffle
from tests.unit.data.inbox.builders import (
    BATCH,
    NOW,
    WRONG_NUMBER_TAKEN,
    answer,
    make_inbox,
    make_row,
    make_task,
)

HOUR = timedelta(hours=1)


class Page:
    """What a test does at the page."""

    def __init__(self, con: sqlite3.Connection) -> None:
        self.con = con

    def next(self, who: str, *, at: timedelta = timedelta()) -> Assignment | None:
        return assignments.next_task(self.con, who, now=NOW + at, lease_seconds=1800)

    def give(self, who: str, *, at: timedelta = timedelta()) -> Assignment:
        given = self.next(who, at=at)
        assert given is not None
        return given

    def answer(self, given: Assignment, *, at: timedelta = timedelta(), **fields: Any) -> Result:
        return answer(self.con, given, now=NOW + at, **fields)

    def draft(self, given: Assignment, text: str, rev: int, *, at: timedelta = timedelta()) -> bool:
        return assignments.save_draft(
            self.con,
            batch_id=given.batch_id,
            set_id=given.task.set_id,
            annotator_id=given.annotator_id,
            draft=text,
            rev=rev,
            now=NOW + at,
            lease_seconds=1800,
        )

    def see(self, given: Assignment) -> Assignment:
        found = assignments.find(self.con, given.batch_id, given.task.set_id, given.annotator_id)
        assert found is not None
        return found

    def log(self, *types: str) -> list[dict[str, Any]]:
        return [json.loads(it.payload) for it in events.read(self.con, types=types)]

    def progress(self) -> batches.Progress:
        return batches.progress(self.con, BATCH, now=NOW)


@pytest.fixture
def make_page(tmp_path: Path) -> Iterator[Any]:
    with open_inbox(tmp_path / "inbox.sqlite") as con:

        def make(*tasks: batches.Task, people: str = "ann bob eve", **batch: Any) -> Page:
            make_inbox(tmp_path / "inbox.sqlite", tasks, *people.split(), **batch)
            return Page(con)

        yield make
        assert con.execute(WRONG_NUMBER_TAKEN).fetchall() == []


def test_the_order_is_in_the_log_before_it_is_shown(make_page: Any) -> None:
    page = make_page(make_task("s1"))
    given = page.give("ann")
    (event,) = page.log("handed_out")
    assert event["display_order"] == list(given.display_order)
    assert (event["set_id"], event["annotator_id"]) == ("s1", "ann")
    assert event["lease_ends_at"] == "2026-11-22T12:30:00.000000+00:00"
    assert sorted(given.display_order) == ["s1_r0", "s1_r1", "s1_r2"]


def test_no_hand_out_without_its_event(make_page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    page = make_page(make_task("s1"))

    def fail(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(events, "note", fail)
        with pytest.raises(KeyboardInterrupt):
            page.next("ann")
    assert assignments.find(page.con, BATCH, "s1", "ann") is None
    assert page.give("bob").task.set_id == "s1"


def test_the_order_is_secret_and_of_set_and_annotator() -> None:
    ids = list("abcdef")
    orders = {
        tuple(shuffle(secret, set_id, who, ids))
        for secret in (b"1" * 32, b"2" * 32)
        for set_id in ("s1", "s2")
        for who in ("ann", "bob")
    }
    assert len(orders) == 8
    assert shuffle(b"1", "s", "ann", ids) == shuffle(b"1", "s", "ann", reversed(ids))


def test_every_order_is_as_likely() -> None:
    """Chi-square with 23 degrees of freedom: below 49.7 in 999 of 1,000 fair shuffles."""
    count = Counter(tuple(shuffle(b"secret", f"s{i}", "ann", "abcd")) for i in range(4800))
    assert set(count) == set(permutations("abcd"))
    assert sum((n - 200) ** 2 / 200 for n in count.values()) < 49.7


def test_tasks_come_in_random_order_to_each(make_page: Any) -> None:
    names = [f"s{i:02}" for i in range(30)]
    page = make_page(*(make_task(name, want=2) for name in names))
    orders = []
    for who in ("ann", "bob"):
        order = []
        while (given := page.next(who)) is not None:
            order.append(given.task.set_id)
            page.answer(given)
        assert sorted(order) == names
        orders.append(order)
    assert names not in orders
    assert orders[0] != orders[1]


def test_low_priority_numbers_come_first(make_page: Any) -> None:
    page = make_page(make_task("late", priority=2), make_task("soon", priority=1))
    given = page.give("ann")
    assert given.task.set_id == "soon"
    page.answer(given)
    assert page.give("ann").task.set_id == "late"


def test_an_open_task_comes_again_with_its_order(make_page: Any) -> None:
    page = make_page(*(make_task(f"s{i}") for i in range(9)))
    given = page.give("ann")
    again = page.give("ann", at=timedelta(minutes=10))
    assert (again.task, again.display_order) == (given.task, given.display_order)
    assert again.lease_ends_at == given.lease_ends_at + timedelta(minutes=10)
    assert len(page.log("handed_out")) == 1


def test_no_more_hands_than_wanted(make_page: Any) -> None:
    page = make_page(make_task("s1", want=2))
    first = page.give("ann")
    page.give("bob")
    assert page.next("eve") is None
    page.answer(first)
    assert page.next("eve") is None
    assert page.next("ann") is None


def test_a_lapsed_lease_goes_to_somebody_else(make_page: Any) -> None:
    page = make_page(make_task("s1"))
    given = page.give("ann")
    assert page.next("bob", at=timedelta(minutes=29)) is None
    assert page.give("bob", at=timedelta(minutes=30)).task.set_id == "s1"
    assert page.see(given).state == "expired"
    (event,) = page.log("expired")
    assert event == {
        "set_id": "s1",
        "annotator_id": "ann",
        "lease_ends_at": "2026-11-22T12:30:00.000000+00:00",
    }
    assert page.next("ann", at=timedelta(minutes=59)) is None


def test_ones_own_lapsed_task_comes_again_if_nobody_took_it(make_page: Any) -> None:
    page = make_page(make_task("s1", want=2), make_task("s2"), people="ann bob eve")
    given = page.give("ann")
    if given.task.set_id == "s2":
        page.answer(given)
        given = page.give("ann")
    page.draft(given, "half", 3)
    page.give("bob", at=HOUR)  # Takes the lapsed lease back, and one of the two places.
    assert page.see(given).state == "expired"
    again = page.give("ann", at=HOUR)
    assert (again.task.set_id, again.state, again.draft) == ("s1", "open", "half")
    assert again.display_order == given.display_order
    assert [it["annotator_id"] for it in page.log("handed_out")].count("ann") >= 2


def test_a_lone_annotator_never_loses_a_task(make_page: Any) -> None:
    page = make_page(make_task("s1"), people="ann")
    page.draft(page.give("ann"), "half", 1)
    assert page.give("ann", at=timedelta(days=9)).draft == "half"
    assert page.answer(page.give("ann", at=timedelta(days=9)), at=timedelta(days=9)) == "stored"


def test_a_late_answer_is_an_extra_one_and_marked(make_page: Any) -> None:
    page = make_page(make_task("s1"))
    slow, quick = page.give("ann"), page.give("bob", at=HOUR)
    assert page.answer(quick, at=HOUR) is Result.STORED
    row = make_row(slow)
    late = assignments.submit(page.con, batch_id=BATCH, row=row, now=NOW + 2 * HOUR)
    assert late is Result.LATE
    assert page.see(slow).is_late
    assert not page.see(quick).is_late
    assert row in page.log("ranking")
    progress = page.progress()
    assert (progress.ranked, progress.late, progress.have, progress.tasks_done) == (2, 1, 2, 1)
    assert page.next("eve", at=2 * HOUR) is None


def test_a_late_answer_takes_the_place_if_it_is_free(make_page: Any) -> None:
    page = make_page(make_task("s1"))
    assert page.answer(page.give("ann"), at=HOUR) is Result.LATE
    assert page.next("bob", at=HOUR) is None


def test_sent_again_is_stored_once(make_page: Any) -> None:
    page = make_page(make_task("s1"))
    row = make_row(page.give("ann"))
    again = {**row, "submitted_at": "2026-11-22T12:02:00+00:00", "active_ms": 60_000}
    results = [assignments.submit(page.con, batch_id=BATCH, row=it, now=NOW) for it in (row, again)]
    assert results == [Result.STORED, Result.REPLAY]
    assert page.log("ranking") == [row]
    assert accounts.counts_of(page.con, "ann", now=NOW).done == 1


def test_the_same_id_with_another_answer_is_refused(make_page: Any) -> None:
    page = make_page(make_task("s1"))
    row = make_row(page.give("ann"))
    assignments.submit(page.con, batch_id=BATCH, row=row, now=NOW)
    tiers = dict.fromkeys(row["tiers"], 1)
    other = {**row, "tiers": tiers}
    assert assignments.submit(page.con, batch_id=BATCH, row=other, now=NOW) is Result.CONFLICT
    assert page.log("ranking") == [row]


def test_a_second_answer_is_refused_unless_it_is_a_revision(make_page: Any) -> None:
    page = make_page(make_task("s1"))
    given = page.give("ann")
    page.answer(given)
    assert page.answer(given) is Result.CONFLICT
    done = page.see(given)
    for wrong in ({"revision": 1}, {"revision": 3}, {"supersedes": given.task.set_id}):
        assert page.answer(done, **wrong) is Result.CONFLICT
    assert page.answer(done) is Result.STORED
    revised = page.see(given)
    assert (revised.revision, revised.state) == (2, "done")
    assert [row["revision"] for row in page.log("ranking")] == [1, 2]
    assert page.log("ranking")[1]["supersedes"] == page.log("ranking")[0]["event_id"]
    assert page.progress().ranked == 1


def test_the_last_answer_is_the_one_sent_last(make_page: Any) -> None:
    page = make_page(make_task("s1"), make_task("s2"))
    assert assignments.last_answered(page.con, "ann") is None
    first = page.give("ann")
    page.answer(first)
    second = page.give("ann", at=HOUR)
    page.answer(second, at=HOUR)
    last = assignments.last_answered(page.con, "ann")
    assert last == page.see(second)
    page.answer(page.see(first), at=2 * HOUR)
    last = assignments.last_answered(page.con, "ann")
    assert last is not None
    assert (last.task.set_id, last.revision) == (first.task.set_id, 2)
    assert assignments.last_answered(page.con, "bob") is None


def test_an_answer_to_what_was_never_handed_out_is_refused(make_page: Any) -> None:
    page = make_page(make_task("s1", want=2))
    given = page.give("ann")
    row = make_row(given, annotator_id="bob")
    assert assignments.submit(page.con, batch_id=BATCH, row=row, now=NOW) == "not_handed_out"
    assert page.log("ranking") == []


def test_a_draft_is_kept_and_renews_the_lease(make_page: Any) -> None:
    page = make_page(make_task("s1"))
    given = page.give("ann")
    assert (given.draft, given.draft_rev) == (None, 0)
    assert page.draft(given, "two", 2, at=timedelta(minutes=20))
    assert page.draft(given, "one", 1, at=timedelta(minutes=21))
    assert page.draft(given, "two again", 2, at=timedelta(minutes=22))
    kept = page.see(given)
    assert (kept.draft, kept.draft_rev) == ("two", 2)
    assert kept.lease_ends_at == NOW + timedelta(minutes=52)
    assert page.next("bob", at=timedelta(minutes=51)) is None


def test_a_draft_of_what_is_no_longer_mine_is_refused(make_page: Any) -> None:
    page = make_page(make_task("s1"))
    given = page.give("ann")
    taken = page.give("bob", at=HOUR)
    assert not page.draft(given, "x", 1, at=HOUR)
    page.answer(taken, at=HOUR)
    assert not page.draft(taken, "x", 1, at=HOUR)
    assert page.see(given).draft is None


def test_nobody_ranks_their_own(make_page: Any) -> None:
    page = make_page(make_task("s1", want=3, generators=("sft", "ann")))
    assert page.next("ann") is None
    assert assignments.count_left(page.con, "ann", now=NOW) == 0
    assert page.give("bob").task.set_id == "s1"


def test_the_cap_is_per_annotator_and_day(make_page: Any) -> None:
    page = make_page(*(make_task(f"s{i}", want=2) for i in range(9)))
    accounts.add(page.con, "max", max_per_day=3, now=NOW)
    for _ in range(3):
        page.answer(page.give("max"))
    assert page.next("max") is None
    assert accounts.counts_of(page.con, "max", now=NOW).left_today == 0
    assert page.next("ann") is not None
    assert page.next("max", at=11.9 * HOUR) is None
    assert page.next("max", at=12 * HOUR) is not None


def test_the_task_in_hand_stays_in_hand_at_the_cap(make_page: Any) -> None:
    page = make_page(make_task("s1"), make_task("s2"))
    accounts.add(page.con, "max", max_per_day=1, now=NOW)
    given = page.give("max", at=-HOUR)
    page.con.execute("update annotator set max_per_day = 1")
    assert page.give("max").task == given.task
    assert page.answer(given) is Result.STORED
    assert page.next("max") is None


def test_a_revision_does_not_count_for_the_day_again(make_page: Any) -> None:
    page = make_page(make_task("s1"))
    given = page.give("ann")
    page.answer(given)
    page.answer(page.see(given), at=24 * HOUR)
    assert accounts.counts_of(page.con, "ann", now=NOW).today == 1
    assert accounts.counts_of(page.con, "ann", now=NOW + 24 * HOUR).today == 0


def test_a_retest_is_for_those_who_answered_and_comes_later(make_page: Any) -> None:
    page = make_page(
        make_task("s1", want=2),
        make_task("again", purpose="retest", retest_of="s1"),
        retest_after=timedelta(days=3),
    )
    answered, skipped = page.give("ann"), page.give("bob")
    page.answer(answered)
    page.answer(skipped, outcome="skipped", skip_reason="language")
    for who in ("ann", "bob", "eve"):
        assert page.next(who, at=71 * HOUR) is None
    for who in ("bob", "eve"):
        assert page.next(who, at=72 * HOUR) is None
    assert page.give("ann", at=72 * HOUR).task.set_id == "again"


def test_who_has_no_active_account_gets_nothing(make_page: Any) -> None:
    page = make_page(make_task("s1"))
    accounts.disable(page.con, "ann")
    assert page.next("ann") is None
    assert page.next("nobody") is None


def test_skips_and_none_acceptable_are_answers(make_page: Any) -> None:
    page = make_page(make_task("s1", want=2))
    page.answer(page.give("ann"), outcome="skipped", skip_reason="language")
    page.answer(page.give("bob"), outcome="not_rankable")
    assert page.next("eve") is None
    progress = page.progress()
    assert (progress.skipped, progress.not_rankable, progress.have) == (1, 1, 0)
    assert (progress.tasks_done, progress.gate(NOW)) == (1, "nothing_left")


def test_finished_and_withdrawn_batches_hand_out_nothing(make_page: Any) -> None:
    page = make_page(make_task("s1"), make_task("s2"))
    given = page.give("ann")
    batches.finish(page.con, BATCH, events.head(page.con), now=NOW)
    assert page.next("ann") is None
    assert page.answer(given) is Result.STORED
    batches.reopen(page.con, BATCH)
    assert page.give("ann").task != given.task
    batches.withdraw(page.con, BATCH, now=NOW)
    assert page.next("bob") is None
    assert assignments.count_left(page.con, "bob", now=NOW) == 0


def test_left_counts_the_task_in_hand_and_those_to_come(make_page: Any) -> None:
    page = make_page(*(make_task(f"s{i}") for i in range(5)))
    seen = []
    for _ in range(3):
        seen.append(assignments.count_left(page.con, "ann", now=NOW))
        given = page.give("ann")
        seen.append(assignments.count_left(page.con, "ann", now=NOW))
        page.answer(given)
    assert seen == [5, 5, 4, 4, 3, 3]
    page.give("bob")
    assert assignments.count_left(page.con, "ann", now=NOW) == 1


def test_an_answer_from_a_file_counts_like_one_of_the_page(make_page: Any) -> None:
    page = make_page(make_task("s1", want=2), make_task("s2"))
    row = make_row(page.give("ann"), annotator_id="label-studio:7", set_id="s1")

    def take_in(row: dict[str, Any]) -> Result:
        with write(page.con):
            return assignments.take_in(
                page.con, batch_id=BATCH, row=row, origin="answers.csv:12", now=NOW
            )

    assert [take_in(row), take_in(row)] == [Result.STORED, Result.REPLAY]
    assert take_in(make_row(page.give("ann"), set_id="elsewhere")) is Result.NOT_HANDED_OUT
    assert page.progress().have == 1
    (event,) = events.read(page.con, types={"ranking"})
    assert (event.origin, json.loads(event.payload)) == ("answers.csv:12", row)
    revision = {**make_row(page.give("ann"), set_id="s1"), "annotator_id": "label-studio:7"}
    revision |= {"revision": 2, "supersedes": row["event_id"]}
    assert take_in(revision) is Result.STORED
    assert page.progress().have == 1


def test_an_answer_from_a_file_to_a_set_in_hand_brings_its_own_order(make_page: Any) -> None:
    # Guards: the last answer shown with its ranks beside other responses, and saved so.
    page = make_page(make_task("s1"))
    given = page.give("ann")
    order = list(reversed(given.display_order))
    row = make_row(given, display_order=order)
    with write(page.con):
        assignments.take_in(page.con, batch_id=BATCH, row=row, origin="answers.csv:2", now=NOW)
    last = assignments.last_answered(page.con, "ann")
    assert last is not None
    assert list(last.display_order) == order
