"""The store: one DuckDB file, a ledger of facts over all runs, owned by one process at a time.

A store is created under a temporary name and renamed, because a crash inside DuckDB's own creation
leaves a file that cannot be opened. A lock file beside it turns "conflicting lock" into a message
that names the holder. An open store can read and write no file outside the directories allowed.

Omitted on purpose: migrations. A store of another version is refused, not changed.

References:
    DuckDB 2.0, Concurrency, https://duckdb.org/docs/2.0/connect/concurrency
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import duckdb

from data.errors import InputError
from data.hardening import harden
from data.identity import canonical_json
from data.queries import load, names

STORE_VERSION = 2
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """How the store is opened.

    Attributes:
        memory_limit: Memory DuckDB may use before it spills to disk, such as "1GB".
        threads: Threads of DuckDB, >= 1.
        wait_seconds: How long to wait for another process to close the store, >= 0.
    """

    memory_limit: str = "1GB"
    threads: int = 2
    wait_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Refuse values that DuckDB would refuse later, less clearly."""
        if not re.fullmatch(r"\d+(\.\d+)?(MB|GB|MiB|GiB)", self.memory_limit):
            raise ValueError(f"memory_limit is {self.memory_limit!r}; write it as '1GB'")
        if self.threads < 1:
            raise ValueError(f"threads is {self.threads}; it must be at least 1")
        if self.wait_seconds < 0:
            raise ValueError(f"wait_seconds is {self.wait_seconds}; it must be at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRecord:
    """How an artifact was made.

    Attributes:
        kind: What it is, the name of its folder.
        sha256: Identity of its payload, 64 hexadecimal digits.
        inputs: Name -> sha256 of each artifact it was made from.
        config: The config subset that its stage read.
        seconds: Wall time of making it.
    """

    kind: str
    sha256: str
    stage: str
    cache_key: str
    inputs: Mapping[str, str]
    config: Mapping[str, Any]
    code_digest: str
    seed: int
    numerics: str
    versions: Mapping[str, str]
    run_id: str
    seconds: float


@contextmanager
def open_store(
    path: Path, *, allowed: Sequence[Path] = (), config: StoreConfig | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the store for reading and writing, creating it when it is missing.

    Args:
        path: The store file.
        allowed: Directories that SQL may read and write, for snapshots.
        config: Limits; the default ones when None.

    Yields:
        The connection; it is closed at the end of the block.

    Raises:
        InputError: If another process holds the store, the place is not writable, or the file is
            no store of this version.
    """
    config = config or StoreConfig()
    with _locked(path, config.wait_seconds):
        if not path.exists():
            _create(path, config)
        con = _connect(path, config)
        try:
            _check_version(con, path)
            harden(con, allowed)
            yield con
        finally:
            con.close()


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit the block as a whole, or leave nothing of it."""
    con.begin()
    try:
        yield
    except BaseException:
        con.rollback()
        raise
    con.commit()


def record_artifact(con: duckdb.DuckDBPyConnection, record: ArtifactRecord) -> None:
    """Write the row of an artifact; the same row twice is one row."""
    row = asdict(record)
    for name in ("inputs", "config", "versions"):
        row[name] = canonical_json(row[name])
    with transaction(con):
        con.execute(load("ledger/insert_artifact"), row)


@contextmanager
def _locked(path: Path, wait_seconds: float) -> Iterator[None]:
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a+b")
    except OSError as error:
        raise InputError(
            f"{path}: the store cannot be written there ({error.strerror}); check the directory"
        ) from None
    with file:
        _acquire(file, path, wait_seconds)
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        yield


def _acquire(file: BinaryIO, path: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.seek(0)
                raise _held(path, file.read(20).decode("ascii", "replace")) from None
            time.sleep(_POLL_SECONDS)
        else:
            return


def _held(path: Path, process: str) -> InputError:
    holder = f"process {process}" if process else "another process"
    return InputError(f"{path}: the store is open in {holder}; stop it, or wait and try again")


def _create(path: Path, config: StoreConfig) -> None:
    temporary = path.with_name(path.name + ".creating")
    for leftover in (temporary, temporary.with_name(temporary.name + ".wal")):
        leftover.unlink(missing_ok=True)
    con = _connect(temporary, config)
    try:
        with transaction(con):
            for name in names("schema/"):
                con.execute(load(name))
            con.execute(load("ledger/insert_version"), {"version": STORE_VERSION})
        con.execute("checkpoint")
    finally:
        con.close()
    _sync(temporary)
    temporary.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path, config: StoreConfig) -> duckdb.DuckDBPyConnection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": config.memory_limit,
        "threads": config.threads,
        # Without it a damaged log is taken for a torn one, and committed rows vanish silently.
        "debug_abort_on_wal_failure": "true",
    }
    try:
        return duckdb.connect(str(path), config=settings)
    except duckdb.IOException as error:
        holder = re.search(r"Conflicting lock.*\(PID (\d+)\)", str(error))
        if holder:
            raise _held(path, holder[1]) from None
        raise _damaged(path, error) from None
    except (duckdb.SerializationException, duckdb.InternalException) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(
        f"{path}: the store cannot be opened ({reason}); keep a copy of it and of {path.name}.wal,"
        " then restore a backup, or move both away to begin a new store, and leave the inbox"
        " (inbox.sqlite) where it is: its rankings are taken in again"
    )


def _check_version(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    try:
        row = con.execute(load("ledger/find_version")).fetchone()
    except duckdb.CatalogException:
        row = None
    found = row[0] if row else "unknown"
    if found != STORE_VERSION:
        raise InputError(
            f"{path}: this is a store of version {found}, and this program writes version"
            f" {STORE_VERSION}; move the file away to begin a new store, and leave the inbox"
            " (inbox.sqlite) where it is: its rankings are taken in again"
        )
