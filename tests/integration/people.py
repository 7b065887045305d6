"""People who rank, as the page lets them: through the inbox, one task after the other."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from data.inbox import INBOX_FILE, accounts
from data.inbox.assignments import Assignment, Result, next_task, submit
from data.inbox.connection import open_inbox


def rank(var: Path, annotator_id: str, count: int) -> list[dict[str, Any]]:
    """Have an annotator, who gets an account where there is none, rank `count` sets.

    The longer response is the better one, and equal lengths are a tie. Returns the rows.
    """
    rows = []
    with open_inbox(var / INBOX_FILE) as inbox:
        if accounts.by_id(inbox, annotator_id) is None:
            accounts.add(inbox, annotator_id, now=datetime.now(UTC))
        for _ in range(count):
            now = datetime.now(UTC)
            assignment = next_task(inbox, annotator_id, now=now)
            assert assignment is not None, "nothing is left to rank"
            row = answer(assignment, now)
            result = submit(inbox, batch_id=assignment.batch_id, row=row, now=now)
            assert result is Result.STORED
            rows.append(row)
    return rows


def answer(assignment: Assignment, now: datetime) -> dict[str, Any]:
    """A ranking/1 row for a task in hand."""
    lengths = {it.response_id: len(it.text) for it in assignment.task.responses}
    return {
        "schema": "ranking/1",
        "event_id": str(uuid.uuid4()),
        "set_id": assignment.task.set_id,
        "annotator_id": assignment.annotator_id,
        "revision": assignment.revision + 1,
        "outcome": "ranked",
        "coverage": "full",
        "tiers": dict(zip(lengths, dense(list(lengths.values())), strict=True)),
        "display_order": list(assignment.display_order),
        "quality": {},
        "flags": {},
        "touched": True,
        "shown_sha256": assignment.task.shown_sha256,
        "started_at": (now - timedelta(minutes=10)).isoformat(),
        "submitted_at": now.isoformat(),
        "active_ms": 500_000,
        "ui_version": "test",
    }


def dense(lengths: Sequence[int]) -> list[int]:
    """Tiers by falling length, without gaps."""
    order = sorted(set(lengths), reverse=True)
    return [order.index(length) + 1 for length in lengths]
