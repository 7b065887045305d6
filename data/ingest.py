"""From files of sets and rankings to the ledger, in one transaction.

Every line ends in exactly one outcome: accepted, duplicate, held or quarantined. A bad row never
stops good rows; too many of them, or one that shows a broken id or text, stop the ingest and leave
nothing behind. A file is complete when it is given: a last line that was cut off is a bad row.

Omitted on purpose: the rules for one row (data.sets, data.rankings) and the statements
(data.ledger).
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from data import ledger
from data.checks import run_checks
from data.errors import InputError
from data.jsonl import RawLine, RowError, parse_object, read_lines
from data.ledger import Refused
from data.rankings import ROLES, Ranking, event_id_of, outcome_of, validate_ranking
from data.sets import ResponseSet, RunPrompts, check_set, parse_set
from data.store import transaction

CHUNK_ROWS = 50_000
CHUNK_BYTES = 64 * 2**20
_FATAL = ("IDEMPOTENCY_CONFLICT", "STALE_CONTENT")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """When bad rows fail the run.

    Attributes:
        max_bad_share: Share of the lines read that may be bad, in [0, 1].
        max_bad_rows: Number of bad lines that never fails a run, >= 0.
    """

    max_bad_share: float = 0.02
    max_bad_rows: int = 5

    def __post_init__(self) -> None:
        """Refuse a gate that means nothing."""
        if not 0.0 <= self.max_bad_share <= 1.0:
            raise ValueError(f"max_bad_share is {self.max_bad_share}; it must be in [0, 1]")
        if self.max_bad_rows < 0:
            raise ValueError(f"max_bad_rows is {self.max_bad_rows}; it must be at least 0")


@dataclass(slots=True, kw_only=True)
class IngestCounts:
    """Outcomes of the lines of one kind of file.

    Attributes:
        read: Lines that are not blank; the sum of the four outcomes.
        reasons: Code -> number of lines that were not accepted.
        examples: Code -> where it was met first and the message.
    """

    read: int = 0
    accepted: int = 0
    duplicate: int = 0
    held: int = 0
    quarantined: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """Outcomes of an ingest."""

    sets: IngestCounts
    rankings: IngestCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parsed:
    """A line and what the parser said of it: a row or an error."""

    line: RawLine
    row: dict[str, Any]
    error: RowError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where the rows of one file go; the source is named by content, so a renamed file is known."""

    con: duckdb.DuckDBPyConnection
    path: Path
    source: str
    run_id: str
    counts: IngestCounts


def ingest(
    con: duckdb.DuckDBPyConnection,
    *,
    prompts: Path,
    sets: Sequence[Path],
    rankings: Sequence[Path],
    run_id: str,
    now: datetime,
    new_role: str | None = None,
    gate: GateConfig | None = None,
) -> IngestReport:
    """Take the files of a run into the ledger, all or nothing.

    Args:
        con: An open store.
        prompts: prompts.parquet of the run; sets of other prompts are refused.
        sets: set/1 files.
        rankings: ranking/1 files; they may speak of the sets above only.
        run_id: The run whose sets and rankings these are; a repeat replaces its list of them.
        now: The clock of this machine, with a time zone; times after it are refused.
        new_role: Role under which unknown annotators are registered; None refuses them.
        gate: When bad rows fail the run; the default limits when None.

    Returns:
        What became of every line.

    Raises:
        InputError: If a file cannot be read or the gate refuses it; the ledger is unchanged.
    """
    if new_role is not None and new_role not in ROLES:
        raise ValueError(f"new_role is {new_role!r}; it must be one of {', '.join(ROLES)}")
    gate = gate or GateConfig()
    report = IngestReport(sets=IngestCounts(), rankings=IngestCounts())
    run_prompts = ledger.read_run_prompts(prompts)
    with transaction(con):
        ledger.forget_run(con, run_id)
        for path in sets:
            target = _target(con, path, run_id, report.sets)
            for chunk in _read_chunks(path):
                _ingest_sets(target, chunk, run_prompts)
        _pass_gate(report.sets, gate, "sets")
        for path in rankings:
            target = _target(con, path, run_id, report.rankings)
            for chunk in _read_chunks(path):
                _ingest_rankings(target, chunk, now, new_role)
        _pass_gate(report.rankings, gate, "rankings")
        run_checks(con, "checks/ledger/", {"run_id": run_id})
    return report


def _target(
    con: duckdb.DuckDBPyConnection, path: Path, run_id: str, counts: IngestCounts
) -> _Target:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    return _Target(con=con, path=path, source=f"file:{digest}", run_id=run_id, counts=counts)


def _read_chunks(path: Path) -> Iterator[list[_Parsed]]:
    chunk: list[_Parsed] = []
    count_bytes = 0
    for line in read_lines(path):
        chunk.append(_parse(line))
        count_bytes += len(line.raw)
        if len(chunk) == CHUNK_ROWS or count_bytes > CHUNK_BYTES:
            yield chunk
            chunk, count_bytes = [], 0
    if chunk:
        yield chunk


def _parse(line: RawLine) -> _Parsed:
    try:
        return _Parsed(line=line, row=parse_object(line.raw, size=line.size), error=None)
    except RowError as error:
        return _Parsed(line=line, row={}, error=error)


def _ingest_sets(target: _Target, chunk: list[_Parsed], prompts: RunPrompts) -> None:
    known = ledger.find_known_sets(target.con, [parsed.row for parsed in chunk], prompts)
    accepted: list[ResponseSet] = []
    used: list[ResponseSet] = []
    refused: list[Refused] = []
    for parsed in chunk:
        response_set = None
        try:
            response_set = parse_set(_row(parsed))
            check_set(response_set, known)
        except RowError as error:
            if response_set is not None and error.code == "DUPLICATE":
                used.append(response_set)
            refused += _refuse(target, parsed, error)
        else:
            known.add(response_set)
            accepted.append(response_set)
    target.counts.read += len(chunk)
    target.counts.accepted += len(accepted)
    ledger.insert_sets(target.con, accepted, known)
    ledger.insert_run_sets(target.con, accepted + used, run_id=target.run_id)
    ledger.insert_quarantine(target.con, refused, source=target.source, run_id=target.run_id)


def _ingest_rankings(
    target: _Target, chunk: list[_Parsed], now: datetime, new_role: str | None
) -> None:
    known = ledger.find_known_rankings(
        target.con,
        [parsed.row for parsed in chunk],
        run_id=target.run_id,
        now=now,
        new_role=new_role,
    )
    accepted: list[tuple[int, Ranking]] = []
    used: list[str] = []
    refused: list[Refused] = []
    for parsed in chunk:
        try:
            ranking = validate_ranking(_row(parsed), known)
        except RowError as error:
            event_id = event_id_of(parsed.row)
            if event_id is not None and error.code == "DUPLICATE":
                used.append(event_id)
            refused += _refuse(target, parsed, error)
        else:
            known.add(ranking)
            accepted.append((parsed.line.number, ranking))
            used.append(ranking.event_id)
    target.counts.read += len(chunk)
    target.counts.accepted += len(accepted)
    ledger.insert_annotators(target.con, known)
    ledger.insert_rankings(target.con, accepted, source=target.source, run_id=target.run_id)
    ledger.insert_run_events(target.con, used, run_id=target.run_id)
    ledger.insert_quarantine(target.con, refused, source=target.source, run_id=target.run_id)


def _row(parsed: _Parsed) -> dict[str, Any]:
    if parsed.error is not None:
        raise parsed.error
    return parsed.row


def _refuse(target: _Target, parsed: _Parsed, error: RowError) -> list[Refused]:
    """Count a line that was not accepted; return it if it belongs into quarantine."""
    counts, line = target.counts, parsed.line
    counts.reasons[error.code] += 1
    outcome = outcome_of(error)
    if outcome == "duplicate":
        counts.duplicate += 1
        return []
    field_name = f" {error.field}:" if error.field else ""
    example = f"{target.path}:{line.number}:{field_name} {error.message}"
    counts.examples.setdefault(error.code, example)
    if outcome == "held":
        counts.held += 1
    else:
        counts.quarantined += 1
    event_id = event_id_of(parsed.row)
    is_held = outcome == "held"
    return [Refused(line=line, error=error, event_id=event_id, is_held=is_held)]


def _pass_gate(counts: IngestCounts, gate: GateConfig, noun: str) -> None:
    bad = counts.quarantined
    is_fatal = any(counts.reasons[code] for code in _FATAL)
    too_many = bad > gate.max_bad_rows and bad > gate.max_bad_share * counts.read
    nothing_left = bad > 0 and counts.accepted + counts.duplicate + counts.held == 0
    if not (is_fatal or too_many or nothing_left):
        return
    reasons = "\n".join(
        f"  {counts.reasons[code]} x {code}, first at {example}"
        for code, example in counts.examples.items()
    )
    raise InputError(
        f"{bad} of {counts.read} rows of {noun} are bad; nothing was stored."
        f" Mend these rows and run again:\n{reasons}"
    )
