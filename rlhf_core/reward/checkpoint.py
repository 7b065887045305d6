"""Reward models on disk: a policy's three files, with the head, and normalisation.json beside."""

import json
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file

from rlhf_core.checkpoint import (
    build_model,
    describe_model,
    load_tokenizer,
    save_weights,
    write_json,
)
from rlhf_core.reward.model import RewardModel
from rlhf_core.reward.normalisation import Normalisation
from rlhf_core.text_tokenizer import TextTokenizer


class Scorer(NamedTuple):
    """A reward model with its normalisation and tokenizer."""

    model: RewardModel
    normalisation: Normalisation
    tokenizer: TextTokenizer


def save_scorer(scorer: Scorer, directory: Path) -> None:
    """Write a reward model into the existing `directory`."""
    model = scorer.model
    config = describe_model(model.backbone)
    head = {"segment_embeddings": model.prompt_embedding is not None}
    write_json(directory / "config.json", {"backbone": config, **head})
    write_json(directory / "normalisation.json", scorer.normalisation._asdict())
    save_weights(model, directory / "model.safetensors")
    scorer.tokenizer.save(directory / "tokenizer.json")


def load_scorer(directory: Path, device: str = "cpu") -> Scorer:
    """Read a reward model; it is in eval mode.

    Raises:
        ValueError: If config.json names another architecture.
    """
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    model = RewardModel(
        build_model(config["backbone"]).trunk(), segment_embeddings=config["segment_embeddings"]
    )
    model.load_state_dict(load_file(directory / "model.safetensors"))
    norm = json.loads((directory / "normalisation.json").read_text(encoding="utf-8"))
    tokenizer = load_tokenizer(directory / "tokenizer.json")
    return Scorer(model.to(device).eval(), Normalisation(**norm), tokenizer)
