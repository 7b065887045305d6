"""The event log: append-only, each row chained to the one before by a hash."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

EventType = Literal["published", "handed_out", "expired", "ranking", "decision", "finished"]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened, on its way into the log.

    Attributes:
        event_id: Its id within the batch; a UUID where a page or a file gave one.
        batch_id: The batch that it belongs to.
        type: What kind of thing happened.
        payload: Bytes as they came; of a "ranking" one ranking/1 row, of the others canonical JSON.
        origin: Where a person finds it: "page", "mine/rankings.jsonl:12", "judge".
    """

    event_id: str
    batch_id: str
    type: EventType
    payload: bytes
    origin: str


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the log.

    Attributes:
        seq: Place in the log, from 1, without gaps; also the order of the commits.
        at: When it was stored, UTC, ISO 8601 with microseconds.
        prev_sha256: The hash of the row before.
        sha256: The hash over prev_sha256 and all of this row but seq.
    """

    seq: int
    event_id: str
    batch_id: str
    type: str
    payload: bytes
    origin: str
    at: str
    prev_sha256: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the log at some moment: which inbox, how many events, the hash of the last.

    Of an empty log seq is 0 and sha256 is the hash that the first event is chained to.
    """

    inbox_id: str
    seq: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What became of events given to append.

    Attributes:
        added: Stored; conflicts are among them.
        duplicate: Stored before under this id with these bytes; nothing was stored.
        conflicts: Stored, under an id of their own, since their id names other bytes.
    """

    added: int
    duplicate: int
    conflicts: int


def append(con: sqlite3.Connection, events: Iterable[NewEvent], *, now: datetime) -> Appended:
    """Store events in the order given, in transactions of some thousand rows each.

    Ids are looked up within the batch: an event of the same id in another batch is another event.
    The same id with the same bytes is a duplicate. The same id with other bytes is stored under an
    id made of both (uuid5), so that the ledger meets the row and says IDEMPOTENCY_CONFLICT.

    A crash between two transactions is mended by appending the same events again.

    Args:
        con: The inbox, not in a transaction.
        events: Any number of them; memory does not grow with it.
        now: The clock of this machine, with a time zone.
    """
    raise NotImplementedError


def append_within(
    con: sqlite3.Connection, events: Iterable[NewEvent], *, now: datetime
) -> Appended:
    """Store few events within the caller's write block; otherwise as append."""
    raise NotImplementedError


def read(
    con: sqlite3.Connection,
    *,
    batch_id: str | None = None,
    types: Collection[EventType] | None = None,
    after: int = 0,
) -> Iterator[Event]:
    """Yield events in the order of seq, one by one from the file.

    Args:
        con: The inbox.
        batch_id: Of this batch; None for all.
        types: Of these types; None for all. One batch and one type is found by an index.
        after: Only events with a larger seq.
    """
    raise NotImplementedError


def find(con: sqlite3.Connection, batch_id: str, event_id: str) -> Event | None:
    """Return one event, None where the batch has none of this id."""
    raise NotImplementedError


def head(con: sqlite3.Connection) -> Head:
    """Return the end of the log."""
    raise NotImplementedError


def verify(con: sqlite3.Connection, *, expected: Head | None = None) -> Head:
    """Walk the whole log and check each hash, holding one row at a time.

    Args:
        con: The inbox.
        expected: A head noted earlier, which must still be part of the log; a head of another
            inbox is an error.

    Returns:
        The head that was reached.

    Raises:
        InputError: Naming the first seq that does not fit, or that the expected head is gone.
    """
    raise NotImplementedError
