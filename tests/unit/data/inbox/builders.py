"""Small batches, tasks and answers for the tests of the inbox."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from data.inbox.accounts import add
from data.inbox.assignments import Assignment, Result, submit
from data.inbox.batches import NewBatch, Task, publish
from data.inbox.connection import open_inbox
from data.sets import Response

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BATCH = "b_0123456789abcdef"

WRONG_NUMBER_TAKEN = """
select * from task where taken != (
    select count(*) from assignment
    where assignment.batch_id = task.batch_id and assignment.set_id = task.set_id
    and assignment.state in ('open', 'done')
)
"""


def make_task(
    set_id: str,
    *,
    want: int = 1,
    purpose: str = "main",
    retest_of: str | None = None,
    generators: Sequence[str] = ("sft", "sft", "ppo"),
    priority: int = 0,
) -> Task:
    responses = tuple(
        Response(response_id=f"{set_id}_r{i}", text=f"reply {i}", generator=generator)
        for i, generator in enumerate(generators)
    )
    return Task(
        set_id=set_id,
        messages=[{"role": "user", "content": f"question {set_id}"}],
        responses=responses,
        purpose=purpose,
        retest_of=retest_of,
        want=want,
        guideline_version="1",
        campaign="test",
        count_words=6,
        shown_sha256="a" * 64,
        priority=priority,
    )


def make_batch(batch_id: str = BATCH, **fields: Any) -> NewBatch:
    facts: dict[str, Any] = {
        "name": "run",
        "campaign": "test",
        "guideline_version": "1",
        "wanted": 100,
        "deadline": None,
        "allow_top": False,
        "config": "{}",
        "retest_after": timedelta(days=3),
    }
    return NewBatch(batch_id=batch_id, **{**facts, **fields})


def make_inbox(path: Path, tasks: Sequence[Task], *annotators: str, **batch: Any) -> Path:
    """An inbox with one batch, annotators and the lead "boss"."""
    with open_inbox(path) as con:
        for annotator_id in annotators:
            add(con, annotator_id, now=NOW)
        add(con, "boss", role="lead", now=NOW)
        publish(con, make_batch(**batch), tasks, now=NOW)
    return path


def make_row(given: Assignment, **fields: Any) -> dict[str, Any]:
    """A ranking/1 row that answers an assignment: the responses as they were shown."""
    row = {
        "schema": "ranking/1",
        "event_id": str(uuid.uuid4()),
        "set_id": given.task.set_id,
        "annotator_id": given.annotator_id,
        "revision": given.revision + 1,
        "outcome": "ranked",
        "coverage": "full",
        "tiers": {name: tier for tier, name in enumerate(given.display_order, start=1)},
        "display_order": list(given.display_order),
        "touched": True,
        "started_at": "2026-11-22T12:00:00+00:00",
        "submitted_at": "2026-11-22T12:01:00+00:00",
        "active_ms": 50_000,
        "ui_version": "test",
    }
    if given.answer_id is not None:
        row["supersedes"] = given.answer_id
    row |= fields
    if row["outcome"] != "ranked":
        del row["coverage"], row["tiers"]
    return row


def answer(con: Any, given: Assignment, *, now: datetime = NOW, **fields: Any) -> Result:
    row = make_row(given, **fields)
    return submit(con, batch_id=given.batch_id, row=row, now=now)
