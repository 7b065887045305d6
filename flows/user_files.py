"""The files and folders that a config names are there: asked before any stage reads them.

Omitted on purpose: what stands in them. The stages that read them say so, row by row.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import InputError
from data.rankers.file import ranking_files

if TYPE_CHECKING:
    from flows.config import RunConfig


def check_user_files(config: "RunConfig") -> None:
    """Raise InputError where something that `base_model`, `corpus` or `rank` names is missing."""
    if config.base_model.path:
        check_base_model(Path(config.base_model.path))
    for name in ("prompts", "sft", "pretrain"):
        path = Path(getattr(config.corpus, name))
        if path != Path() and not path.is_file():
            found = "is a directory" if path.is_dir() else "does not exist"
            raise InputError(
                f"{path}: {found}; set corpus.{name} to a JSONL file. Paths begin at {Path.cwd()}"
            )
    if config.rank.ranker == "file":
        ranking_files(config.rank)


def check_base_model(folder: Path) -> None:
    """Raise InputError where `folder` is no policy directory, ours or of transformers."""
    if not folder.is_dir():
        found = "is no directory" if folder.exists() else "does not exist"
        raise InputError(
            f"{folder}: {found}; set base_model.path to a directory with a model. "
            f"Paths begin at {Path.cwd()}"
        )
    wanted = {
        "config.json": "config.json",
        "weights (*.safetensors)": "*.safetensors",
        "tokenizer (tokenizer.json, or the files of one of transformers)": "tokenizer*",
    }
    for what, pattern in wanted.items():
        if not any(folder.glob(pattern)):
            raise InputError(
                f"{folder}: has no {what}; set base_model.path to a complete policy directory, "
                "such as a stage made or a model's download"
            )
