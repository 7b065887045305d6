"""Stage build_pairs: from rankings to weighted (chosen, rejected) pairs, in DuckDB."""

from dataclasses import dataclass
from pathlib import Path

from data.pairs import PairsConfig
from tasks.context import StageContext, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPairsConfig:
    """Config sections that the stage reads."""

    pairs: PairsConfig


def build_pairs(
    context: StageContext, config: BuildPairsConfig, *, collect_rankings: Path
) -> Summary:
    """Build all strict pairs of the rankings, with weights and leak checks."""
    from data.pairs import build_pairs as build

    return dict(build(collect_rankings, context.out, config.pairs))
