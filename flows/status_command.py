"""`rlhf status`: what waits for people, what runs now, and which run finished last.

Reads the inbox, var/runs.jsonl and lock files, so it answers while the page and a run are at work.

Omitted on purpose: the figures of a run (`rlhf report`) and of its annotators (`rlhf rankings
stats`).
"""

import json
import sqlite3
import sys
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.inbox import INBOX_FILE
from data.inbox.accounts import counts
from data.inbox.batches import Progress
from data.inbox.connection import open_inbox
from data.inbox.picking import nobody_has_more
from flows.environment import var_directory
from flows.human_step import batches_for_people, failure_of
from flows.locks import LOCK_FILE, PAGE_LOCK, lock_holder
from flows.run_records import finished_runs
from flows.words import console, plain, program
from tasks.ranking_batch import waits_for


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """A batch that people rank.

    Attributes:
        state: "waiting", "ready" (the rest may run), "failed" (and nothing new since), "finished"
            or "withdrawn".
        waits_for: In words; empty unless it waits.
        deadline: ISO 8601, empty without one.
        held: Rankings that wait for a lead's decision.
        in_work: Sets in the hands of annotators now.
        why: Why the rest failed; empty unless the state is "failed".
        waits_for_lead: Whether it waits, and all that is left are held rankings.
        is_stuck: Whether it waits, and no active annotator can take any of the sets that are left.
        fewer: The wanted number with which it would wait no more; 0 if there is none.
    """

    batch_id: str
    name: str
    state: str
    waits_for: str
    have: int
    wanted: int
    deadline: str
    sets: int
    sets_done: int
    in_work: int
    held: int
    skipped: int
    not_rankable: int
    discarded: int
    published_at: str
    why: str = ""
    waits_for_lead: bool = False
    is_stuck: bool = False
    fewer: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All that `rlhf status` knows.

    Attributes:
        page: Address of the ranking page; empty where it is not up.
        run: Process id of the run that holds var/; empty where none does.
        finished: Name, time and Prefect id of the newest finished run; empty without one.
        annotators: Who ranks: id, role, answers, and whether the account is active.
    """

    page: str
    run: str
    finished: dict[str, str]
    batches: list[BatchStatus] = field(default_factory=list)
    annotators: list[dict[str, Any]] = field(default_factory=list)


def print_status(*, as_json: bool) -> None:
    """Print the status of var/.

    Args:
        as_json: Print one JSON object instead of sentences.

    Raises:
        InputError: The inbox is damaged.
    """
    status = read_status(var_directory())
    if as_json:
        sys.stdout.write(json.dumps(asdict(status), indent=2, ensure_ascii=False) + "\n")
        return
    terminal = console()
    for line in sentences(status):
        terminal.print(plain(line), soft_wrap=True)


def read_status(var: Path) -> Status:
    """Look at var/ once."""
    # One that --until has stopped before is no result.
    whole = (it for it in reversed(finished_runs(var)) if it.artifact_of("evaluate"))
    newest = next(whole, None)
    finished = {}
    if newest is not None:
        finished = {
            "name": newest.name,
            "finished_at": newest.finished_at,
            "flow_run_id": newest.flow_run_id,
        }
    status = Status(
        page=lock_holder(var / PAGE_LOCK) or "",
        run=lock_holder(var / LOCK_FILE) or "",
        finished=finished,
    )
    progresses = batches_for_people(var)
    if not (var / INBOX_FILE).exists():
        return status
    with open_inbox(var / INBOX_FILE, read_only=True) as inbox:
        return replace(
            status,
            batches=[_batch_status(inbox, progress) for progress in progresses],
            annotators=_annotators(inbox),
        )


def sentences(status: Status) -> list[str]:
    """The status in words."""
    lines = [_batch_line(batch) for batch in status.batches] or ["Nothing waits for people."]
    is_waiting = any(batch.state == "waiting" for batch in status.batches)
    if status.page:
        lines.append(f"Ranking page: {status.page}")
    elif is_waiting:
        lines.append(f"The ranking page is not up; start it with: {program()} annotate")
    lines += [_way_out(it) for it in status.batches if it.waits_for_lead or it.is_stuck]
    states = {batch.state for batch in status.batches}
    if "ready" in states and not status.run:
        lines.append(f"Start what is ready with: {program()} annotate, or the run's own command")
    if "failed" in states and not status.run:
        lines.append(
            "What failed starts again with the run's own command, or when more rankings come"
        )
    who = [
        f"{it['annotator_id']} ({it['role']}, {it['done']} done)"
        for it in status.annotators
        if it["is_active"]
    ]
    lines += [f"Annotators: {', '.join(who)}"] if who else []
    running = f"A run is at work: process {status.run}."
    lines.append(running if status.run else "No run is at work.")
    if status.finished:
        lines.append(
            f"Newest finished run: {status.finished['name']}, {status.finished['finished_at']} "
            f"({program()} report)"
        )
    return lines


def _batch_line(batch: BatchStatus) -> str:
    start = f"{batch.name} ({batch.batch_id}): {batch.state}"
    if batch.state == "waiting":
        start += f" for {batch.waits_for}"
    elif batch.state != "withdrawn":
        start += f", {batch.have} of {batch.wanted} rankings"
    parts = [f"{batch.sets_done} of {batch.sets} sets done"]
    parts += [
        f"{count} {word}"
        for count, word in (
            (batch.in_work, "in work"),
            (batch.held, "held for a lead"),
            (batch.skipped, "skipped"),
            (batch.not_rankable, "not rankable"),
            (batch.discarded, "discarded"),
        )
        if count
    ]
    end = f" The rest failed: {batch.why}" if batch.why else ""
    return f"{start}; {', '.join(parts)}.{end}"


def _way_out(batch: BatchStatus) -> str:
    if batch.waits_for_lead:
        return (
            f"{batch.name}: a lead has to decide on what is held, on the ranking page under Lead; "
            f"add one with: {program()} annotators add NAME --lead"
        )
    fewer = f", or wait for fewer with --set annotate.wanted_rankings={batch.fewer}"
    return (
        f"{batch.name}: nobody who has an account can rank the sets that are left. Add somebody "
        f"with: {program()} annotators add NAME{fewer if batch.fewer else ''}"
    )


def _batch_status(inbox: sqlite3.Connection, progress: Progress) -> BatchStatus:
    batch, now = progress.batch, datetime.now(UTC)
    why = failure_of(inbox, progress)
    if batch.withdrawn_at is not None:
        state = "withdrawn"
    elif batch.finished_at is not None:
        state = "finished"
    elif not progress.is_open(now):
        state = "waiting"
    else:
        state = "failed" if why else "ready"
    is_idle = state == "waiting" and not progress.in_work
    # As many as there are sets would want an answer to each.
    fewer = min(progress.have, progress.tasks_to_train - (progress.unanswered > 0))
    return BatchStatus(
        batch_id=batch.batch_id,
        name=batch.name,
        state=state,
        waits_for=waits_for(progress) if state == "waiting" else "",
        have=progress.have,
        wanted=batch.wanted,
        deadline="" if batch.deadline is None else batch.deadline.isoformat(timespec="minutes"),
        sets=progress.tasks,
        sets_done=progress.tasks_done,
        in_work=progress.in_work,
        held=progress.held,
        skipped=progress.skipped,
        not_rankable=progress.not_rankable,
        discarded=progress.discarded,
        published_at=batch.published_at.isoformat(timespec="seconds"),
        why=why if state == "failed" else "",
        waits_for_lead=state == "waiting" and progress.waits_for_lead,
        is_stuck=is_idle and nobody_has_more(inbox, now),
        fewer=fewer,
    )


def _annotators(inbox: sqlite3.Connection) -> list[dict[str, Any]]:
    return [
        {
            "annotator_id": it.account.annotator_id,
            "role": it.account.role,
            "is_active": it.account.is_active,
            "done": it.done,
            "today": it.today,
        }
        for it in counts(inbox, now=datetime.now(UTC))
    ]
