"""A lead's decisions on rankings: accept a held one, discard one, or take a discard back."""

import sqlite3
from datetime import datetime
from typing import Literal

Action = Literal["accept", "discard"]


def decide(
    con: sqlite3.Connection,
    *,
    batch_id: str,
    ranking_id: str,
    action: Action,
    by: str,
    now: datetime,
) -> bool:
    """Note a decision in the log, as an event "decision", and act on the inbox's own counts.

    A discarded ranking no longer counts and its task is handed out to somebody else. Accepting it
    later takes that back. The payload is {"event_id": ranking_id, "action", "by", "at"}; of several
    decisions on one ranking the last one holds.

    Args:
        con: The inbox.
        batch_id: The batch of the ranking.
        ranking_id: Event id of the ranking, of the page or of any other ranker.
        action: What the lead decided.
        by: The lead's annotator id.
        now: The clock of this machine, with a time zone.

    Returns:
        Whether it was news; the decision that holds already is not stored again.

    Raises:
        InputError: If the batch has no such ranking, or `by` is no active lead.
    """
    raise NotImplementedError


def read_decisions(con: sqlite3.Connection, batch_id: str) -> dict[str, Action]:
    """Return ranking event id -> the decision that holds, of a batch."""
    raise NotImplementedError
