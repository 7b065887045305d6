"""The ranker that is a pair of the user's files.

Omitted on purpose: what stands in them. That is checked at the door of the store, row by row.
"""

from dataclasses import dataclass
from pathlib import Path

from data.errors import InputError
from data.rankers.config import RankConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingFiles:
    """A set/1 file and the ranking/1 file of its sets."""

    sets: Path
    rankings: Path


def ranking_files(config: RankConfig) -> RankingFiles:
    """The user's files.

    Args:
        config: Names both; ranker "file".

    Returns:
        Their paths.

    Raises:
        InputError: One is missing, no regular file, or empty.
    """
    for name in ("sets", "rankings"):
        path = Path(getattr(config, name))
        if not path.is_file():
            found = "is a directory" if path.is_dir() else "does not exist"
            raise InputError(f"{path}: {found}; set rank.{name} to a JSONL file")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: is empty; set rank.{name} to a file with rows")
    return RankingFiles(sets=Path(config.sets), rankings=Path(config.rankings))
