"""One answer serves every batch that holds its set, so that nobody is asked the same twice.

The ledger knows a set by its content and counts the revisions of an annotator's answer to it over
all runs. So an answer is copied, as the event that it is, into the other batches in work that hold
its set, and a new batch gets the answers that are there. The ledger meets the same event again,
ignores it as a duplicate and lists it as used by that run.
"""

import sqlite3
from datetime import datetime

from data.inbox.events import NewEvent, append_within
from data.queries import load


def carry_in(
    con: sqlite3.Connection, batch_id: str, *, set_id: str | None = None, now: datetime
) -> None:
    """Copy into a batch what annotators answered elsewhere to its sets, or to one of them.

    Within the caller's write block.
    """
    parameters = {"batch_id": batch_id, "set_id": set_id}
    if con.execute(load("inbox/carry_assignments"), parameters).rowcount == 0:
        return
    events = [
        NewEvent(row["event_id"], batch_id, row["type"], row["payload"], f"event {row['seq']}")
        for row in con.execute(load("inbox/find_carried"), parameters)
    ]
    append_within(con, events, now=now)


def carry_out(con: sqlite3.Connection, batch_id: str, set_id: str, *, now: datetime) -> None:
    """Copy the answers to a set into the other batches in work that hold it."""
    parameters = {"batch_id": batch_id, "set_id": set_id}
    for row in con.execute(load("inbox/find_waiting_batches"), parameters).fetchall():
        carry_in(con, row["batch_id"], set_id=set_id, now=now)
