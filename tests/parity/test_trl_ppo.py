"""A PPO step is that of TRL 1.12's PPOTrainer in the mode that is TRL's, and in no other."""

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.ppo import training
from tests.parity.gpt2 import PAD
from tests.parity.trl_step import ROLLOUT, Case, Step, our_step, trl_step

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(
        importlib.util.find_spec("trl") is None, reason="the package trl is not installed"
    ),
    # Of trl itself: that it is experimental, and the variance of the ratio of a single update.
    pytest.mark.filterwarnings("ignore:You are importing from 'trl.experimental'"),
    pytest.mark.filterwarnings("ignore:var.*degrees of freedom"),
]

RAGGED = (4, 1, 6, 3)
ADAMW = {"optimizer": "adamw", "learning_rate": 1e-3}
UPDATES = {
    "num_ppo_epochs": 2,
    "num_mini_batches": 2,
    "cliprange": 0.05,
    "cliprange_value": 0.01,
}
CASES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "sgd, k3": {"trl": {"kl_estimator": "k3"}},
    "sgd, rewards whitened": {"trl": {"whiten_rewards": True}},
    "sgd, k3, rewards whitened, ragged prompts": {
        "prompt_lengths": RAGGED,
        "trl": {"kl_estimator": "k3", "whiten_rewards": True},
    },
    "adamw": ADAMW,
    "adamw, ragged prompts": {**ADAMW, "prompt_lengths": RAGGED},
    "sgd, several updates": {"copies": 2, "trl": UPDATES},
    "adamw, several updates, ragged prompts": {
        **ADAMW,
        "copies": 2,
        "prompt_lengths": RAGGED,
        "trl": UPDATES | {"num_ppo_epochs": 3, "whiten_rewards": True},
    },
}
# Each alone makes another mode than TRL's of that case.
FLIPPED: dict[str, tuple[str, Any]] = {
    "temperature": ("sgd, several updates", 1.0),
    "discount": ("sgd, several updates", 1.0),
    "gae_lambda": ("sgd, several updates", 0.95),
    "clip_ratio": ("sgd, several updates", 0.2),
    "value_clip": ("sgd, several updates", 0.2),
    "value_coef": ("sgd, several updates", 1.0),
    "max_grad_norm": ("sgd, several updates", 0.1),
    "adam_beta2": ("adamw, several updates, ragged prompts", 0.99),
    "adam_eps": ("adamw", 1e-5),
    "score_position": ("sgd, several updates", "last"),
    "missing_eos": ("sgd, several updates", "replace"),
    "missing_eos_score": ("sgd, several updates", -1.0),
    "scale_scores": ("sgd, several updates", True),
    "whiten_rewards": ("sgd, several updates", True),
    "whiten_advantages": ("sgd, several updates", False),
    "variance": ("sgd, several updates", "biased"),
    "kl_estimator": ("sgd, several updates", "k2"),
    "kl_placement": ("sgd, k3", "loss"),
    "kl_coef": ("sgd, several updates", 0.05),
    "pad_id": ("sgd, several updates", PAD),
}
Run = Callable[[str], tuple[Case, Step]]


@pytest.fixture(scope="module")
def trl(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The case of a name and what TRL does with it, computed once."""

    @cache
    def run(name: str) -> tuple[Case, Step]:
        case = Case(**CASES[name])
        return case, trl_step(case, tmp_path_factory.mktemp("trl"))

    return run


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_that_of_trl(trl: Run, name: str) -> None:
    # Guards: any difference of masks, positions, signs, detaches or units that our own tests share.
    case, theirs = trl(name)
    ours = our_step(case, theirs)
    assert torch.equal(ours.is_response, theirs.is_response)
    assert not theirs.is_response.all()
    for tensor in ROLLOUT:
        assert_same(inside(ours, tensor), inside(theirs, tensor))
    assert len(ours.losses) == len(theirs.batches) == len(theirs.losses)
    for pair in zip(ours.losses, theirs.losses, strict=True):
        # The policy's first loss is the mean of whitened advantages: nothing but rounding.
        assert_close(*map(torch.tensor, pair), rtol=1e-8, atol=1e-12)
    for learner in ("policy", "critic"):
        for pair in zip(ours.gradients[learner], theirs.gradients[learner], strict=True):
            assert_same(*pair)
        assert theirs.changes[learner].norm() > 1e-3
        assert change_apart(ours, theirs, learner) <= 1e-5


@pytest.mark.parametrize("name", [name for name in CASES if "several" in name])
def test_several_updates_move_away_from_the_rollout_and_are_clipped(trl: Run, name: str) -> None:
    # Guards: a comparison in which ratio and clip never play a part.
    _, theirs = trl(name)
    first, *later = theirs.clipped
    assert first == (0, 0)
    assert min(map(min, later)) > 0.2


@pytest.mark.parametrize("field", FLIPPED)
def test_another_mode_is_not_trl(trl: Run, field: str) -> None:
    # Guards: a field that changes nothing, and a comparison that sees nothing.
    name, value = FLIPPED[field]
    case, theirs = trl(name)
    ours = our_step(case, theirs, **{field: value})
    assert max(change_apart(ours, theirs, it) for it in ("policy", "critic")) > 1e-3


def test_the_number_that_trl_adds_to_the_temperature_is_seen(trl: Run) -> None:
    case, theirs = trl("sgd")
    ours = our_step(case, theirs, temperature=case.fields["temperature"])
    with pytest.raises(AssertionError):
        assert_same(inside(ours, "logprobs"), inside(theirs, "logprobs"))


def test_a_skipped_update_is_seen(trl: Run) -> None:
    case, theirs = trl("sgd")
    with patch.object(training, "guarded_step", lambda *_, **__: None):
        ours = our_step(case, theirs)
    assert [change_apart(ours, theirs, it) for it in ("policy", "critic")] == [1, 1]


def inside(step: Step, name: str) -> Tensor:
    """A tensor of the rollout; log-probabilities without what TRL writes at padding."""
    tensor = step.tensors[name]
    return tensor.masked_fill(~step.is_response, 0.0) if "logprobs" in name else tensor


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    """Equal to 1e-8 of the largest number."""
    assert_close(ours, theirs, rtol=0, atol=1e-8 * float(theirs.abs().max()))


def change_apart(ours: Step, theirs: Step, learner: str) -> float:
    """How far apart the weights end, as a share of how far TRL moved them."""
    expected = theirs.changes[learner]
    return float((ours.changes[learner] - expected).norm() / expected.norm())
