"""Models on disk: model.safetensors, config.json and tokenizer.json in one directory.

Weights and their metadata only, never pickle. The state of a training (optimiser, data order) is
not kept here.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import nn

from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.model import RWKV
from rlhf_core.tokenizer import Tokenizer


class Policy(NamedTuple):
    """A language model with the tokenizer that it was trained with."""

    model: RWKV
    tokenizer: Tokenizer


def save_policy(policy: Policy, directory: Path) -> None:
    """Write the three files of a policy into the existing `directory`."""
    config = {"architecture": "rwkv7", **dataclasses.asdict(policy.model.config)}
    write_json(directory / "config.json", config)
    save_weights(policy.model, directory / "model.safetensors")
    policy.tokenizer.save(directory / "tokenizer.json")


def load_policy(directory: Path, device: str = "cpu") -> Policy:
    """Read a policy; the model is in eval mode.

    Raises:
        ValueError: If config.json names another architecture.
    """
    model = build_model(json.loads((directory / "config.json").read_text(encoding="utf-8")))
    model.load_state_dict(load_file(directory / "model.safetensors"))
    tokenizer = Tokenizer.load(directory / "tokenizer.json")
    return Policy(model.to(device).eval(), tokenizer)


def build_model(config: dict[str, Any]) -> RWKV:
    """The uninitialised model that a config.json describes."""
    sizes = dict(config)
    architecture = sizes.pop("architecture", None)
    if architecture != "rwkv7":
        raise ValueError(f"architecture is {architecture!r}; this reader knows 'rwkv7'")
    return RWKV(RWKVConfig(**sizes))


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a state dict as safetensors; equal weights give equal bytes."""
    save_file({name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}, path)


def write_json(path: Path, value: object) -> None:
    """Write `value` as readable JSON with sorted keys and a final newline.

    Raises:
        ValueError: If a number is not finite: JSON has no word for it.
    """
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
