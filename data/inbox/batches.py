"""Batches: the sets of a run published for ranking, how far they are, and their end.

Omitted on purpose: who ranks what (data.inbox.assignments).
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

from data.errors import InputError
from data.inbox.carry import carry_in
from data.inbox.connection import path_of, write
from data.inbox.events import Head, note
from data.inbox.tasks import Task, find_task, insert_task, read_tasks, task_of
from data.inbox.times import from_text, to_text
from data.queries import load

__all__ = [
    "Batch",
    "GateReason",
    "NewBatch",
    "Progress",
    "Task",
    "find_batch",
    "find_task",
    "finish",
    "list_batches",
    "list_progress",
    "progress",
    "publish",
    "read_tasks",
    "reopen",
    "task_of",
    "withdraw",
]

GateReason = Literal["enough", "deadline", "nothing_left"]

_COUNTED = (
    "have",
    "tasks",
    "tasks_done",
    "tasks_left",
    "tasks_to_train",
    "unanswered",
    "ranked",
    "not_rankable",
    "skipped",
    "held",
    "held_to_train",
    "discarded",
    "late",
    "in_work",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """What a run asks for.

    Attributes:
        batch_id: "b_" and 16 digits of a hash of its sets.
        name: Name of the run, for people.
        wanted: Rankings after which the run goes on; 0 does not wait.
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
        tasks_to_train: Tasks of main and overlap sets.
        unanswered: Those of them that nobody has answered.
        ranked: Answers by outcome: ranked, of any purpose, held ones too.
        not_rankable: Answers "none is acceptable".
        skipped: Answers that give a reason for not ranking.
        held: Answers that wait for a lead's decision; also counted by outcome.
        held_to_train: Those of them that could train.
        discarded: Answers that a lead discarded; their tasks are handed out again.
        late: Answers that came after their lease had ended; also counted by outcome.
        in_work: Tasks in the hands of annotators now.
    """

    batch: Batch
    have: int
    tasks: int
    tasks_done: int
    tasks_left: int
    tasks_to_train: int
    unanswered: int
    ranked: int
    not_rankable: int
    skipped: int
    held: int
    held_to_train: int
    discarded: int
    late: int
    in_work: int

    def gate(self, now: datetime) -> GateReason | None:
        """Return why the run may go on, None while it has to wait.

        Who wants as many rankings as there are sets, or more, wants an answer to each set besides:
        a set that several people share would make up for one that nobody saw.
        """
        wants_each = self.batch.wanted >= self.tasks_to_train
        if self.have >= self.batch.wanted and not (wants_each and self.unanswered):
            return "enough"
        if self.batch.deadline is not None and now >= self.batch.deadline:
            return "deadline"
        return None if self.tasks_left or self.waits_for_lead else "nothing_left"

    @property
    def waits_for_lead(self) -> bool:
        """Whether every task has its answers, and some that could train are held."""
        return self.tasks_left == 0 and self.held_to_train > 0

    def is_open(self, now: datetime) -> bool:
        """Return whether the gate is open: enough rankings, deadline passed, or nothing left."""
        return self.gate(now) is not None


def publish(
    con: sqlite3.Connection, batch: NewBatch, tasks: Iterable[Task], *, now: datetime
) -> bool:
    """Publish a batch, or renew what the run asks of one that is there.

    It gets the answers that its sets got in other batches (data.inbox.carry).

    A batch that is there keeps its tasks, events and published_at; its name, wanted, deadline,
    allow_top, config and retest_after become those given, and a withdrawal ends.

    Returns:
        Whether the batch is new.
    """
    with write(con):
        is_new = find_batch(con, batch.batch_id) is None
        con.execute(load("inbox/upsert_batch"), _batch_row(batch, now))
        if is_new:
            shown = sha256()
            count = 0
            for count, task in enumerate(tasks, start=1):
                insert_task(con, batch.batch_id, count, task)
                shown.update(f"{task.set_id} {task.shown_sha256}\n".encode())
            payload = {
                "name": batch.name,
                "campaign": batch.campaign,
                "guideline_version": batch.guideline_version,
                "wanted": batch.wanted,
                "tasks": count,
                "tasks_sha256": shown.hexdigest(),
            }
            note(con, "published", batch.batch_id, payload, origin="publish", now=now)
        # Also into one that is there: nobody carried to it while it was withdrawn or finished.
        carry_in(con, batch.batch_id, now=now)
    return is_new


def finish(con: sqlite3.Connection, batch_id: str, head: Head, *, now: datetime) -> None:
    """Note that a run has trained on all events up to a head; no more tasks are handed out.

    Answers to tasks that are out already are still stored. Saying it twice changes nothing.
    """
    with write(con):
        batch = _known(con, batch_id)
        if batch.finished_seq == head.seq:
            return
        con.execute(
            load("inbox/finish_batch"),
            {"batch_id": batch_id, "seq": head.seq, "at": to_text(now)},
        )
        note(con, "finished", batch_id, asdict(head), origin="run", now=now)


def reopen(con: sqlite3.Connection, batch_id: str) -> None:
    """Take a finish back: tasks are handed out again. The log keeps both."""
    with write(con):
        _known(con, batch_id)
        con.execute(load("inbox/reopen_batch"), {"batch_id": batch_id})


def withdraw(con: sqlite3.Connection, batch_id: str, *, now: datetime) -> None:
    """Hand out no more tasks of a batch that no run waits for. Publishing it again undoes this."""
    with write(con):
        _known(con, batch_id)
        con.execute(load("inbox/withdraw_batch"), {"batch_id": batch_id, "at": to_text(now)})


def find_batch(con: sqlite3.Connection, batch_id: str) -> Batch | None:
    """Return a batch, None if it was never published."""
    return next(iter(_find_batches(con, batch_id)), None)


def list_batches(con: sqlite3.Connection) -> list[Batch]:
    """Return all batches, the one published first in front."""
    return _find_batches(con, None)


def progress(con: sqlite3.Connection, batch_id: str, *, now: datetime) -> Progress:
    """Return how far a batch is.

    Raises:
        InputError: If there is no such batch.
    """
    return _progress(con, [_known(con, batch_id)], now)[0]


def list_progress(con: sqlite3.Connection, *, now: datetime) -> list[Progress]:
    """Return how far each batch is, the one published first in front."""
    return _progress(con, list_batches(con), now)


def _known(con: sqlite3.Connection, batch_id: str) -> Batch:
    batch = find_batch(con, batch_id)
    if batch is None:
        raise InputError(f"{path_of(con)}: there is no batch {batch_id}; check the id")
    return batch


def _batch_row(batch: NewBatch, now: datetime) -> dict[str, Any]:
    return {
        "batch_id": batch.batch_id,
        "name": batch.name,
        "campaign": batch.campaign,
        "guideline_version": batch.guideline_version,
        "wanted": batch.wanted,
        "deadline": None if batch.deadline is None else to_text(batch.deadline),
        "allow_top": batch.allow_top,
        "config": batch.config,
        "retest_after_seconds": int(batch.retest_after.total_seconds()),
        "published_at": to_text(now),
    }


def _find_batches(con: sqlite3.Connection, batch_id: str | None) -> list[Batch]:
    rows = con.execute(load("inbox/find_batches"), {"batch_id": batch_id}).fetchall()
    return [_batch(dict(row)) for row in rows]


def _batch(row: dict[str, Any]) -> Batch:
    row["allow_top"] = bool(row["allow_top"])
    row["retest_after"] = timedelta(seconds=row.pop("retest_after_seconds"))
    for name in ("deadline", "published_at", "finished_at", "withdrawn_at"):
        row[name] = None if row[name] is None else from_text(row[name])
    return Batch(**row)


def _progress(con: sqlite3.Connection, batches: Sequence[Batch], now: datetime) -> list[Progress]:
    one = batches[0].batch_id if len(batches) == 1 else None
    numbers = {batch.batch_id: dict.fromkeys(_COUNTED, 0) for batch in batches}
    parameters = {"batch_id": one, "now": to_text(now)}
    for name in ("inbox/count_tasks", "inbox/count_answers"):
        for row in con.execute(load(name), parameters):
            found = dict(row)
            numbers[found.pop("batch_id")].update(found)
    return [Progress(batch=batch, **numbers[batch.batch_id]) for batch in batches]
