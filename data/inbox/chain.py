"""The check of the event log's chain: whether each row still fits its hash and the row before.

Omitted on purpose: mending. Whoever finds the log changed restores a backup.
"""

import sqlite3
from collections import deque
from collections.abc import Iterator

from data.errors import InputError
from data.identity import sha256_text
from data.inbox.connection import path_of, worded
from data.inbox.events import Event, Head, digest_of, head, read


def read_verified(
    con: sqlite3.Connection, *, until: Head, expected: Head | None = None
) -> Iterator[Event]:
    """Yield the whole log up to a head, one by one, each event after its hash was checked.

    That the log ends in the head is known at the end only: keep nothing of it before.

    Args:
        con: The inbox.
        until: Its head; what is appended later is left out.
        expected: A head noted earlier, which must still be part of the log; a head of another
            inbox is an error.

    Raises:
        InputError: Naming the first seq that does not fit, or that a head is gone.
    """
    with worded(con):
        seq, digest = 0, sha256_text(until.inbox_id)
        noted = expected or Head(inbox_id=until.inbox_id, seq=seq, sha256=digest)
        if noted.inbox_id != until.inbox_id:
            raise _broken(con, f"it is not the inbox {noted.inbox_id[:8]} that was read before")
        _check_noted(con, seq, digest, noted)
        for event in read(con):
            if event.seq > until.seq:
                break
            _check_link(con, seq, digest, event)
            seq, digest = event.seq, event.sha256
            _check_noted(con, seq, digest, noted)
            yield event
        if seq < noted.seq:
            raise _broken(con, f"it ends at event {seq}, and event {noted.seq} was read before")
        if (seq, digest) != (until.seq, until.sha256):
            raise _broken(con, f"event {until.seq} was replaced while it was read")


def verify(con: sqlite3.Connection, *, expected: Head | None = None) -> Head:
    """Check the whole log as read_verified does, and return its head."""
    with worded(con):
        end = head(con)
        deque(read_verified(con, until=end, expected=expected), maxlen=0)
    return end


def _check_noted(con: sqlite3.Connection, seq: int, digest: str, noted: Head) -> None:
    if seq == noted.seq and digest != noted.sha256:
        raise _broken(con, f"event {seq} is not the one that was read before")


def _check_link(con: sqlite3.Connection, seq: int, digest: str, event: Event) -> None:
    """Check an event against the seq and the hash of the one before."""
    if event.seq != seq + 1:
        raise _broken(con, f"event {seq + 1} is missing")
    if event.sha256 != digest_of(digest, event, event.at).hex():
        raise _broken(con, f"event {event.seq} does not fit its hash and the event before it")


def _broken(con: sqlite3.Connection, reason: str) -> InputError:
    return InputError(
        f"{path_of(con)}: the log of the inbox was changed: {reason}; restore a backup, or find out"
        " who wrote to the file before you trust its rankings"
    )
