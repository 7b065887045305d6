"""Runs a command that must not outlive us: `python guard.py COMMAND ARGUMENT...`.

The command ends when this process's standard input does, and the kernel closes that pipe however
our parent dies, SIGKILL included. Its own session keeps Ctrl-C away from it, so that a flow can
still report to its server that it was interrupted.

Standard library only: it is started as a plain file, before anything else is imported.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

SECONDS_TO_STOP = 5.0


def start_guarded(command: list[str], env: dict[str, str], log: int) -> "subprocess.Popen[bytes]":
    """Start `command` under a guard; close the result's stdin (or die) to stop it.

    Args:
        command: Program and arguments.
        env: Its environment.
        log: File descriptor for its output.
    """
    return subprocess.Popen(  # noqa: S603 - our own command lines only
        [sys.executable, __file__, *command],
        env=env,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def stop_guarded(guard: "subprocess.Popen[bytes]") -> None:
    """End a guarded command and wait until it is gone."""
    if guard.stdin is not None:
        guard.stdin.close()
    guard.wait(timeout=2 * SECONDS_TO_STOP)


def main(command: list[str]) -> int:
    """Run `command` until it ends or our standard input does. Returns its exit code."""
    child = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, start_new_session=True
    )
    signal.signal(signal.SIGTERM, lambda *_: _stop(child))
    threading.Thread(target=_stop_at_end_of_input, args=(child,), daemon=True).start()
    return child.wait()


def _stop_at_end_of_input(child: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 4096):
        pass
    _stop(child)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """Ask the command's whole process group to end, then make it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=SECONDS_TO_STOP)
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
