"""The inbox's file: create it, open it, write to it in one transaction, read it at one moment."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import InputError

INBOX_VERSION = 1


class InboxBusyError(InputError):
    """Another process kept the inbox locked for longer than the wait; trying again is right."""


@contextmanager
def open_inbox(path: Path, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    """Open the inbox; create it when it is missing.

    A connection belongs to one thread. Opening costs about a millisecond: open one per request.

    Args:
        path: The inbox's file, on a local disk.
        read_only: Refuse to create and to write.

    Yields:
        The connection; it is closed at the end of the block.

    Raises:
        InputError: If the file is missing (read_only), damaged, of another version, or its place
            is not writable.
    """
    raise NotImplementedError
    yield


@contextmanager
def write(con: sqlite3.Connection) -> Iterator[None]:
    """Commit the block as a whole, or leave nothing of it. One writer at a time.

    Raises:
        InboxBusyError: If another process writes for longer than the wait.
        InputError: If the disk is full or the file cannot be written.
    """
    raise NotImplementedError
    yield


@contextmanager
def snapshot(con: sqlite3.Connection) -> Iterator[None]:
    """Read within the block as of one moment, whatever others write meanwhile."""
    raise NotImplementedError
    yield


def inbox_id(con: sqlite3.Connection) -> str:
    """Return the inbox's random id: 32 hexadecimal digits, made when it was created."""
    raise NotImplementedError


def backup(con: sqlite3.Connection, path: Path) -> None:
    """Write a copy of the inbox, as of one moment, to a new file."""
    raise NotImplementedError
