"""Batches: the sets of a run published for ranking, how far they are, and their end."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from data.inbox.events import Head
from data.messages import Message
from data.sets import Response, ResponseSet

GateReason = Literal["enough", "deadline", "nothing_left"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One set of a batch, as it is handed out.

    Attributes:
        responses: In the order of the set; each annotator sees another one (see Assignment).
        purpose: "main", "overlap", "gold", "retest" or "calibration".
        retest_of: The set that a retest repeats, None for any other purpose.
        want: How many annotators shall answer it, >= 1.
        priority: Lower is handed out first; random among equals.
        shown_sha256: Hash of what an annotator sees.
    """

    set_id: str
    messages: list[Message]
    responses: tuple[Response, ...]
    purpose: str
    retest_of: str | None
    want: int
    guideline_version: str
    campaign: str
    count_words: int
    shown_sha256: str
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """What a run asks for.

    Attributes:
        batch_id: "b_" and 16 digits of a hash of its sets.
        name: Name of the run, for people.
        wanted: Rankings after which the run goes on, >= 1.
        deadline: When it goes on with what there is; None waits for the rankings.
        allow_top: Whether annotators may leave responses unranked below the ranked ones.
        config: The run's whole config as JSON, so that whoever notices that the gate is open can
            start the rest.
        retest_after: How long after an answer a retest of it may be handed out.
    """

    batch_id: str
    name: str
    campaign: str
    guideline_version: str
    wanted: int
    deadline: datetime | None
    allow_top: bool
    config: str
    retest_after: timedelta = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(NewBatch):
    """A published batch.

    Attributes:
        finished_seq: A run has trained on all events up to this one; None before.
        withdrawn_at: When it was withdrawn, because no run waits for it any more.
    """

    published_at: datetime
    finished_at: datetime | None
    finished_seq: int | None
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a batch is.

    An answer is what an annotator sent for a task, whatever its outcome; a later revision takes
    the place of the earlier one. A discarded answer counts as discarded and nowhere else.

    Attributes:
        batch: The batch.
        have: Rankings that can train: ranked, of a main or overlap set, neither held nor discarded.
            A skip, a "none is acceptable" and the answers to gold, retest and calibration sets do
            not count here; the gate compares this with batch.wanted.
        tasks: All tasks.
        tasks_done: Tasks with as many answers as they want. Skips count here: one who skipped has
            had the task, and others need not be asked for ever.
        tasks_left: Tasks that still want an answer, retests apart (their time may come in days).
        ranked: Answers by outcome: ranked, of any purpose, held ones too.
        not_rankable: Answers "none is acceptable".
        skipped: Answers that give a reason for not ranking.
        held: Answers that wait for a lead's decision; also counted by outcome.
        discarded: Answers that a lead discarded; their tasks are handed out again.
        late: Answers that came after their lease had ended; also counted by outcome.
        in_work: Tasks in the hands of annotators now.
        ranking_events: Rows "ranking" in the log, of the page and of all other rankers, revisions
            and conflicts included.
    """

    batch: Batch
    have: int
    tasks: int
    tasks_done: int
    tasks_left: int
    ranked: int
    not_rankable: int
    skipped: int
    held: int
    discarded: int
    late: int
    in_work: int
    ranking_events: int

    def gate(self, now: datetime) -> GateReason | None:
        """Return why the run may go on, None while it has to wait."""
        raise NotImplementedError

    def is_open(self, now: datetime) -> bool:
        """Return whether the gate is open: enough rankings, deadline passed, or nothing left."""
        return self.gate(now) is not None


def task_of(response_set: ResponseSet, *, want: int, priority: int = 0) -> Task:
    """Return the task that a set is for annotators."""
    raise NotImplementedError


def publish(
    con: sqlite3.Connection, batch: NewBatch, tasks: Iterable[Task], *, now: datetime
) -> bool:
    """Publish a batch; one that is there is left as it is.

    Returns:
        Whether the batch is new.
    """
    raise NotImplementedError


def finish(con: sqlite3.Connection, batch_id: str, head: Head, *, now: datetime) -> None:
    """Note that a run has trained on all events up to a head; no more tasks are handed out.

    Answers to tasks that are out already are still stored. Saying it twice changes nothing.
    """
    raise NotImplementedError


def withdraw(con: sqlite3.Connection, batch_id: str, *, now: datetime) -> None:
    """Hand out no more tasks of a batch that no run waits for. Publishing it again undoes this."""
    raise NotImplementedError


def find_batch(con: sqlite3.Connection, batch_id: str) -> Batch | None:
    """Return a batch, None if it was never published."""
    raise NotImplementedError


def find_task(con: sqlite3.Connection, batch_id: str, set_id: str) -> Task | None:
    """Return a task, None where the batch has no such set."""
    raise NotImplementedError


def read_tasks(con: sqlite3.Connection, batch_id: str) -> Iterator[Task]:
    """Yield the tasks of a batch in the order in which they were published."""
    raise NotImplementedError


def progress(con: sqlite3.Connection, batch_id: str, *, now: datetime) -> Progress:
    """Return how far a batch is.

    Raises:
        InputError: If there is no such batch.
    """
    raise NotImplementedError


def list_progress(con: sqlite3.Connection, *, now: datetime) -> list[Progress]:
    """Return how far each batch is, the one published first in front."""
    raise NotImplementedError
