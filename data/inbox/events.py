"""The event log: append-only, each row chained to the one before by a hash.

The hash of a row is sha256 over: the hash of the row before in hexadecimal digits; event_id,
batch_id, type, origin and at, each as its number of characters, a colon and the text in UTF-8; the
bytes of the payload. The first row is chained to the sha256 of the inbox's id.

Omitted on purpose: what the events mean, and the check of the chain (data.inbox.chain). Whoever can
write the file can also rewrite the whole chain: that is noticed by a head kept elsewhere, which the
ledger does.
"""

import json
import sqlite3
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from data.chunks import chunks
from data.collector import collector_paused
from data.identity import canonical_json, sha256_bytes, sha256_text
from data.inbox.connection import inbox_id, write
from data.inbox.times import to_text
from data.queries import load

# Each transaction writes most pages of the index of ids again, so an import wants large ones; who
# waits meanwhile to store a ranking wants small ones. This is about half a second.
CHUNK_ROWS = 25_000
CHUNK_BYTES = 32 * 2**20

_CONFLICTS = uuid.UUID("5f2f0c2e-8a0b-5d0e-9c7b-3a1d6f5e4c21")

EventType = Literal["published", "handed_out", "expired", "ranking", "decision", "finished"]


class NewEvent(NamedTuple):
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


class Event(NamedTuple):
    """A row of the log.

    Attributes:
        seq: Place in the log, from 1, without gaps; also the order of the commits.
        at: When it was stored, UTC, ISO 8601 with microseconds.
        sha256: The hash over the row before's and all of this row but seq.
    """

    seq: int
    event_id: str
    batch_id: str
    type: str
    payload: bytes
    origin: str
    at: str
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
    added = duplicate = conflicts = 0
    with collector_paused():
        for chunk in chunks(
            events, lambda it: len(it.payload), max_items=CHUNK_ROWS, max_bytes=CHUNK_BYTES
        ):
            part = _append_new(con, chunk, now)
            if part is None:
                with write(con):
                    part = append_within(con, chunk, now=now)
            added, duplicate = added + part.added, duplicate + part.duplicate
            conflicts += part.conflicts
    return Appended(added=added, duplicate=duplicate, conflicts=conflicts)


def append_within(
    con: sqlite3.Connection, events: Sequence[NewEvent], *, now: datetime
) -> Appended:
    """Store few events within the caller's write block; otherwise as append."""
    fresh, conflicts = _leave_out_stored(con, events)
    _insert(con, fresh, now)
    old = len(events) - len(fresh)
    return Appended(added=len(fresh), duplicate=old, conflicts=conflicts)


def note(
    con: sqlite3.Connection,
    event_type: EventType,
    batch_id: str,
    payload: dict[str, Any],
    *,
    origin: str,
    now: datetime,
) -> str:
    """Write an event of the inbox's own into the log, in the caller's write block; returns its id.

    For the modules of the inbox.
    """
    event_id = str(uuid.uuid4())
    text = canonical_json(payload).encode()
    append_within(con, [NewEvent(event_id, batch_id, event_type, text, origin)], now=now)
    return event_id


def read(
    con: sqlite3.Connection,
    *,
    batch_id: str | None = None,
    types: Collection[str] | None = None,
    after: int = 0,
) -> Iterator[Event]:
    """Yield events in the order of seq, one by one from the file.

    Args:
        con: The inbox.
        batch_id: Of this batch; None for all.
        types: Of these types; None for all. Without "ranking" among them an index finds the rows.
        after: Only events with a larger seq.
    """
    wanted = None if types is None else json.dumps(list(types))
    parameters = {"batch_id": batch_id, "types": wanted, "after": after}
    # Rankings are most of the log: they are met in its order. The others are few: see the index.
    is_rare = types is not None and "ranking" not in types
    name = "inbox/read_other_events" if is_rare else "inbox/read_events"
    cursor = con.cursor()
    cursor.row_factory = None
    yield from map(Event._make, cursor.execute(load(name), parameters))


def find(con: sqlite3.Connection, batch_id: str, event_id: str) -> Event | None:
    """Return one event, None where the batch has none of this id."""
    key = {"batch_id": batch_id, "event_id": event_id}
    row = con.execute(load("inbox/find_event"), key).fetchone()
    return Event(*row) if row else None


def head(con: sqlite3.Connection) -> Head:
    """Return the end of the log."""
    identity = inbox_id(con)
    seq, digest = con.execute(load("inbox/find_head")).fetchone() or (0, sha256_text(identity))
    return Head(inbox_id=identity, seq=seq, sha256=digest)


def digest_of(prev: str, event: NewEvent | Event, at: str) -> bytes:
    """Return the hash of an event stored at a time, after the one whose hash has these digits."""
    event_id, batch_id, kind, origin = event.event_id, event.batch_id, event.type, event.origin
    facts = (
        f"{prev}{len(event_id)}:{event_id}{len(batch_id)}:{batch_id}"
        f"{len(kind)}:{kind}{len(origin)}:{origin}{len(at)}:{at}"
    )
    return sha256(facts.encode() + event.payload).digest()


def _append_new(
    con: sqlite3.Connection, events: Sequence[NewEvent], now: datetime
) -> Appended | None:
    """Store events whose ids are new; None, and nothing stored, if one is not.

    Most imports bring no id twice, and looking each one up beforehand costs a third more.
    """
    try:
        with write(con):
            _insert(con, events, now)
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
            raise
        return None
    return Appended(added=len(events), duplicate=0, conflicts=0)


def _insert(con: sqlite3.Connection, events: Sequence[NewEvent], now: datetime) -> None:
    con.executemany(load("inbox/insert_events"), _chain(head(con), events, to_text(now)))


def _chain(
    last: Head, events: Iterable[NewEvent], at: str
) -> Iterator[tuple[int, str, str, str, str, str, bytes, bytes]]:
    """Yield the rows of events that follow a head."""
    prev = last.sha256
    for seq, event in enumerate(events, start=last.seq + 1):
        digest = digest_of(prev, event, at)
        prev = digest.hex()
        facts = (event.event_id, event.batch_id, event.type, event.origin)
        yield seq, *facts, at, digest, event.payload


def _leave_out_stored(
    con: sqlite3.Connection, events: Sequence[NewEvent]
) -> tuple[list[NewEvent], int]:
    """Return the events that are not stored, each under an id that is free, and the conflicts."""
    stored = _find_stored(con, events)
    fresh: list[NewEvent] = []
    conflicts = 0
    for event in events:
        content = (event.type, event.payload)
        known = stored.get((event.batch_id, event.event_id), content)
        if known != content:
            event = event._replace(event_id=_conflict_id(event))  # noqa: PLW2901
            conflicts += (event.batch_id, event.event_id) not in stored
        if (event.batch_id, event.event_id) not in stored:
            stored[(event.batch_id, event.event_id)] = content
            fresh.append(event)
    return fresh, conflicts


def _conflict_id(event: NewEvent) -> str:
    name = f"{event.event_id}|{sha256_bytes(event.payload)}"
    return str(uuid.uuid5(_CONFLICTS, name))


def _find_stored(
    con: sqlite3.Connection, events: Sequence[NewEvent]
) -> dict[tuple[str, str], tuple[str, bytes]]:
    """Return (batch, id) -> (type, payload) of what is stored under the ids that events may get."""
    stored: dict[tuple[str, str], tuple[str, bytes]] = {}
    by_batch: dict[str, list[NewEvent]] = {}
    for event in events:
        by_batch.setdefault(event.batch_id, []).append(event)
    for batch_id, group in by_batch.items():
        stored.update(_find_ids(con, batch_id, [event.event_id for event in group]))
        others = [
            _conflict_id(event)
            for event in group
            if stored.get((batch_id, event.event_id)) not in (None, (event.type, event.payload))
        ]
        stored.update(_find_ids(con, batch_id, others))
    return stored


def _find_ids(
    con: sqlite3.Connection, batch_id: str, event_ids: Sequence[str]
) -> Iterator[tuple[tuple[str, str], tuple[str, bytes]]]:
    parameters = {"batch_id": batch_id, "event_ids": json.dumps(event_ids)}
    for event_id, kind, payload in con.execute(load("inbox/find_stored"), parameters):
        yield (batch_id, event_id), (kind, payload)
