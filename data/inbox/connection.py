"""The inbox's file: create it, open it, write to it in one transaction.

It is built under a temporary name and linked to its own, so that a crash leaves no half of it and
of two processes that create it at once the second finds the first one's. The file and its journal
are readable by their owner alone.

Omitted on purpose: migrations. An inbox of another version is refused, not changed.
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import NoReturn

from data.errors import InputError
from data.inbox.times import to_text
from data.queries import load, names

INBOX_VERSION = 1
WAIT_SECONDS = 10.0


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
    if not path.exists():
        if read_only:
            raise InputError(f"{path}: there is no inbox yet; publish sets for ranking first")
        _create(path)
    with closing(_connect(path, read_only=read_only)) as con:
        _check_version(con, path)
        yield con


@contextmanager
def write(con: sqlite3.Connection) -> Iterator[None]:
    """Commit the block as a whole, or leave nothing of it. One writer at a time, in turn.

    Raises:
        InboxBusyError: If other processes write for longer than the wait.
        InputError: If the disk is full or the file cannot be written.
    """
    with worded(con), _turn(path_of(con)), _transaction(con):
        yield


@contextmanager
def worded(con: sqlite3.Connection) -> Iterator[None]:
    """Put SQLite's errors about the file, the disk and the lock into words for the user."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        _raise_worded(path_of(con), error)


def path_of(con: sqlite3.Connection) -> Path:
    """Return the file of a connection."""
    return Path(con.execute(load("inbox/find_path")).fetchone()[0])


def inbox_id(con: sqlite3.Connection) -> str:
    """Return the inbox's random id: 32 hexadecimal digits, made when it was created."""
    return str(con.execute(load("inbox/find_inbox")).fetchone()["inbox_id"])


def shuffle_secret(con: sqlite3.Connection) -> bytes:
    """Return the secret that orders the responses of a set for each annotator."""
    return bytes(con.execute(load("inbox/find_inbox")).fetchone()["shuffle_secret"])


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Wait for one's turn to write: first come, first served, until the process dies.

    SQLite's own wait sleeps longer and longer between its tries, up to 0.1 s: with eight busy
    writers some were overtaken for ten seconds. The kernel wakes whoever has waited longest.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InputError(
            f"{path}: the inbox cannot be written there ({error.strerror}); check the directory"
        ) from None
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # In a thread, because the call knows no time limit. Closing the file ends a late success.
        waiting = Thread(target=fcntl.flock, args=(descriptor, fcntl.LOCK_EX), daemon=True)
        waiting.start()
        waiting.join(WAIT_SECONDS)
        if waiting.is_alive():
            raise _busy(path) from None


@contextmanager
def _transaction(con: sqlite3.Connection) -> Iterator[None]:
    con.execute(load("inbox/begin_write"))
    try:
        yield
        con.commit()
    except BaseException:
        con.rollback()
        raise


def _busy(path: Path) -> InboxBusyError:
    return InboxBusyError(
        f"{path}: another process has been writing to the inbox for {WAIT_SECONDS:g} s;"
        " try again when it has ended"
    )


def _raise_worded(path: Path, error: sqlite3.DatabaseError) -> NoReturn:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise _busy(path) from None
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        raise InputError(
            f"{path}: the inbox is damaged ({error}); keep a copy of it and of {path.name}-wal,"
            " then restore a backup"
        ) from None
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY):
        raise InputError(
            f"{path}: the inbox cannot be written ({error}); nothing of this step was stored."
            " Free space or mend the permissions, and try again"
        ) from None
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        raise InputError(
            f"{path}: the inbox cannot be opened ({error}); check the path and its permissions"
        ) from None
    raise error


def _create(path: Path) -> None:
    temporary = path.with_name(f"{path.name}.creating-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise InputError(
            f"{path}: the inbox cannot be written there ({error.strerror}); check the directory"
        ) from None
    try:
        with closing(_connect(temporary)) as con:
            con.execute(load("inbox/journal_mode"))
            with _transaction(con):
                _fill(con)
        _sync(temporary)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return  # Another process was first.
        _sync(path.parent)
    finally:
        temporary.unlink()


def _fill(con: sqlite3.Connection) -> None:
    for name in names("inbox/schema/"):
        con.execute(load(name))
    facts = {
        "version": INBOX_VERSION,
        "inbox_id": secrets.token_hex(16),
        "shuffle_secret": secrets.token_bytes(32),
        "created_at": to_text(datetime.now(UTC)),
    }
    con.execute(load("inbox/insert_inbox"), facts)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    mode = "ro" if read_only else "rw"
    address = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        con = sqlite3.connect(address, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
    except sqlite3.OperationalError as error:
        _raise_worded(path, error)
    con.row_factory = sqlite3.Row
    try:
        con.executescript(load("inbox/pragmas"))
    except sqlite3.DatabaseError as error:
        con.close()
        _raise_worded(path, error)
    return con


def _check_version(con: sqlite3.Connection, path: Path) -> None:
    try:
        row = con.execute(load("inbox/find_inbox")).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            _raise_worded(path, error)
        row = None
    except sqlite3.DatabaseError as error:
        _raise_worded(path, error)
    found = row["version"] if row else "unknown"
    if found != INBOX_VERSION:
        raise InputError(
            f"{path}: this is an inbox of version {found}, and this program writes version"
            f" {INBOX_VERSION}; move the file away to begin a new inbox, and the store"
            " (store.duckdb) with it: it has taken in rankings of this one"
        )
