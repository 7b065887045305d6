"""All that our stage does: the pairs, their checks, prompts.parquet and responses.parquet."""

from pathlib import Path

from benchmarks.pairs_child import main
from data.pairs import PairsConfig, build_pairs


def build(snapshot: Path, out: Path) -> None:
    """Pairs of a snapshot."""
    build_pairs(snapshot, out, PairsConfig())


if __name__ == "__main__":
    main(build)
