"""One run at a time for each var/, by a kernel lock that dies with its holder.

Prefect's own lock files stay behind after a SIGKILL and block the next run for ever.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import InputError
from flows.environment import cannot_write

LOCK_FILE = "run.lock"

# What this process holds. Process ids do not tell: two containers may share var/ and a number.
_held: set[Path] = set()


@contextmanager
def run_lock(var: Path) -> Iterator[None]:
    """Hold var/ for one run. A flow inside a command that holds it shares its lock.

    Raises:
        InputError: Another process holds it, or var/ cannot be written.
    """
    place = var.resolve()
    if place in _held:
        yield
        return
    descriptor = _open(var)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(_busy(var, _pid_in(descriptor))) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        _held.add(place)
        yield
    finally:
        _held.discard(place)
        os.close(descriptor)


def lock_holder(lock: Path) -> str | None:
    """Process id of the holder of a lock file, None where it is free or not there."""
    if not lock.exists():
        return None
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid_in(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _open(var: Path) -> int:
    try:
        var.mkdir(parents=True, exist_ok=True)
        return os.open(var / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise cannot_write(var, error) from None


def _pid_in(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode() or "unknown"


def _busy(var: Path, pid: str) -> str:
    return (
        f"{var} is in use by another run (process {pid}). Wait until it ends, or stop it with "
        f"`kill {pid}`; finished stages are kept."
    )
