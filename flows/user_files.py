"""The files that a config names are there: asked before any stage, not when one reads them.

Omitted on purpose: what stands in them. The stages that read them say so, row by row.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import InputError
from data.rankers.file import ranking_files

if TYPE_CHECKING:
    from flows.config import RunConfig


def check_user_files(config: "RunConfig") -> None:
    """Raise InputError where a file of `corpus` or `rank` is missing, or no regular file."""
    for name in ("prompts", "sft", "pretrain"):
        path = Path(getattr(config.corpus, name))
        if path != Path() and not path.is_file():
            found = "is a directory" if path.is_dir() else "does not exist"
            raise InputError(
                f"{path}: {found}; set corpus.{name} to a JSONL file. Paths begin at {Path.cwd()}"
            )
    if config.rank.ranker == "file":
        ranking_files(config.rank)
