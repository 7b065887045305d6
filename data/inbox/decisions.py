"""A lead's decisions on rankings: accept a held one, discard one, or take a discard back."""

import json
import sqlite3
from datetime import datetime
from typing import Literal, get_args

from data.errors import InputError
from data.inbox.accounts import by_id
from data.inbox.connection import path_of, write
from data.inbox.events import find, note, read
from data.inbox.times import to_text
from data.queries import load

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
    later takes that back. A decision holds in every batch that the ranking stands in; of several
    the last one. The payload is {"event_id": ranking_id, "action", "by", "at"}.

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
    with write(con):
        lead = by_id(con, by)
        if lead is None or lead.role != "lead" or not lead.is_active:
            raise InputError(f"annotator {by!r} is no active lead; a lead decides on rankings")
        event = find(con, batch_id, ranking_id)
        if event is None or event.type != "ranking":
            raise InputError(f"{path_of(con)}: batch {batch_id} has no ranking {ranking_id}")
        if read_decisions(con, batch_id).get(ranking_id) == action:
            return False
        payload = {"event_id": ranking_id, "action": action, "by": by, "at": to_text(now)}
        state = "discarded" if action == "discard" else "done"
        found = con.execute(load("inbox/find_batches_of_ranking"), {"ranking_id": ranking_id})
        for row in found.fetchall():
            note(con, "decision", row["batch_id"], payload, origin="page", now=now)
            parameters = {"batch_id": row["batch_id"], "answer_id": ranking_id, "state": state}
            con.execute(load("inbox/decide_assignment"), parameters)
    return True


def read_decisions(
    con: sqlite3.Connection, batch_id: str, *, until: int | None = None
) -> dict[str, Action]:
    """Return ranking event id -> the decision that holds, of a batch, as of event `until`.

    Raises:
        ValueError: A decision is none of ours.
    """
    decisions: dict[str, Action] = {}
    for event in read(con, batch_id=batch_id, types=("decision",)):
        if until is not None and event.seq > until:
            break
        payload = json.loads(event.payload)
        if payload["action"] not in get_args(Action):
            raise ValueError(f"event {event.seq} decides {payload['action']!r}")
        decisions[payload["event_id"]] = payload["action"]
    return decisions
