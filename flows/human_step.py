"""The human step between two runs: what waits, what may go on, and who starts the rest.

A run that waits has ended, and nothing is held: the batch in the inbox is all that is left of it,
with the config it is to go on with. `watch` looks at the inbox while the ranking page is up. When a
gate opens it starts the rest: a process of its own, or, where a Prefect server has the deployment
for it, an event that starts that. A later `rlhf run` does the same by hand.

Omitted on purpose: when a gate is open (data/inbox/batches.py) and what a batch is
(tasks/ranking_batch.py).
"""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from data.errors import InputError
from data.inbox import INBOX_FILE, batches, mirror
from data.inbox.batches import Progress
from data.inbox.connection import open_inbox
from data.inbox.events import Head
from flows.locks import LOCK_FILE, lock_holder
from flows.words import program

ENOUGH_EVENT = "rlhf.rankings.enough"
TRAIN_DEPLOYMENT = "rlhf-train/train"
COLLECT_STAGE = "collect_rankings"
RUN_LOG = "annotate-run.log"
POLL_SECONDS = 1.0
FLUSH_SECONDS = 10.0

Say = Callable[[str], None]


def batches_for_people(var: Path) -> list[Progress]:
    """How far each batch is that people are asked to rank, the one published first in front."""
    if not (var / INBOX_FILE).exists():
        return []
    with open_inbox(var / INBOX_FILE, read_only=True) as inbox:
        found = batches.list_progress(inbox, now=datetime.now(UTC))
    return [progress for progress in found if progress.tasks]


def is_unfinished(progress: Progress) -> bool:
    """Whether no run has trained on the batch yet, and one may."""
    return progress.batch.finished_at is None and progress.batch.withdrawn_at is None


def waits_for_a_run(var: Path, batch_id: str) -> bool:
    """Whether a batch is there and unfinished."""
    return any(
        it.batch.batch_id == batch_id and is_unfinished(it) for it in batches_for_people(var)
    )


def ready_batches(var: Path) -> list[Progress]:
    """Unfinished batches whose gate is open: enough rankings, the deadline, or nothing left."""
    now = datetime.now(UTC)
    return [it for it in batches_for_people(var) if is_unfinished(it) and it.is_open(now)]


def untried_batches(var: Path) -> list[Progress]:
    """Ready batches but those whose rest has failed, with no ranking more since then."""
    ready = ready_batches(var)
    if not ready:
        return []
    with open_inbox(var / INBOX_FILE, read_only=True) as inbox:
        return [it for it in ready if not failure_of(inbox, it)]


def note_failure(var: Path, progress: Progress, why: str) -> None:
    """Note that the rest of a batch failed, so that no schedule starts it again and again."""
    now = datetime.now(UTC)
    text = json.dumps({"have": progress.have, "why": why, "at": now.isoformat()})
    with open_inbox(var / INBOX_FILE) as inbox:
        mirror.put(inbox, _failure_key(progress), text, now=now)


def failure_of(inbox: sqlite3.Connection, progress: Progress) -> str:
    """Why the rest of a batch failed; empty where it did not, or rankings came since."""
    noted = json.loads(mirror.get(inbox, _failure_key(progress)) or "{}")
    return str(noted["why"]) if noted.get("have") == progress.have else ""


def _failure_key(progress: Progress) -> str:
    return f"failed:{progress.batch.batch_id}"


def finish_batch(var: Path, summary: Mapping[str, Any]) -> None:
    """Note in the inbox that a run went to its end with the batch that `summary` names.

    Args:
        var: The directory of all mutable state.
        summary: Of collect_rankings.
    """
    head = Head(
        inbox_id=str(summary["inbox_id"]),
        seq=int(summary["inbox_seq"]),
        sha256=str(summary["inbox_sha256"]),
    )
    with open_inbox(var / INBOX_FILE) as inbox:
        batches.finish(inbox, str(summary["batch_id"]), head, now=datetime.now(UTC))


def refresh_key(batch_id: str) -> str:
    """Under which the lead's page asks, in the inbox's mirror, to take in what is there now."""
    return f"refresh:{batch_id}"


def watch(var: Path, stop: threading.Event, say: Say) -> None:
    """Start what may go on, one run at a time, until `stop` is set.

    A run that was started goes on when this ends.

    Args:
        var: The directory of all mutable state.
        stop: Ends the watch within a second.
        say: Told one sentence for each thing that happens.
    """
    watcher = _Watcher(var=var, say=say)
    trouble = ""
    while not stop.wait(POLL_SECONDS):
        try:
            watcher.look()
        except Exception as error:  # noqa: BLE001 - else the thread ends, and the page stays up
            # Said once: a busy inbox or a full disk may be well again at the next look.
            said = (
                str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            )
            if said != trouble:
                say(f"cannot look for rankings: {said}")
            trouble = said
        else:
            trouble = ""


@dataclass(slots=True, kw_only=True)
class _Watcher:
    """What was started, and what was begun, so that nothing is started or told for ever.

    A rest that fails is noted in the inbox and counts as begun until more rankings come.

    Attributes:
        begun: {batch that is ready still: its number of rankings when the rest was last started}.
        run: The process that is on its way, with what to do when it ends.
    """

    var: Path
    say: Say
    begun: dict[str, int] = field(default_factory=dict)
    run: "tuple[subprocess.Popen[bytes], Callable[[int], None]] | None" = None

    def look(self) -> None:
        """Look once: at the run that was started, then for the next one."""
        if self.run is not None:
            process, ended = self.run
            if process.poll() is None:
                return
            # First: what cannot be noted now, because the inbox is busy, is noted at the next look.
            ended(process.returncode)
            self.run = None
        if lock_holder(self.var / LOCK_FILE) is not None:
            return
        ready = untried_batches(self.var)
        names = {it.batch.batch_id for it in ready}
        self.begun = {name: have for name, have in self.begun.items() if name in names}
        for progress in ready:
            if self.begun.get(progress.batch.batch_id) != progress.have:
                self._go_on(progress)
                self.begun[progress.batch.batch_id] = progress.have
                return
        # Of a batch that is over it would publish that again, and withdraw the one in work.
        for progress in filter(is_unfinished, batches_for_people(self.var)):
            asked_at = self._asked_at(progress.batch.batch_id)
            if asked_at:
                self._refresh(progress, asked_at)
                return

    def _go_on(self, progress: Progress) -> None:
        batch = progress.batch
        rankings = f"{progress.have} of {batch.wanted} rankings for {batch.name}"
        if has_train_deployment():
            # Once: more rankings change nothing while the server has not begun.
            if batch.batch_id not in self.begun:
                emit_enough(batch.batch_id)
                self.say(f"{rankings}: told the Prefect server, which starts {TRAIN_DEPLOYMENT}")
            return
        process = self._start(progress)
        log = self.var / RUN_LOG

        def note_end(code: int) -> None:
            if code == 0:
                self.say(f"the run has ended; {program()} report prints its figures")
                return
            why = f"exit code {code}; {log} says why and how to go on"
            note_failure(self.var, progress, why)
            self.say(f"the run has ended with {why}")

        self.run = process, note_end
        self.say(f"{rankings}: the rest runs now, as process {process.pid}; its output: {log}")

    def _refresh(self, progress: Progress, asked_at: str) -> None:
        process = self._start(progress, "--until", COLLECT_STAGE)

        def note_end(code: int) -> None:
            if self._asked_at(progress.batch.batch_id) == asked_at:
                now = datetime.now(UTC)
                done = {"at": asked_at, "done_at": now.isoformat(), "exit_code": code}
                with open_inbox(self.var / INBOX_FILE) as inbox:
                    key = refresh_key(progress.batch.batch_id)
                    mirror.put(inbox, key, json.dumps(done), now=now)

        self.run = process, note_end
        self.say(f"taking in the {progress.have} rankings for {progress.batch.name}")

    def _asked_at(self, batch_id: str) -> str:
        """When the lead asked to take in what is there; empty where that was done."""
        with open_inbox(self.var / INBOX_FILE, read_only=True) as inbox:
            asked = json.loads(mirror.get(inbox, refresh_key(batch_id)) or "{}")
        return "" if "done_at" in asked else str(asked.get("at", ""))

    def _start(self, progress: Progress, *more: str) -> "subprocess.Popen[bytes]":
        """Start a run with the config of a batch, its output at the end of the log."""
        config = self.var / "batches" / f"{progress.batch.batch_id}.json"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(progress.batch.config, encoding="utf-8")
        batch = ("--batch", progress.batch.batch_id)
        command = [*_RLHF, "run", "--wait", *batch, "--config", str(config), *more]
        with (self.var / RUN_LOG).open("ab") as log:
            return _start_apart(command, {**os.environ, "RLHF_VAR": str(self.var)}, log)


# Not by the working directory, whose packages have common names.
_RLHF = (sys.executable, "-P", "-m", "flows.cli")


def _start_apart(
    command: Sequence[str], env: Mapping[str, str], log: IO[bytes]
) -> "subprocess.Popen[bytes]":
    """Start a process that Ctrl-C at the page, or its end, does not reach."""
    return subprocess.Popen(  # noqa: S603 - our own command line
        command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )


def has_train_deployment() -> bool:
    """Whether the server at PREFECT_API_URL, if there is one, starts the rest by itself."""
    if not os.environ.get("PREFECT_API_URL"):
        return False
    from httpx import HTTPError
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    try:
        with get_client(sync_client=True) as client:
            client.read_deployment_by_name(TRAIN_DEPLOYMENT)
    except ObjectNotFound:
        return False
    except HTTPError as error:
        raise InputError(f"the Prefect server does not answer: {error}") from None
    return True


def emit_enough(batch_id: str) -> None:
    """Tell the Prefect server that a batch's gate is open, and wait until it has heard it."""
    from prefect.events import emit_event
    from prefect.events.worker import EventsWorker

    emit_event(
        ENOUGH_EVENT,
        resource={"prefect.resource.id": f"rlhf.batch.{batch_id}"},
        payload={"batch_id": batch_id},
    )
    EventsWorker.drain_all(timeout=FLUSH_SECONDS)
