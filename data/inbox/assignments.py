"""Assignments: a task in the hands of an annotator, from hand-out to answer.

An assignment is open until it is answered (done) or its lease lapses and another annotator, or
the annotator's own next request, makes it expired.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from data.inbox.batches import Task

State = Literal["open", "expired", "done"]
DEFAULT_LEASE_SECONDS = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A task given to an annotator.

    Attributes:
        display_order: Response ids as they stand on the page; stored before they were shown.
        handed_out_at: When it was handed out, the last time if it was handed out again.
        lease_ends_at: When others may be given the task in its place.
        draft: What the page saved last, as it sent it; None before.
        draft_rev: Number of that draft; the page goes on counting from here.
        revision: Of the stored answer; 0 before there is one.
        answer_id: Event id of the stored answer, what the next revision supersedes.
        outcome: Of the stored answer: "ranked", "skipped" or "not_rankable".
        is_held: Whether the stored answer waits for a lead's decision.
        is_late: Whether an answer came after the lease had ended.
        is_discarded: Whether a lead discarded the answer.
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
    is_discarded: bool


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
    raise NotImplementedError


def find(
    con: sqlite3.Connection, batch_id: str, set_id: str, annotator_id: str
) -> Assignment | None:
    """Return an assignment as it stands, None if the annotator never had the task."""
    raise NotImplementedError


def last_answered(con: sqlite3.Connection, annotator_id: str) -> Assignment | None:
    """Return the assignment that this annotator answered (or revised) last: "change my last answer".

    None if there is none, or a lead discarded it. Its row is events.find(con, batch_id, answer_id).
    """
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError
