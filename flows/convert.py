"""`rlhf convert`: official RWKV checkpoints into policy directories, and back.

What is written appears whole or not at all: it is made beside its place and renamed.

Omitted on purpose: folders of transformers (they are policy directories as they are), other number
formats than float32, and any download.
"""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from rich.table import Table

from data.errors import InputError
from flows.words import console, plain
from rlhf_core.checkpoint import Policy, load_policy, load_tokenizer, save_policy
from rlhf_core.official import SUFFIXES, load_official, save_official
from rlhf_core.rwkv.model import RWKV
from rlhf_core.rwkv4.model import RWKV4
from rlhf_core.text_tokenizer import TextTokenizer
from rlhf_core.world_tokenizer import VOCAB_SIZE, WorldTokenizer

Model: TypeAlias = RWKV | RWKV4

WORLD = "world"


def convert(source: Path, destination: Path, *, tokenizer: str, force: bool) -> None:
    """Convert `source` to `destination` and print what it is.

    Args:
        source: A checkpoint file, or a policy directory.
        destination: A path that ends in .pth or .safetensors becomes a checkpoint file, any other
            a policy directory.
        tokenizer: "world", or a tokenizer.json; empty for the one that the model must have.
        force: Replace what is at `destination`.

    Raises:
        InputError: Whatever keeps `source` from being converted; `destination` is as it was.
    """
    becomes_file = destination.suffix in SUFFIXES
    if not source.exists():
        raise InputError(f"{source} does not exist")
    if source.is_dir() and not becomes_file:
        raise InputError(
            f"{source} is a directory, so {destination} must be a file: end its name in "
            f"{' or '.join(SUFFIXES)}"
        )
    if tokenizer and becomes_file:
        raise InputError("a checkpoint file holds no tokenizer; leave out --tokenizer")
    _refuse_to_overwrite(destination, becomes_file=becomes_file, force=force)
    try:
        model = _read_policy(source) if source.is_dir() else load_official(source)
        if becomes_file:
            _write_file(model, destination)
        else:
            _write_policy(Policy(model, _tokenizer_for(model, tokenizer)), destination)
    except (ImportError, OSError, ValueError) as error:
        raise InputError(str(error)) from error
    _print_model(model, destination)


def _refuse_to_overwrite(destination: Path, *, becomes_file: bool, force: bool) -> None:
    if not destination.absolute().parent.is_dir():
        raise InputError(f"the directory {destination.absolute().parent} does not exist; create it")
    if not destination.exists():
        return
    if destination.is_dir() == becomes_file:
        found, wanted = ("directory", "file") if becomes_file else ("file", "directory")
        raise InputError(f"{destination} is a {found}, but is to become a {wanted}; rename either")
    if not force:
        raise InputError(f"{destination} exists; --force replaces it")
    if destination.is_dir() and not (destination / "config.json").is_file():
        raise InputError(f"{destination} is no policy directory; --force replaces no others")


def _read_policy(directory: Path) -> Model:
    try:
        model = load_policy(directory).model
    except ImportError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{directory} is no whole policy directory: {reason}") from error
    if not isinstance(model, Model):
        raise InputError(f"{directory} holds a {type(model).__name__}, no RWKV-7 and no RWKV-4")
    return model


def _tokenizer_for(model: Model, name: str) -> TextTokenizer:
    vocab_size = model.config.vocab_size
    if not name and vocab_size != VOCAB_SIZE:
        raise InputError(
            f"the model has {vocab_size} tokens, so its tokenizer is not World, which has "
            f"{VOCAB_SIZE}; give it with --tokenizer PATH/tokenizer.json"
        )
    if name in ("", WORLD):
        tokenizer: TextTokenizer = WorldTokenizer()
    else:
        try:
            tokenizer = load_tokenizer(Path(name))
        except Exception as error:
            raise InputError(f"--tokenizer {name}: {error}") from error
    if tokenizer.vocab_size > vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model {vocab_size}; "
            "give the tokenizer that the model was trained with"
        )
    return tokenizer


def _write_file(model: Model, destination: Path) -> None:
    with _scratch_beside(destination) as scratch:
        made = Path(scratch) / destination.name
        save_official(model, made)
        made.replace(destination)


def _write_policy(policy: Policy, destination: Path) -> None:
    with _scratch_beside(destination) as scratch:
        made, old = Path(scratch) / "policy", Path(scratch) / "old"
        made.mkdir()
        save_policy(policy, made)
        try:
            if destination.exists():
                destination.rename(old)
            made.rename(destination)
        finally:
            if old.exists() and not destination.exists():
                old.rename(destination)


def _scratch_beside(destination: Path) -> "tempfile.TemporaryDirectory[str]":
    """On the same file system, so that a rename is all that is left to do."""
    return tempfile.TemporaryDirectory(dir=destination.absolute().parent, prefix=".rlhf-convert-")


def _print_model(model: Model, destination: Path) -> None:
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("architecture", "RWKV-4" if isinstance(model, RWKV4) else "RWKV-7")
    for name, size in asdict(model.config).items():
        if name != "chunk_size":  # a setting of speed, not a size
            table.add_row(name, f"{size:,}")
    table.add_row("parameters", f"{sum(x.numel() for x in model.parameters()):,}")
    terminal = console()
    terminal.print(table)
    terminal.print(f"Wrote {plain(str(destination))}", soft_wrap=True)
