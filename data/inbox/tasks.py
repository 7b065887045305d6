"""Tasks: the sets of a batch, as they are handed out (callers: data.inbox.batches)."""

import json
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from data.identity import canonical_json
from data.inbox.picking import LOT_BITS
from data.messages import Message
from data.queries import load
from data.sets import Response, ResponseSet


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


def task_of(response_set: ResponseSet, *, want: int, priority: int = 0) -> Task:
    """Return the task that a set is for annotators."""
    return Task(
        set_id=response_set.set_id,
        messages=response_set.messages,
        responses=response_set.responses,
        purpose=response_set.purpose,
        retest_of=response_set.retest_of,
        want=want,
        guideline_version=response_set.guideline_version,
        campaign=response_set.campaign,
        count_words=response_set.count_words,
        shown_sha256=response_set.shown_sha256,
        priority=priority,
    )


def find_task(con: sqlite3.Connection, batch_id: str, set_id: str) -> Task | None:
    """Return a task, None where the batch has no such set."""
    return next(_find_tasks(con, batch_id, set_id), None)


def read_tasks(con: sqlite3.Connection, batch_id: str) -> Iterator[Task]:
    """Yield the tasks of a batch in the order in which they were published."""
    return _find_tasks(con, batch_id, None)


def insert_task(con: sqlite3.Connection, batch_id: str, position: int, task: Task) -> None:
    """Store a task of a batch, in the caller's write block."""
    row = {
        "batch_id": batch_id,
        "set_id": task.set_id,
        "position": position,
        "purpose": task.purpose,
        "retest_of": task.retest_of,
        "want": task.want,
        "priority": task.priority,
        "lot": secrets.randbits(LOT_BITS),
        "guideline_version": task.guideline_version,
        "campaign": task.campaign,
        "messages": canonical_json(task.messages),
        "responses": canonical_json([one._asdict() for one in task.responses]),
        "count_words": task.count_words,
        "shown_sha256": task.shown_sha256,
    }
    con.execute(load("inbox/insert_task"), row)
    for response in task.responses:
        author = {"batch_id": batch_id, "set_id": task.set_id, "generator": response.generator}
        con.execute(load("inbox/insert_task_author"), author)


def _find_tasks(con: sqlite3.Connection, batch_id: str, set_id: str | None) -> Iterator[Task]:
    parameters = {"batch_id": batch_id, "set_id": set_id}
    for row in con.execute(load("inbox/find_tasks"), parameters):
        facts = dict(row)
        facts["messages"] = json.loads(facts["messages"])
        responses = json.loads(facts["responses"])
        facts["responses"] = tuple(Response(**response) for response in responses)
        yield Task(**facts)
