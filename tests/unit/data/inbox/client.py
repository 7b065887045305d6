"""An annotator's browser: takes tasks, answers, and sends again what was not confirmed.

Before it sends, it writes the row to a file of its own; after the answer, what became of it. One
that was killed and begins again sends the unconfirmed row first. Every third row is sent twice.
"""

import contextlib
import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from data.inbox import assignments
from data.inbox.connection import open_inbox
from tests.unit.data.inbox.builders import make_row


class Write(Protocol):
    def __call__(self, con: sqlite3.Connection) -> AbstractContextManager[None]: ...


def run(inbox: Path, annotator_id: str, file: Path, *, deaths: float, seed: int) -> None:
    """Work until no task is left, or until death.

    Args:
        deaths: Chance to be killed before a commit, and again after it.
        seed: Of the moments of death.
    """
    written = notes(file)
    confirmed = {it["event_id"] for it in written if "result" in it}
    pending = [it for it in written if "row" in it and it["event_id"] not in confirmed]
    dice = random.Random(seed)  # noqa: S311
    assignments.write = _deadly(assignments.write, deaths, dice)  # type: ignore[attr-defined]
    count = 0
    while True:
        with open_inbox(inbox) as con:
            if not pending:
                given = assignments.next_task(con, annotator_id, now=datetime.now(UTC))
                if given is None:
                    return
                row = make_row(given)
                pending = [{"event_id": row["event_id"], "batch_id": given.batch_id, "row": row}]
                _note(file, pending[0])
            sent = pending.pop()
            start = time.perf_counter()
            result = _send(con, sent)
            seconds = time.perf_counter() - start
            count += 1
            if count % 3 == 0:
                _send(con, sent)
        _note(file, {"event_id": sent["event_id"], "result": result, "seconds": seconds})


def notes(file: Path) -> list[dict[str, Any]]:
    """What a client wrote; a line that a death cut off says nothing."""
    found = []
    for line in file.read_text().splitlines() if file.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            found.append(json.loads(line))
    return found


def _note(file: Path, line: dict[str, Any]) -> None:
    with file.open("a") as lines:
        lines.write("\n" + json.dumps(line) + "\n")


def _send(con: sqlite3.Connection, sent: dict[str, Any]) -> str:
    now = datetime.now(UTC)
    return assignments.submit(con, batch_id=sent["batch_id"], row=sent["row"], now=now)


def _deadly(write: Write, deaths: float, dice: random.Random) -> Write:
    @contextmanager
    def deadly(con: sqlite3.Connection) -> Iterator[None]:
        with write(con):
            yield
            _perhaps_die(deaths, dice)
        _perhaps_die(deaths, dice)

    return deadly


def _perhaps_die(deaths: float, dice: random.Random) -> None:
    if dice.random() < deaths:
        os.kill(os.getpid(), signal.SIGKILL)
