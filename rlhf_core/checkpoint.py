"""Models on disk: model.safetensors, config.json and tokenizer.json in one directory.

A model of ours has our config.json, which names its architecture. One of transformers has the
config.json and the names of weights of transformers, which loads the directory too.

Weights and their metadata only, never pickle. The state of a training (optimiser, data order) is
not kept here.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import nn

from rlhf_core.backbones import Backbone
from rlhf_core.hf import TransformersBackbone
from rlhf_core.hf_folder import build_from, config_of, read_folder, write_weights
from rlhf_core.hf_tokenizer import HFTokenizer
from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.model import RWKV
from rlhf_core.rwkv4.config import RWKV4Config
from rlhf_core.rwkv4.model import RWKV4
from rlhf_core.text_tokenizer import TextTokenizer
from rlhf_core.tokenizer import Tokenizer
from rlhf_core.world_tokenizer import KIND, WorldTokenizer


class Policy(NamedTuple):
    """A language model with the tokenizer that it was trained with."""

    model: Backbone
    tokenizer: TextTokenizer


def save_policy(policy: Policy, directory: Path) -> None:
    """Write the files of a policy into the existing `directory`."""
    write_json(directory / "config.json", describe_model(policy.model))
    if isinstance(policy.model, TransformersBackbone):
        write_weights(policy.model, directory / "model.safetensors")
    else:
        save_weights(policy.model, directory / "model.safetensors")
    policy.tokenizer.save(directory / "tokenizer.json")


def load_policy(directory: Path, device: str = "cpu") -> Policy:
    """Read a policy, ours or a folder of transformers; the model is in eval mode.

    Raises:
        ImportError: If what the model or tokenizer needs is not installed.
        ValueError: If config.json names a model that cannot be trained here, or the tokenizer has
            more tokens than the model.
    """
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    if "model_type" in config:
        model: Backbone = read_folder(directory)
    else:
        model = build_model(config)
        model.load_state_dict(load_file(directory / "model.safetensors"))
    tokenizer = load_tokenizer(directory / "tokenizer.json")
    if isinstance(model, TransformersBackbone) and tokenizer.vocab_size > model.vocab_size:
        raise ValueError(
            f"{directory}: the tokenizer has {tokenizer.vocab_size} tokens, the embedding "
            f"{model.vocab_size} rows; resize the embedding and save the model again"
        )
    return Policy(model.to(device).eval(), tokenizer)


def describe_model(model: Backbone) -> dict[str, Any]:
    """The config.json from which `build_model` makes a model of the same sizes.

    Raises:
        TypeError: If `model` is of a class that `build_model` does not know.
    """
    if isinstance(model, RWKV):
        return {"architecture": "rwkv7", **dataclasses.asdict(model.config)}
    if isinstance(model, RWKV4):
        return {"architecture": "rwkv4", **dataclasses.asdict(model.config)}
    if isinstance(model, TransformersBackbone):
        return config_of(model)
    raise TypeError(f"a {type(model).__name__} has no config.json")


def build_model(config: dict[str, Any]) -> Backbone:
    """The model that a config.json describes, its weights still to be filled."""
    if "model_type" in config:
        return build_from(config)
    sizes = dict(config)
    architecture = sizes.pop("architecture", None)
    if architecture == "rwkv7":
        return RWKV(RWKVConfig(**sizes))
    if architecture == "rwkv4":
        return RWKV4(RWKV4Config(**sizes))
    raise ValueError(f"architecture is {architecture!r}; this reader knows 'rwkv7' and 'rwkv4'")


def load_tokenizer(path: Path) -> TextTokenizer:
    """The tokenizer at `path`, ours, RWKV's World, or that of a folder of transformers."""
    if path.with_name("tokenizer_config.json").is_file():
        return HFTokenizer.load(path)
    if json.loads(path.read_text(encoding="utf-8")).get("kind") == KIND:
        return WorldTokenizer.load(path)
    return Tokenizer.load(path)


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
