"""Models on disk: what is loaded is what was saved, bit for bit."""

import json
from pathlib import Path

import pytest
import torch

from rlhf_core.checkpoint import Policy, build_model, load_policy, save_policy
from rlhf_core.reward.checkpoint import Scorer, load_scorer, save_scorer
from rlhf_core.reward.model import score
from rlhf_core.reward.normalisation import Normalisation
from rlhf_core.tokenizer import train_tokenizer
from tests.unit.rlhf_core.builders import (
    are_equal,
    ragged_dialogues,
    tiny_policy,
    tiny_reward_model,
    weights_of,
)

TOKENIZER = train_tokenizer(["some text"], 260)


def folder(parent: Path, name: str) -> Path:
    path = parent / name
    path.mkdir()
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@torch.no_grad()
def test_a_loaded_policy_is_the_saved_one(tmp_path: Path) -> None:
    # Guards: a size that config.json does not carry, a tensor saved under another dtype.
    policy = tiny_policy()
    save_policy(Policy(policy, TOKENIZER), tmp_path)
    loaded = load_policy(tmp_path)
    assert sorted(contents(tmp_path)) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert loaded.model.config == policy.config
    assert are_equal(weights_of(loaded.model), weights_of(policy))
    assert not loaded.model.training
    ids = ragged_dialogues().ids
    assert torch.equal(loaded.model(ids)[0], policy(ids)[0])
    assert loaded.tokenizer.encode("some text") == TOKENIZER.encode("some text")


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    # Guards: an artifact whose identity changes with each save.
    first, second, third = (folder(tmp_path, name) for name in "abc")
    save_policy(Policy(tiny_policy(), TOKENIZER), first)
    save_policy(load_policy(first), second)
    save_policy(Policy(tiny_policy(1), TOKENIZER), third)
    assert contents(first) == contents(second)
    assert contents(first)["model.safetensors"] != contents(third)["model.safetensors"]


@pytest.mark.parametrize("architecture", ["rwkv6", None])
def test_an_unknown_architecture_is_refused(tmp_path: Path, architecture: str | None) -> None:
    # Guards: another model's weights read as RWKV-7.
    save_policy(Policy(tiny_policy(), TOKENIZER), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["architecture"] = architecture
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="architecture"):
        load_policy(tmp_path)
    del config["architecture"]
    with pytest.raises(ValueError, match="architecture"):
        build_model(config)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    # Guards: a partly loaded model.
    save_policy(Policy(tiny_policy(), TOKENIZER), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 12}))
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_policy(tmp_path)


@pytest.mark.parametrize("segment_embeddings", [True, False])
@torch.no_grad()
def test_a_loaded_scorer_is_the_saved_one(tmp_path: Path, segment_embeddings: bool) -> None:
    # Guards: a head, a segment embedding or a normalisation that stays behind.
    first, second = folder(tmp_path, "a"), folder(tmp_path, "b")
    model = tiny_reward_model(segment_embeddings=segment_embeddings)
    scorer = Scorer(model, Normalisation(1 / 3, -0.1), TOKENIZER)
    save_scorer(scorer, first)
    loaded = load_scorer(first)
    save_scorer(loaded, second)
    assert contents(first) == contents(second)
    assert "normalisation.json" in contents(first)
    assert loaded.normalisation == scorer.normalisation
    assert not loaded.model.training
    assert are_equal(weights_of(loaded.model), weights_of(model))
    batch = ragged_dialogues()
    assert torch.equal(score(loaded.model, batch), score(model, batch))
