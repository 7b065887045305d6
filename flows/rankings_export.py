"""`rlhf rankings export`: sets to be ranked elsewhere, and what a run has learnt from.

Omitted on purpose: building pairs. They are those that the run's build_pairs made and checked.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.errors import InputError
from data.formats.files import write_file
from data.formats.snapshot_rows import read_rankings, read_sets, set_row
from data.formats.write_pairs import write_hh_rlhf, write_trl
from data.formats.write_tasks import (
    Written,
    write_argilla,
    write_csv,
    write_label_studio,
    write_ranked_csv,
)
from data.identity import prompt_id
from data.inbox import INBOX_FILE, batches
from data.inbox.connection import open_inbox
from data.rankings import Ranking
from data.sets import ResponseSet
from flows.environment import var_directory
from flows.run_records import RunRecord, finished_runs
from flows.words import console, plain, program
from tasks.artifacts import ArtifactError, ArtifactStore

TASKS = ("csv", "label-studio", "argilla")
PAIRS = {"trl": write_trl, "hh-rlhf": write_hh_rlhf}
RANKINGS = "ranking/1"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ExportArguments:
    """What the command line asks for."""

    form: str
    run: str = ""
    batch: str = ""
    annotators: tuple[str, ...] = ()
    ranked: bool = False
    force: bool = False


def export_rankings(destination: Path, arguments: ExportArguments) -> None:
    """Write what was asked for, and say how much.

    Raises:
        InputError: There is nothing of the kind, the destination is taken, or it cannot be written.
    """
    form = arguments.form
    if form not in (*TASKS, *PAIRS, RANKINGS):
        raise InputError(f"--format {form}: use {', '.join((*TASKS, RANKINGS, *PAIRS))}")
    if arguments.ranked and form != "csv":
        raise InputError(f"--ranked: {form} takes no ranks; write csv or {RANKINGS}")
    is_folder = destination.is_dir() and any(destination.iterdir())
    if not arguments.force and (is_folder or destination.is_file()):
        raise InputError(f"{destination}: is there already; name another place, or say --force")
    if form in PAIRS:
        noun, written = "pairs", PAIRS[form](_artifact("build_pairs", arguments.run), destination)
    elif form == RANKINGS or arguments.ranked:
        noun, written = "rankings", _write_rankings(destination, arguments)
    else:
        noun, written = "tasks", _write_tasks(destination, arguments)
    _say(destination, noun, written)


def _write_rankings(destination: Path, arguments: ExportArguments) -> Written:
    record = _newest("collect_rankings", arguments.run)
    snapshot = _load(record, "collect_rankings")
    campaign = record.config["campaign"]
    sets = read_sets(
        snapshot,
        guideline_version=campaign["guideline_version"],
        campaign=campaign["name"],
    )
    rankings = read_rankings(snapshot, sets, now=datetime.now(UTC))
    if arguments.ranked:
        return write_ranked_csv(destination, sets, rankings)
    return _write_own(destination, sets, rankings)


def _write_own(folder: Path, sets: Sequence[ResponseSet], rankings: Sequence[Ranking]) -> Written:
    write_file(folder / "sets.jsonl", map(set_row, sets))
    write_file(folder / "rankings.jsonl", (f"{it.payload}\n" for it in rankings))
    return Written(len(rankings))


def _write_tasks(destination: Path, arguments: ExportArguments) -> Written:
    sets = _published_sets(arguments.batch)
    if arguments.form == "argilla":
        return write_argilla(destination, sets)
    write: Callable[..., Written] = write_csv if arguments.form == "csv" else write_label_studio
    return write(destination, sets, annotators=arguments.annotators or ("",))


def _published_sets(batch_id: str) -> list[ResponseSet]:
    """The sets of a batch; without an id, of the newest that waits for rankings."""
    inbox = var_directory() / INBOX_FILE
    mend = f'publish sets with: {program()} run --set rank.ranker="human"'
    if not inbox.exists():
        raise InputError(f"{inbox}: nothing is published for ranking; {mend}")
    with open_inbox(inbox, read_only=True) as con:
        known = [it for it in batches.list_batches(con) if _has_tasks(con, it)]
        waiting = [it for it in known if it.finished_at is None and it.withdrawn_at is None]
        wanted = [it for it in known if it.batch_id == batch_id] if batch_id else waiting[-1:]
        if not wanted:
            names = ", ".join(it.batch_id for it in known) or "none"
            what = f"no batch {batch_id}" if batch_id else "no batch waits for rankings"
            raise InputError(f"{inbox}: {what} (batches: {names}); {mend}")
        return [_set_of(task) for task in batches.read_tasks(con, wanted[0].batch_id)]


def _has_tasks(con: sqlite3.Connection, batch: batches.Batch) -> bool:
    """Whether people are asked; batches of other rankers hand out nothing."""
    return next(batches.read_tasks(con, batch.batch_id), None) is not None


def _set_of(task: batches.Task) -> ResponseSet:
    return ResponseSet(
        set_id=task.set_id,
        prompt_id=prompt_id(task.messages),
        messages=task.messages,
        responses=task.responses,
        guideline_version=task.guideline_version,
        campaign=task.campaign,
        purpose=task.purpose,
        retest_of=task.retest_of,
    )


def _artifact(stage: str, name: str) -> Path:
    return _load(_newest(stage, name), stage)


def _newest(stage: str, name: str) -> RunRecord:
    """The newest finished run of that name that did a stage."""
    for record in reversed(finished_runs(var_directory())):
        if (not name or record.name == name) and record.artifact_of(stage) is not None:
            return record
    which = f"named {name} " if name else ""
    raise InputError(f"no finished run {which}has done {stage}; run: {program()} run")


def _load(record: RunRecord, stage: str) -> Path:
    ref = record.artifact_of(stage)
    if ref is None:
        raise RuntimeError(f"a run without {stage} was chosen")
    try:
        return ArtifactStore(root=var_directory() / "artifacts").load(ref)
    except ArtifactError as error:
        raise InputError(f"{error}. Make it again with: {program()} run") from None


def _say(destination: Path, noun: str, written: Written) -> None:
    terminal = console()
    terminal.print(plain(f"{destination}: {written.written} {noun} written"), soft_wrap=True)
    for what, places in (
        ("left out", written.left_out),
        ("cells begin like a formula and got a leading apostrophe", written.guarded),
    ):
        if places:
            terminal.print(f"{len(places)} {what}, such as:")
        for place in places[:_SHOWN]:
            terminal.print(plain(f"  {place}"), soft_wrap=True)
