"""Annotators and an ingester that kill themselves at set points and begin again.

`exactly_once_driver.py client FOLDER ANNOTATOR` ranks what the inbox hands out, `... ingest FOLDER`
takes the inbox in, again and again, until the clients are done. Each life is a fork: it runs from
the files alone, and ends by SIGKILL before its n-th step or, the last one, by itself.
"""

import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data import ingest as ingest_module
from data import intake, ledger, ledger_rankings
from data.identity import canonical_json
from data.inbox.assignments import Assignment, Result, next_task, submit
from data.inbox.connection import open_inbox
from data.store import open_store

BATCH = "b_0123456789abcdef"
CLIENT_STEPS = (3, 16, 22, 35, 41, 54)
INGEST_STEPS = (1, 4, 9, 13, 16, 19, 21, 22, 23, 27, 34, 45)
NO_END = 10**9


class Life:
    """A countdown of steps to a kill."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, *_: object) -> None:
        self.left -= 1
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            self.step()
            return function(*given, **named)

        return wrapped


def client(folder: Path, annotator: str, life: Life) -> None:
    """Rank until nothing is left; what was begun and perhaps sent before a kill is sent again."""
    journal = folder / f"{annotator}.jsonl"
    with open_inbox(folder / "inbox.sqlite") as con:
        # Called for each statement: a kill falls between any two of a transaction.
        con.set_trace_callback(life.step)
        for row in list(read_journal(journal))[-1:]:
            assert submit(con, batch_id=BATCH, row=row, now=now()) in (Result.STORED, Result.REPLAY)
        while (given := next_task(con, annotator, now=now())) is not None:
            row = answer(given)
            with journal.open("a", encoding="utf-8") as file:
                file.write(canonical_json(row) + "\n")
            assert submit(con, batch_id=BATCH, row=row, now=now()) is Result.STORED
            for _ in range(int(row["event_id"][0], 16) % 3):
                assert submit(con, batch_id=BATCH, row=row, now=now()) is Result.REPLAY


def ingester(folder: Path, life: Life) -> None:
    """Take the batch in until the clients are done and all has been taken in."""
    for name in ("find_rows", "write_rows"):
        setattr(ledger_rankings, name, life.before(getattr(ledger_rankings, name)))
        setattr(ledger, name, life.before(getattr(ledger, name)))
    ledger.put_head = life.before(ledger.put_head)
    ingest_module.run_checks = life.before(ingest_module.run_checks)
    is_last = False
    while not is_last:
        is_last = (folder / "done").exists() and life.left > NO_END // 2
        with open_inbox(folder / "inbox.sqlite", read_only=True) as inbox:
            take_in(folder, inbox)
        life.step()
        time.sleep(0.02)


def take_in(folder: Path, inbox: Any) -> None:
    source = intake.inbox_source(inbox)
    with open_store(folder / "store.duckdb") as store:
        taken = intake.read_batch(inbox, BATCH, expected=ledger.ingested_head(store, source))
        ingest_module.ingest(
            store,
            prompts=folder / "prompts.parquet",
            sets=[folder / "sets.jsonl"],
            rankings=taken.rankings,
            decisions=taken.decisions,
            head=taken.head,
            run_id="run",
            now=now(),
            new_role="import",
        )


def answer(given: Assignment) -> dict[str, Any]:
    at = now().isoformat()
    return {
        "schema": "ranking/1",
        "event_id": str(uuid.uuid4()),
        "set_id": given.task.set_id,
        "annotator_id": given.annotator_id,
        "revision": 1,
        "outcome": "ranked",
        "coverage": "full",
        "tiers": {name: tier for tier, name in enumerate(given.display_order, start=1)},
        "display_order": list(given.display_order),
        "touched": True,
        "started_at": at,
        "submitted_at": at,
        "active_ms": 0,
        "ui_version": "test/1",
    }


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines only: a kill may cut the last one, which was not sent then."""
    with suppress(FileNotFoundError):
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def now() -> datetime:
    return datetime.now(UTC)


def live(steps: int, body: Callable[[Life], None]) -> int:
    """One life in a fork; returns its exit status as waitpid gives it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            body(Life(steps))
            status = 0
        except BaseException as error:  # noqa: BLE001 (the parent sees the status alone)
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def main() -> None:
    kind, folder, *rest = sys.argv[1:]
    if kind == "client":
        deaths, body = CLIENT_STEPS, lambda life: client(Path(folder), rest[0], life)
    else:
        deaths, body = INGEST_STEPS, lambda life: ingester(Path(folder), life)
    ends = [live(steps, body) for steps in (*deaths, NO_END)]
    killed = sum(os.WIFSIGNALED(end) for end in ends)
    failed = sum(end not in (0, signal.SIGKILL) for end in ends)
    sys.stdout.write(json.dumps({"killed": killed, "failed": failed}))


if __name__ == "__main__":
    main()
