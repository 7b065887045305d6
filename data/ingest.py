"""From lines of sets and rankings to the ledger, in one transaction.

Every line ends in exactly one outcome: accepted, duplicate, held, discarded or quarantined. A bad
row never stops good rows; too many of them, or one that shows a broken id or text, stop the ingest
and leave nothing behind. A file is complete when it is given: a last line that was cut off is a bad
row. Lines of an inbox come with its head, which is stored in the same transaction: what was taken
in and how far are never apart.

A run is told what it may use: the ledger is insert-only, and a ranking that a lead discards after
it was stored stays there, but no run lists it any more, and a snapshot holds what its run lists.

Omitted on purpose: the rules for one row (data.sets, data.rankings), one chunk of rankings
(data.ingest_rankings) and the statements (data.ledger, data.ledger_rankings).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import duckdb

from data import ledger, ledger_rankings
from data.checks import run_checks
from data.chunks import chunks
from data.collector import collector_paused
from data.errors import InputError
from data.inbox.decisions import Action
from data.inbox.events import Head
from data.ingest_rankings import RankingRules, ingest_rankings
from data.jsonl import RowError
from data.lines import SourceLine, SourceLines, lines_of_file
from data.outcomes import (
    GateConfig,
    IngestReport,
    Parsed,
    Refused,
    Target,
    pass_gate,
)
from data.sets import ResponseSet, RunPrompts, check_set, parse_set
from data.store import transaction

CHUNK_ROWS = 25_000
CHUNK_BYTES = 16 * 2**20


def ingest(
    con: duckdb.DuckDBPyConnection,
    *,
    prompts: Path,
    sets: Sequence[Path],
    rankings: SourceLines,
    run_id: str,
    now: datetime,
    new_role: str | None = None,
    roles: Mapping[str, str] | None = None,
    decisions: Mapping[str, Action] | None = None,
    head: Head | None = None,
    allow_top: bool = True,
    gate: GateConfig | None = None,
) -> IngestReport:
    """Take the sets and rankings of a run into the ledger, all or nothing.

    Args:
        con: An open store.
        prompts: prompts.parquet of the run; sets of other prompts are refused.
        sets: set/1 files.
        rankings: ranking/1 lines of a file or of the inbox; they may speak of the sets above only.
        run_id: The run whose sets and rankings these are; a repeat replaces its list of them.
        now: The clock of this machine, with a time zone; times after it are refused.
        new_role: Role under which unknown annotators are registered; None refuses them.
        roles: Annotator id -> role, of annotators that the ledger may not know yet.
        decisions: Decision id of a line -> what a lead decided. An accepted doubtful line enters; a
            discarded line, doubtful or not, is kept out of this run and is not bad for the gate.
        head: The end of the inbox that the rankings come from; None for a file.
        allow_top: Whether rankings may leave responses unranked.
        gate: When bad rows fail the run; the default limits when None.

    Returns:
        What became of every line.

    Raises:
        InputError: If a file cannot be read, the gate refuses it or the inbox went backwards; the
            ledger is unchanged.
    """
    gate = gate or GateConfig()
    roles, decisions = roles or {}, decisions or {}
    rules = RankingRules(
        now=now, new_role=new_role, roles=roles, decisions=decisions, allow_top=allow_top
    )
    report = IngestReport()
    run_prompts = ledger.read_run_prompts(prompts)
    with transaction(con), collector_paused():
        ledger.forget_run(con, run_id)
        for given in map(lines_of_file, sets):
            target = Target(con=con, source=given.source, run_id=run_id, counts=report.sets)
            for chunk in _parse_chunks(given.lines):
                _ingest_sets(target, chunk, run_prompts)
        pass_gate(report.sets, gate, "sets")
        target = Target(con=con, source=rankings.source, run_id=run_id, counts=report.rankings)
        for chunk in _parse_chunks(rankings.lines):
            ingest_rankings(target, chunk, rules)
        pass_gate(report.rankings, gate, "rankings")
        _advance_head(con, rankings.source, head)
        run_checks(con, "checks/ledger/", {"run_id": run_id})
    return report


def _parse_chunks(lines: Iterable[SourceLine]) -> Iterator[list[Parsed]]:
    for chunk in chunks(
        lines, lambda line: len(line.raw), max_items=CHUNK_ROWS, max_bytes=CHUNK_BYTES
    ):
        yield [Parsed(line) for line in chunk]


def _ingest_sets(target: Target, chunk: list[Parsed], prompts: RunPrompts) -> None:
    con, counts = target.con, target.counts
    known = ledger.find_known_sets(con, [parsed.row for parsed in chunk], prompts)
    accepted: list[ResponseSet] = []
    used: list[ResponseSet] = []
    refused: list[Refused] = []
    for parsed in chunk:
        response_set = None
        try:
            response_set = parse_set(parsed.required())
            check_set(response_set, known)
        except RowError as error:
            counts.refuse(parsed.line, error)
            if error.code != "DUPLICATE":
                refused.append(Refused(line=parsed.line, error=error))
            elif response_set is not None:
                used.append(response_set)
        else:
            known.add(response_set)
            accepted.append(response_set)
    counts.read += len(chunk)
    counts.accepted += len(accepted)
    ledger.insert_sets(con, accepted, known)
    ledger.insert_run_sets(con, accepted + used, run_id=target.run_id)
    ledger_rankings.insert_quarantine(con, refused, source=target.source, run_id=target.run_id)


def _advance_head(con: duckdb.DuckDBPyConnection, source: str, head: Head | None) -> None:
    if head is None:
        return
    stored = ledger.ingested_head(con, source)
    if stored is not None and (
        head.seq < stored.seq or (head.seq == stored.seq and head.sha256 != stored.sha256)
    ):
        raise InputError(
            f"the inbox ends at event {head.seq}, but the store has taken in event {stored.seq} of"
            " it; the inbox was rewritten or an older copy was put back. Restore the newer one"
        )
    ledger.put_head(con, source, head)
