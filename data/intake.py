"""What an ingest takes from the inbox: the rankings of a batch, a lead's decisions, the head.

The rankings are those up to the head, whatever is appended while they are read: the log grows at
its end only.

Omitted on purpose: a mark of what was read before. A batch is read whole each time, the ledger
knows what it has, and so no crash can open a gap.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from data.inbox import events
from data.inbox.connection import inbox_id
from data.inbox.decisions import Action, read_decisions
from data.inbox.events import EventType, Head
from data.lines import SourceLine, SourceLines


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One batch as of one head.

    Attributes:
        rankings: The rows of the batch, streamed from the file; to be read once.
        decisions: Event id of a ranking -> the last decision on it.
        head: The end of the log up to which both go.
    """

    rankings: SourceLines
    decisions: dict[str, Action]
    head: Head


_PREFIX = "inbox:"


def inbox_of(source: str) -> str:
    """Return the id of the inbox that a source of the ledger is."""
    return source.removeprefix(_PREFIX)


def inbox_source(inbox: sqlite3.Connection) -> str:
    """Return the name of an inbox as a source of the ledger."""
    return f"{_PREFIX}{inbox_id(inbox)}"


def read_batch(inbox: sqlite3.Connection, batch_id: str, *, expected: Head | None = None) -> Intake:
    """Verify the log and return what it holds of a batch.

    Args:
        inbox: An open inbox; it must stay open while the rankings are read.
        batch_id: Which batch.
        expected: The head that the ledger noted at its last ingest from this inbox.

    Raises:
        InputError: If the log was rewritten.
    """
    head = events.verify(inbox, expected=expected)
    decisions = read_decisions(inbox, batch_id)
    lines = SourceLines(source=inbox_source(inbox), lines=_lines(inbox, batch_id, head))
    return Intake(rankings=lines, decisions=decisions, head=head)


def _lines(inbox: sqlite3.Connection, batch_id: str, head: Head) -> Iterator[SourceLine]:
    types: tuple[EventType, ...] = ("ranking",)
    for event in events.read(inbox, batch_id=batch_id, types=types):
        if event.seq > head.seq:
            return
        raw = event.payload
        yield SourceLine(event.seq, raw, len(raw), event.origin, event.event_id)
