"""Processes that are measured from outside: what they may take, and what they took.

Linux alone: the peak is read from /proc.
"""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple, TextIO

import psutil


class Outcome(NamedTuple):
    """How a child process ended.

    Attributes:
        output: Its standard output.
        failure: Why there is no result, in words; empty if it ended well.
    """

    output: str
    failure: str


def run_child(command: Sequence[str], *, seconds: float, max_bytes: float) -> Outcome:
    """Run a process and end it where it takes more time or resident memory than it may."""
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        begin, failure = time.monotonic(), ""
        while process.poll() is None and not failure:
            time.sleep(0.1)
            if time.monotonic() - begin > seconds:
                failure = f"over {seconds:.0f} s"
            elif _resident(process.pid) > max_bytes:
                failure = f"over {max_bytes / 2**30:.0f} GiB"
        if failure:
            process.kill()
        if process.wait() and not failure:
            said = _read(errors).strip().splitlines()
            failure = said[-1] if said else f"exit status {process.returncode}"
        return Outcome(_read(output), failure)


def peak_memory() -> int:
    """Bytes: the most resident memory that this process has had (VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _read(file: TextIO) -> str:
    file.seek(0)
    return file.read()


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
