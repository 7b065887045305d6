"""What an ingest takes from the inbox: the rankings of a batch, a lead's decisions, the head.

The rankings are those up to the head, whatever is appended while they are read: the log grows at
its end only.

Omitted on purpose: a mark of what was read before. A batch is read whole each time, the ledger
knows what it has, and so no crash can open a gap.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from data.inbox import chain, events
from data.inbox.connection import inbox_id, worded
from data.inbox.decisions import Action, read_decisions
from data.inbox.events import Event, Head
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
    """Return what the log holds of a batch.

    The whole log is verified while the rankings are read, so that those taken in are those
    verified. Reading them raises InputError if the log was rewritten, at its last line at the
    latest: keep nothing of them before.

    Args:
        inbox: An open inbox; it must stay open while the rankings are read.
        batch_id: Which batch.
        expected: The head that the ledger noted at its last ingest from this inbox.

    Raises:
        InputError: If the file is damaged, or a decision in it cannot be read.
    """
    with worded(inbox):
        head = events.head(inbox)
        try:
            decisions = read_decisions(inbox, batch_id, until=head.seq)
        except Exception:
            # One that nobody here wrote: the chain says which event it is.
            chain.verify(inbox, expected=expected)
            raise
        log = chain.read_verified(inbox, until=head, expected=expected)
        lines = SourceLines(source=inbox_source(inbox), lines=_rankings(log, batch_id))
        return Intake(rankings=lines, decisions=decisions, head=head)


def _rankings(log: Iterable[Event], batch_id: str) -> Iterator[SourceLine]:
    for event in log:
        if event.type == "ranking" and event.batch_id == batch_id:
            raw = event.payload
            yield SourceLine(event.seq, raw, len(raw), event.origin, event.event_id)
