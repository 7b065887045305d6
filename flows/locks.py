"""One run at a time for each var/, by a kernel lock that dies with its holder.

Prefect's own lock files stay behind after a SIGKILL and block the next run for ever. The same kind
of lock says that the ranking page or a server of ours is up, and where: a text in the file that
counts only while the lock is held.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import InputError
from flows.environment import cannot_write

LOCK_FILE = "run.lock"
PAGE_LOCK = "annotate.lock"
_POLL_SECONDS = 0.5
# Who only looks at a lock has it for an instant, too.
_TRIES, _TRY_SECONDS = 10, 0.02

# What this process holds. Process ids do not tell: two containers may share var/ and a number.
_held: set[Path] = set()


@contextmanager
def run_lock(var: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold var/ for one run. A flow inside a command that holds it shares its lock.

    Args:
        var: The directory of all mutable state.
        wait: Wait for another run to end, instead of refusing.

    Raises:
        InputError: Another process holds it, or var/ cannot be written.
    """
    place = var.resolve()
    if place in _held:
        yield
        return
    descriptor = _open(var / LOCK_FILE)
    try:
        while not _acquire(descriptor):
            if not wait:
                raise InputError(_busy(var, _text_in(descriptor)))
            time.sleep(_POLL_SECONDS)
        note(descriptor, str(os.getpid()))
        _held.add(place)
        yield
    finally:
        _held.discard(place)
        os.close(descriptor)


@contextmanager
def hold(lock: Path, text: str) -> Iterator[int]:
    """Hold a lock file with a text in it, such as the address of a page that is up.

    Yields:
        The descriptor: a child that inherits it goes on holding the lock.

    Raises:
        InputError: Another process holds it, or it cannot be written.
    """
    descriptor = _open(lock)
    try:
        if not _acquire(descriptor):
            raise InputError(f"{lock} is held by another process ({_text_in(descriptor)})")
        note(descriptor, text)
        yield descriptor
    finally:
        os.close(descriptor)


def this_place() -> str:
    """Where process ids of ours mean something: this machine, and in it this container."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = "pid"
    return f"{socket.gethostname()}/{space}"


def note(descriptor: int, text: str) -> None:
    """Replace the text in a lock file that is held."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def lock_holder(lock: Path) -> str | None:
    """What the holder of a lock file wrote into it, None where it is free or not there."""
    if not lock.exists():
        return None
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _text_in(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _acquire(descriptor: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_TRY_SECONDS)
        else:
            return True
    return False


def _open(lock: Path) -> int:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise cannot_write(lock.parent, error) from None


def _text_in(descriptor: int) -> str:
    return os.pread(descriptor, 256, 0).decode() or "unknown"


def _busy(var: Path, pid: str) -> str:
    return (
        f"{var} is in use by another run (process {pid}). Wait until it ends, or stop it with "
        f"`kill {pid}`; finished stages are kept."
    )
