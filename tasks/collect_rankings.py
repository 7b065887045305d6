"""Stage collect_rankings: every set ranked, every ranking through the one door of the store.

Whoever ranks, the rankings are events of the inbox, an append-only log (data/inbox). The stage has
the ranker put them there, reads those of its batch back, takes them into the store, and keeps a
snapshot of what was accepted. People take days: the stage then ends with what is there and says
what it waits for (`waits_for` in its summary), and the run ends there. No process waits.

Omitted on purpose: what each ranker does (tasks/ranking_batch.py), and going on when enough
rankings have come (flows/human_step.py).
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.context import JSON, StageContext, Summary
from tasks.ranking_batch import (
    CollectRankingsConfig,
    RankedBatch,
    batch_for_people,
    batch_of_file,
    batch_of_judge,
    batch_of_simulated,
    waits_for,
)

if TYPE_CHECKING:
    from data.inbox.batches import Progress
    from data.intake import Intake
    from data.outcomes import IngestReport
    from data.statistics import RankingStatistics

_LEDGER_ROLES = {"annotator": "annotator", "lead": "expert"}
_OUTCOMES = ("read", "accepted", "duplicate", "held", "discarded", "quarantined")


def collect_rankings(
    context: StageContext,
    config: CollectRankingsConfig,
    *,
    split: Path,
    generate_responses: Path | None,
) -> Summary:
    """Collect rankings of the sets, ingest them, and keep a snapshot of what was accepted."""
    from data.held import held_rows
    from data.inbox import INBOX_FILE, batches
    from data.inbox.connection import open_inbox
    from data.snapshot import write_snapshot
    from data.statistics import measure
    from data.store import open_store

    prompts = split / "prompts.parquet"
    with open_inbox(context.var / INBOX_FILE) as inbox:
        batch = _fill(inbox, context, config, generate_responses)
        now = datetime.now(UTC)
        # Before the rankings are read: what it counts is among them.
        progress = batches.progress(inbox, batch.batch_id, now=now)
        with open_store(context.var / "store.duckdb", allowed=[context.out]) as store:
            allow_top = progress.batch.allow_top
            intake, report = _take_in(
                context, store, inbox, batch, prompts=prompts, allow_top=allow_top, now=now
            )
            rows = write_snapshot(store, run_id=batch.batch_id, prompts=prompts, out=context.out)
            held = held_rows(store, batch.batch_id)
        statistics = measure(context.out, seed=context.seed)
        _mirror(inbox, batch.batch_id, held, statistics, now)
        gate = _gate(inbox, progress, now) if ranked_by_people(config) else {}
    _log(context, report, statistics)
    summary: Summary = {
        "batch_id": batch.batch_id,
        "inbox_id": intake.head.inbox_id,
        "inbox_seq": intake.head.seq,
        "inbox_sha256": intake.head.sha256,
        **_outcomes(report),
        "rankings_in_snapshot": rows["ranking"],
        **statistics.summary(),
        **batch.said,
        **gate,
    }
    if gate and not gate["waits_for"]:
        _require_a_ranking(statistics, progress, now)
    return summary


def ranked_by_people(config: CollectRankingsConfig) -> bool:
    """Whether rankings come while no run looks: no cache key knows of them."""
    return config.rank.ranker == "human"


def nothing_decided_since(var: Path, summary: Summary) -> bool:
    """Whether the batch is in the inbox, and a new look would find nothing new.

    News are a lead's decisions on its rankings, and a judge's answers to sets that it failed on.
    """
    from data.inbox import INBOX_FILE
    from data.inbox.batches import find_batch
    from data.inbox.connection import open_inbox
    from data.inbox.events import read

    batch_id, seq = str(summary["batch_id"]), summary["inbox_seq"]
    is_there = (var / INBOX_FILE).exists()
    if not is_there or not isinstance(seq, int) or summary.get("judge_sets_failed"):
        return False
    with open_inbox(var / INBOX_FILE, read_only=True) as inbox:
        if find_batch(inbox, batch_id) is None:
            return False
        decisions = read(inbox, batch_id=batch_id, types=["decision"], after=seq)
        return next(decisions, None) is None


def _fill(
    inbox: sqlite3.Connection,
    context: StageContext,
    config: CollectRankingsConfig,
    generate_responses: Path | None,
) -> RankedBatch:
    """Have the ranker put its batch into the inbox."""
    _require_its_store(inbox, context.var)
    if generate_responses is None:
        return batch_of_file(inbox, context, config)
    sets = generate_responses / "sets.jsonl"
    rankers = {
        "simulated": batch_of_simulated,
        "judge": batch_of_judge,
        "human": batch_for_people,
    }
    return rankers[config.rank.ranker](inbox, context, config, sets)


def _take_in(
    context: StageContext,
    store: Any,
    inbox: sqlite3.Connection,
    batch: RankedBatch,
    *,
    prompts: Path,
    allow_top: bool,
    now: datetime,
) -> "tuple[Intake, IngestReport]":
    """Read the rankings of a batch back from the inbox, and take them into the store."""
    from data.ingest import ingest
    from data.intake import inbox_source, read_batch
    from data.ledger import ingested_head

    known = ingested_head(store, inbox_source(inbox))
    intake = read_batch(inbox, batch.batch_id, expected=known)
    lines = context.progress(intake.rankings.lines, "rankings taken in", total=batch.count)
    with closing(lines):
        report = ingest(
            store,
            prompts=prompts,
            sets=[batch.sets],
            rankings=intake.rankings._replace(lines=lines),
            run_id=batch.batch_id,
            now=now,
            new_role=batch.role,
            roles=_roles(inbox),
            decisions=intake.decisions,
            head=intake.head,
            allow_top=allow_top,
        )
    return intake, report


def _require_its_store(inbox: sqlite3.Connection, var: Path) -> None:
    """Refuse a new inbox beside an old store, before people are asked or a judge is paid."""
    from data.intake import inbox_source
    from data.ledger import require_inbox
    from data.store import open_store

    with open_store(var / "store.duckdb") as store:
        require_inbox(store, inbox_source(inbox))


def _roles(inbox: sqlite3.Connection) -> dict[str, str]:
    """Roles in the ledger of those who have an account."""
    from data.inbox.accounts import listing

    return {account.annotator_id: _LEDGER_ROLES[account.role] for account in listing(inbox)}


def _mirror(
    inbox: sqlite3.Connection,
    batch_id: str,
    held: list[dict[str, Any]],
    statistics: "RankingStatistics",
    now: datetime,
) -> None:
    """Show the lead's page what only the store knows; the page never opens it."""
    from data.inbox import mirror

    for key, value in (("held", held), ("statistics", statistics.to_json())):
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        mirror.put(inbox, f"{key}:{batch_id}", text, now=now)


def _log(context: StageContext, report: "IngestReport", statistics: "RankingStatistics") -> None:
    """Tables and plots of what came in."""
    from tasks.ranking_plots import plots

    context.log.table("reasons", _reasons(report))
    measured = statistics.to_json()
    for name in ("annotators", "annotator_pairs", "disputed"):
        context.log.table(name, [_flat(row) for row in measured[name]])
    for name, figure in plots(statistics).items():
        context.log.figure(name, figure)


def _flat(row: Mapping[str, Any]) -> dict[str, JSON]:
    """A row of statistics as table cells: of each figure its value."""
    cells = {**row, **row.get("figures", {})}
    cells.pop("figures", None)
    return {k: v["value"] if isinstance(v, Mapping) else v for k, v in cells.items()}


def _outcomes(report: "IngestReport") -> Summary:
    """What became of the lines, and the first reason against one of them."""
    outcomes: Summary = {
        f"{noun}_{outcome}": getattr(counts, outcome)
        for noun, counts in (("sets", report.sets), ("rankings", report.rankings))
        for outcome in _OUTCOMES
    }
    reasons = _reasons(report)
    if reasons:
        outcomes["first_reason"] = reasons[0]["first"] or reasons[0]["code"]
    return outcomes


def _reasons(report: "IngestReport") -> list[dict[str, JSON]]:
    return [
        {"file": noun, "code": code, "rows": rows, "first": counts.examples.get(code, "")}
        for noun, counts in (("sets", report.sets), ("rankings", report.rankings))
        for code, rows in sorted(counts.reasons.items())
    ]


def _gate(inbox: sqlite3.Connection, progress: "Progress", now: datetime) -> Summary:
    """Whether the run may go on; a finished batch whose gate is closed again is opened again."""
    from data.inbox.batches import reopen

    batch, reason = progress.batch, progress.gate(now)
    if reason is None and batch.finished_at is not None:
        reopen(inbox, batch.batch_id)
    return {
        "rankings_have": progress.have,
        "rankings_wanted": batch.wanted,
        "gate": reason or "closed",
        "waits_for": "" if reason else waits_for(progress),
    }


def _require_a_ranking(
    statistics: "RankingStatistics", progress: "Progress", now: datetime
) -> None:
    from data.errors import InputError

    if statistics.to_json()["counts"]["rankings"]:
        return
    why = {
        "deadline": "the deadline has passed",
        "nothing_left": "every set was answered",
        "enough": "the gate is open",
    }[progress.gate(now) or "enough"]
    raise InputError(
        f"{why} and no ranking can be used: {progress.have} ranked, {progress.held} held, "
        f"{progress.skipped} skipped, {progress.discarded} discarded. Rank some sets, decide on "
        "the held ones, or give more time with --set annotate.deadline_hours=HOURS (0: no deadline)"
    )
