"""The figures of a run's rankings, and how they are written as JSON and as a flat summary.

Omitted on purpose: computing them (see measurement.py) and what they mean in words (see
flows/statistics_command.py).
"""

from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = "statistics/1"

# Ouyang et al. 2022, section 3.4: how often InstructGPT's labellers agree with each other.
INSTRUCTGPT_AGREEMENT = 0.726


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number with its 95 % interval over prompt families.

    Attributes:
        value: None where there is no data.
        low: Lower end; None where the data are of too few families for an interval.
        high: Upper end; None where `low` is.
        n: Number of things that `value` is a mean or share of.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotator:
    """One annotator.

    Attributes:
        answers: Current answers, skips included.
        rankings: Those that rank.
        figures: Name -> figure, the same names for all.
    """

    annotator_id: str
    answers: int
    rankings: int
    figures: dict[str, Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorPair:
    """Two annotators who ordered the same responses."""

    first: str
    second: str
    agreement: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingStatistics:
    """All figures of the current answers of a snapshot.

    Attributes:
        counts: How many answers, rankings, annotators, shared sets and families there are.
        figures: Name -> figure over all annotators; always the same names.
        annotators: One each, in the order of their ids.
        annotator_pairs: Those who share strict pairs.
        sizes: Rankings by number of responses (k) and of the tiers that they use.
        skip_reasons: Skipped answers by reason, the most frequent first.
        disputed: Shared sets on which annotators agree least.
    """

    counts: dict[str, int]
    figures: dict[str, Figure]
    annotators: list[Annotator]
    annotator_pairs: list[AnnotatorPair]
    sizes: list[dict[str, Any]]
    skip_reasons: list[dict[str, Any]]
    disputed: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Everything, as values that json.dumps takes."""
        references = {"mutual_agreement": INSTRUCTGPT_AGREEMENT}
        return {"schema": SCHEMA, "references": references, **asdict(self)}

    def summary(self) -> dict[str, float | None]:
        """The counts, and of each figure `name`, `name_low` and `name_high`."""
        flat: dict[str, float | None] = dict(self.counts)
        for name, figure in self.figures.items():
            flat |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
        return flat
