"""Assignments: a task in the hands of an annotator, from hand-out to answer.

An assignment is open until it is answered (done) or its lease lapses and another annotator, or
the annotator's own next request, makes it expired.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from data.identity import canonical_json
from data.inbox import events
from data.inbox.accounts import by_id as account_by_id
from data.inbox.accounts import counts_of
from data.inbox.carry import carry_out
from data.inbox.connection import shuffle_secret, write
from data.inbox.picking import count_free, find_free
from data.inbox.shuffle import shuffle
from data.inbox.tasks import Task, find_task
from data.inbox.times import from_text, to_text
from data.queries import load

State = Literal["open", "expired", "done", "discarded"]
DEFAULT_LEASE_SECONDS = 1800.0

# What is stamped on an answer as it comes in: a browser that sends again may bring others.
_STAMPS = ("started_at", "submitted_at", "active_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A task given to an annotator.

    Attributes:
        display_order: Response ids as they stand on the page; stored before they were shown.
        handed_out_at: When it was handed out, the last time if it was handed out again.
        lease_ends_at: When others may be given the task in its place.
        draft: What the page saved last, as it sent it; None before.
        draft_rev: Number of that draft; the page goes on counting from here.
        state: "open" (in hand), "expired" (the lease ended and the place was given back), "done"
            (answered) or "discarded" (answered, and a lead discarded the answer).
        revision: Of this annotator's last answer to the set, in whatever batch; 0 before there is
            one. The next answer has one more.
        answer_id: Event id of that answer, what the next one supersedes.
        outcome: Of the answer in this batch: "ranked", "skipped" or "not_rankable".
        is_held: Whether it waits for a lead's decision.
        is_late: Whether it came after the lease had ended.
    """

    batch_id: str
    annotator_id: str
    task: Task
    allow_top: bool
    display_order: tuple[str, ...]
    handed_out_at: datetime
    lease_ends_at: datetime
    state: State
    draft: str | None
    draft_rev: int
    revision: int
    answer_id: str | None
    outcome: str | None
    is_held: bool
    is_late: bool

    @property
    def is_discarded(self) -> bool:
        """Whether a lead discarded the answer."""
        return self.state == "discarded"


class Result(StrEnum):
    """What became of a submit; the page answers 303, 303, 303, 409, 409."""

    STORED = "stored"
    LATE = "late"  # Stored, though the lease had ended: an extra ranking, marked.
    REPLAY = "replay"  # Stored before; nothing was stored now.
    CONFLICT = (
        "conflict"  # The id names another answer, or the task has an answer this is no revision of.
    )
    NOT_HANDED_OUT = "not_handed_out"  # This annotator never got this task.


def next_task(
    con: sqlite3.Connection,
    annotator_id: str,
    *,
    now: datetime,
    lease_seconds: float = DEFAULT_LEASE_SECONDS,
) -> Assignment | None:
    """Return the task that an annotator shall do now, and note that they have it.

    Their unanswered one comes first: with its order and draft, its lease renewed; also one whose
    lease has ended, if nobody has taken its place. Otherwise a random task among those of the
    lowest priority of the oldest batch that is neither finished nor withdrawn, wants more
    answers than it has and is in work for, and that this annotator has not had and wrote no
    response of. A retest is for those who answered the set that it repeats, some days ago.

    The order of the responses is written to the log as a "handed_out" event, in the same
    transaction, before anyone sees it.

    Returns:
        The assignment; None if nothing is left for this annotator, the daily cap is reached (see
        accounts.counts_of), or the account is not active.
    """
    with write(con):
        account = account_by_id(con, annotator_id)
        if account is None or not account.is_active:
            return None
        _take_back_leases(con, annotator_id, now)
        until = to_text(now + timedelta(seconds=lease_seconds))
        found = con.execute(load("inbox/find_unanswered"), {"annotator_id": annotator_id})
        if begun := found.fetchone():
            key = _key(begun["batch_id"], begun["set_id"], annotator_id)
            times = {"now": to_text(now), "lease_ends_at": until}
            con.execute(load("inbox/renew_assignment"), {**key, **times})
            assignment = _find(con, key)
            if begun["state"] == "expired":
                _note_hand_out(con, assignment, now)
            return assignment
        if account.max_per_day and counts_of(con, annotator_id, now=now).left_today == 0:
            return None
        free = find_free(con, annotator_id, now)
        return None if free is None else _hand_out(con, _key(*free, annotator_id), now, until)


def count_left(con: sqlite3.Connection, annotator_id: str, *, now: datetime) -> int:
    """Return how many tasks there are for an annotator now, the one in hand included.

    The daily cap is not looked at, nor are retests whose time has not come.
    """
    begun = con.execute(load("inbox/find_unanswered"), {"annotator_id": annotator_id}).fetchone()
    return count_free(con, annotator_id, now) + (begun is not None)


def find(
    con: sqlite3.Connection, batch_id: str, set_id: str, annotator_id: str
) -> Assignment | None:
    """Return an assignment as it stands, None if the annotator never had the task."""
    key = _key(batch_id, set_id, annotator_id)
    row = con.execute(load("inbox/find_assignment"), key).fetchone()
    return None if row is None else _find(con, key)


def last_answered(con: sqlite3.Connection, annotator_id: str) -> Assignment | None:
    """Return what this annotator answered or revised last, for "Change my last answer".

    None if there is none, or a lead discarded it. Its row is events.find(con, batch_id, answer_id).
    """
    parameters = {"annotator_id": annotator_id}
    row = con.execute(load("inbox/find_last_answered"), parameters).fetchone()
    if row is None or row["state"] == "discarded":
        return None
    return _find(con, _key(row["batch_id"], row["set_id"], annotator_id))


def save_draft(
    con: sqlite3.Connection,
    *,
    batch_id: str,
    set_id: str,
    annotator_id: str,
    draft: str,
    rev: int,
    now: datetime,
    lease_seconds: float = DEFAULT_LEASE_SECONDS,
) -> bool:
    """Keep what the annotator has so far, and renew the lease.

    A draft whose rev is not larger than the stored one is not written (it was overtaken), but
    renews the lease all the same.

    Returns:
        Whether the task is still this annotator's; False also when it is answered.
    """
    key = _key(batch_id, set_id, annotator_id)
    until = to_text(now + timedelta(seconds=lease_seconds))
    parameters = {**key, "draft": draft, "rev": rev, "lease_ends_at": until}
    with write(con):
        return con.execute(load("inbox/save_draft"), parameters).rowcount == 1


def submit(
    con: sqlite3.Connection,
    *,
    batch_id: str,
    row: Mapping[str, Any],
    is_held: bool = False,
    now: datetime,
) -> Result:
    """Store an answer exactly once: the event, and the assignment that it ends.

    The first answer is revision 1 of the assignment. A later one is a revision: its `revision` is
    one more than the assignment's and its `supersedes` the assignment's answer_id; then it takes
    the answer's place. A discarded answer cannot be revised.

    Args:
        con: The inbox.
        batch_id: The batch of the task.
        row: A valid ranking/1 row; stored as canonical JSON. A row with the same event_id is the
            same answer if all but started_at, submitted_at and active_ms is equal: those are
            stamped on it, and a browser that sends again may bring others.
        is_held: Whether the row is valid but in doubt (data.rankings.outcome_of says "held").
        now: The clock of this machine, with a time zone.
    """
    with write(con):
        found = find(con, batch_id, row["set_id"], row["annotator_id"])
        if found is None:
            return Result.NOT_HANDED_OUT
        lapsed = found.state == "expired" or found.lease_ends_at <= now
        is_late = found.is_late if found.state == "done" else lapsed
        return _store(con, batch_id, row, now, origin="page", is_held=is_held, is_late=is_late)


def take_in(
    con: sqlite3.Connection,
    *,
    batch_id: str,
    row: Mapping[str, Any],
    origin: str,
    is_held: bool = False,
    now: datetime,
) -> Result:
    """Store an answer to a published task that came another way than the page: in a file.

    It counts like one of the page, though nobody handed the task out and the annotator need not
    have an account. See submit for what is a replay, a conflict and a revision.

    Within the caller's write block: a file brings many.
    """
    if find_task(con, batch_id, row["set_id"]) is None:
        return Result.NOT_HANDED_OUT
    return _store(con, batch_id, row, now, origin=origin, is_held=is_held, is_late=False)


def _store(
    con: sqlite3.Connection,
    batch_id: str,
    row: Mapping[str, Any],
    now: datetime,
    *,
    origin: str,
    is_held: bool,
    is_late: bool,
) -> Result:
    event_id = row["event_id"].lower()
    stored = events.find(con, batch_id, event_id)
    if stored is not None:
        is_same = _answer(json.loads(stored.payload)) == _answer(row)
        return Result.REPLAY if is_same else Result.CONFLICT
    key = _key(batch_id, row["set_id"], row["annotator_id"])
    found = find(con, **key)
    last_revision, last_id = _last_answer(con, row["set_id"], row["annotator_id"])
    follows = (row["revision"], row.get("supersedes")) == (last_revision + 1, last_id)
    if not follows or (found is not None and found.is_discarded):
        return Result.CONFLICT
    payload = canonical_json(row).encode()
    event = events.NewEvent(event_id, batch_id, "ranking", payload, origin)
    events.append_within(con, [event], now=now)
    answer = {
        "display_order": canonical_json(row["display_order"]),
        "answer_id": event_id,
        "revision": row["revision"],
        "outcome": row["outcome"],
        "is_held": is_held,
        "is_late": is_late,
        "now": to_text(now),
    }
    con.execute(load("inbox/store_answer"), {**key, **answer})
    carry_out(con, batch_id, row["set_id"], now=now)
    return Result.LATE if is_late and found is not None and found.state != "done" else Result.STORED


def _answer(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _STAMPS}


def _key(batch_id: str, set_id: str, annotator_id: str) -> dict[str, str]:
    return {"batch_id": batch_id, "set_id": set_id, "annotator_id": annotator_id}


def _take_back_leases(con: sqlite3.Connection, annotator_id: str, now: datetime) -> None:
    parameters = {"annotator_id": annotator_id, "now": to_text(now)}
    for row in con.execute(load("inbox/expire_leases"), parameters).fetchall():
        lapsed = dict(row)
        events.note(con, "expired", lapsed.pop("batch_id"), lapsed, origin="lease", now=now)


def _hand_out(
    con: sqlite3.Connection, key: dict[str, str], now: datetime, until: str
) -> Assignment:
    task = find_task(con, key["batch_id"], key["set_id"])
    assert task is not None  # noqa: S101 - the free task was found in the same transaction
    ids = [response.response_id for response in task.responses]
    order = shuffle(shuffle_secret(con), key["set_id"], key["annotator_id"], ids)
    facts = {
        "display_order": canonical_json(order),
        "now": to_text(now),
        "lease_ends_at": until,
    }
    con.execute(load("inbox/insert_assignment"), {**key, **facts})
    assignment = _find(con, key)
    _note_hand_out(con, assignment, now)
    return assignment


def _note_hand_out(con: sqlite3.Connection, assignment: Assignment, now: datetime) -> None:
    payload = {
        "set_id": assignment.task.set_id,
        "annotator_id": assignment.annotator_id,
        "display_order": list(assignment.display_order),
        "lease_ends_at": to_text(assignment.lease_ends_at),
    }
    events.note(con, "handed_out", assignment.batch_id, payload, origin="page", now=now)


def _last_answer(con: sqlite3.Connection, set_id: str, annotator_id: str) -> tuple[int, str | None]:
    parameters = {"set_id": set_id, "annotator_id": annotator_id}
    row = con.execute(load("inbox/find_revision"), parameters).fetchone()
    return (row["revision"], row["answer_id"]) if row else (0, None)


def _find(con: sqlite3.Connection, key: dict[str, str]) -> Assignment:
    """Return an assignment that exists."""
    facts = dict(con.execute(load("inbox/find_assignment"), key).fetchone())
    revision, answer_id = _last_answer(con, key["set_id"], key["annotator_id"])
    task = find_task(con, facts["batch_id"], facts.pop("set_id"))
    assert task is not None  # noqa: S101 - a foreign key
    facts |= {"task": task, "revision": revision, "answer_id": answer_id}
    facts["display_order"] = tuple(json.loads(facts["display_order"]))
    for name in ("handed_out_at", "lease_ends_at"):
        facts[name] = from_text(facts[name])
    for name in ("allow_top", "is_held", "is_late"):
        facts[name] = bool(facts[name])
    return Assignment(**facts)
