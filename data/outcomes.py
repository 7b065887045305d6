"""Outcomes of the lines of an ingest, and the gate that too many bad ones do not pass.

Omitted on purpose: how a line comes to its outcome (data.ingest, data.ingest_rankings).
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import duckdb

from data.errors import InputError
from data.jsonl import RowError, parse_object
from data.lines import SourceLine
from data.rankings import Ranking, outcome_of

Resolution = Literal["accepted", "discarded"]

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
    """Outcomes of the lines of one kind.

    Attributes:
        read: Lines that are not blank; the sum of the five outcomes.
        held: Valid but doubtful, and undecided.
        discarded: Left out by a lead's decision, whatever they are.
        reasons: Code -> number of lines that were not accepted.
        examples: Code -> where it was met first and the message.
    """

    read: int = 0
    accepted: int = 0
    duplicate: int = 0
    held: int = 0
    discarded: int = 0
    quarantined: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def refuse(self, line: SourceLine, error: RowError) -> None:
        """Count a line that was not accepted."""
        self.reasons[error.code] += 1
        outcome = outcome_of(error)
        if outcome == "duplicate":
            self.duplicate += 1
            return
        field_name = f" {error.field}:" if error.field else ""
        self.examples.setdefault(error.code, f"{line.origin}:{field_name} {error.message}")
        if outcome == "held":
            self.held += 1
        else:
            self.quarantined += 1

    def discard(self) -> None:
        """Count a line that a lead discarded."""
        self.reasons["DISCARDED"] += 1
        self.discarded += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """Outcomes of an ingest."""

    sets: IngestCounts = field(default_factory=IngestCounts)
    rankings: IngestCounts = field(default_factory=IngestCounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A line for the quarantine.

    Attributes:
        ranking: What stands in it, if it is valid; then its place in the revisions is kept.
        resolution: What a lead decided, None while nothing is decided.
    """

    line: SourceLine
    error: RowError
    event_id: str | None = None
    ranking: Ranking | None = None
    resolution: Resolution | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the lines of one source go.

    Attributes:
        con: The store, in a transaction.
        source: Name of the source.
        run_id: The run that takes them in.
        counts: Where their outcomes are counted.
    """

    con: duckdb.DuckDBPyConnection
    source: str
    run_id: str
    counts: IngestCounts


class Parsed:
    """A line and what the parser said of it: a row or an error."""

    __slots__ = ("_error", "line", "row")

    def __init__(self, line: SourceLine) -> None:
        self.line = line
        self.row: dict[str, Any] = {}
        self._error: RowError | None = None
        try:
            self.row = parse_object(line.raw, size=line.size)
        except RowError as error:
            self._error = error

    def required(self) -> dict[str, Any]:
        """Return the row.

        Raises:
            RowError: If there is none.
        """
        if self._error is not None:
            raise self._error
        return self.row


def pass_gate(counts: IngestCounts, gate: GateConfig, noun: str) -> None:
    """Let the lines pass, or refuse them all.

    Raises:
        InputError: Naming each reason with its first example.
    """
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
