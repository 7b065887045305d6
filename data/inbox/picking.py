"""Which task an annotator gets next: a random one of the first level that has one for them.

A level is a batch and a priority. Each task has a lot, a random number; whoever asks draws one too
and gets the next task from there on. So the choice does not look at every task, and a batch of
ten thousand is as quick as one of ten.
"""

import secrets
import sqlite3
from datetime import datetime

from data.inbox.accounts import listing
from data.inbox.times import to_text
from data.queries import load

LOT_BITS = 62


def find_free(con: sqlite3.Connection, annotator_id: str, now: datetime) -> tuple[str, str] | None:
    """Return batch and set of a random task for an annotator, None if there is none."""
    for level in _levels(con):
        # The second look is at the lots below the first.
        for lot in (secrets.randbits(LOT_BITS), 0):
            found = _tasks(con, level, lot, annotator_id, now).fetchone()
            if found is not None:
                return level["batch_id"], found["set_id"]
    return None


def count_free(con: sqlite3.Connection, annotator_id: str, now: datetime) -> int:
    """Return how many tasks find_free chooses from, over all levels."""
    return sum(len(_tasks(con, level, 0, annotator_id, now).fetchall()) for level in _levels(con))


def nobody_has_more(con: sqlite3.Connection, now: datetime) -> bool:
    """Return whether there are active accounts, and no task for any of them, begun or free."""
    names = [it.annotator_id for it in listing(con) if it.is_active]
    return bool(names) and not any(_has_more(con, name, now) for name in names)


def _has_more(con: sqlite3.Connection, annotator_id: str, now: datetime) -> bool:
    begun = con.execute(load("inbox/find_unanswered"), {"annotator_id": annotator_id}).fetchone()
    return begun is not None or find_free(con, annotator_id, now) is not None


def _levels(con: sqlite3.Connection) -> list[sqlite3.Row]:
    return con.execute(load("inbox/find_free_levels")).fetchall()


def _tasks(
    con: sqlite3.Connection, level: sqlite3.Row, lot: int, annotator_id: str, now: datetime
) -> sqlite3.Cursor:
    parameters = {**dict(level), "lot": lot, "annotator_id": annotator_id, "now": to_text(now)}
    return con.execute(load("inbox/find_free_tasks"), parameters)
