"""The core on a GPU: equal to float64 on the CPU, and as exact when it is stopped and resumed."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.language.config import LanguageConfig
from rlhf_core.language.training import Document, LanguageTraining
from rlhf_core.ppo.critic import Critic
from rlhf_core.ppo.rollout import Actors, Reference
from rlhf_core.ppo.training import PPOTraining
from rlhf_core.resume import Checkpoints, Training, run
from rlhf_core.reward.config import RewardConfig
from rlhf_core.reward.model import score
from rlhf_core.reward.normalisation import Normalisation
from rlhf_core.reward.training import RankedPrompt, RewardTraining
from tests.unit.rlhf_core.builders import (
    EOS,
    PAD,
    ragged_dialogues,
    shaken,
    tiny_policy,
    tiny_reward_model,
    token_rows,
)
from tests.unit.rlhf_core.ppo.setting import PROMPTS, tiny_ppo

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")

SIZES = {"vocab_size": 64, "dim": 128, "num_layers": 3, "head_size": 64, "chunk_size": 16}


def outcome(device: str, dtype: torch.dtype, num_tokens: int) -> list[Tensor]:
    """Logits, state and gradients of one model, as float64 on the CPU."""
    ids = torch.tensor(token_rows(0, [num_tokens] * 2, vocab_size=64), device=device)
    policy = tiny_policy(dtype=dtype, **SIZES).to(device)
    logits, state = policy(ids)
    logits.log_softmax(-1)[..., 5].mean().backward()
    gradients = [p.grad for p in policy.parameters() if p.grad is not None]
    return [x.detach().double().cpu() for x in (logits, *state, *gradients)]


def error(found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest error of any tensor, relative to the largest element of that tensor."""
    return max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("num_tokens", [1, 37, 300])
def test_logits_state_and_gradients_are_those_of_the_cpu(num_tokens: int) -> None:
    # Guards: TF32, which is 100 times coarser; a kernel's other layout.
    exact = outcome("cpu", torch.float64, num_tokens)
    assert error(outcome("cuda", torch.float64, num_tokens), exact) < 1e-9
    rounding = error(outcome("cpu", torch.float32, num_tokens), exact)
    assert error(outcome("cuda", torch.float32, num_tokens), exact) < 4 * rounding


@torch.no_grad()
def test_scores_are_those_of_the_cpu() -> None:
    # Guards: a mask or an index that stayed on the other device.
    batch = ragged_dialogues()
    here, there = tiny_reward_model(), tiny_reward_model().to("cuda")
    assert_close(score(there, batch.to(there.head.weight.device)).cpu(), score(here, batch))


def language() -> LanguageTraining:
    documents = [Document(ids, 0) for ids in token_rows(0, [5, 9, 3, 7])]
    config = LanguageConfig(num_steps=9, batch_size=2)
    return LanguageTraining(tiny_policy().to("cuda"), documents, config, pad_id=PAD, seed=0)


def reward() -> RewardTraining:
    prompts = [
        RankedPrompt(ids, token_rows(i, [2, 3, 4]), [(0, 1), (0, 2), (1, 2)], [1 / 3] * 3)
        for i, ids in enumerate(token_rows(9, [2, 5, 3, 4]))
    ]
    config = RewardConfig(num_epochs=4, batch_size=2)
    model = tiny_reward_model().to("cuda")
    return RewardTraining(model, prompts, config, validation=prompts[:1], pad_id=PAD, seed=0)


def ppo() -> PPOTraining:
    model, scale = tiny_reward_model().to("cuda"), Normalisation(1.5, -0.25)
    actors = Actors(
        shaken(tiny_policy(), 7, 0.1).to("cuda"),
        Critic(model, scale),
        Reference(tiny_policy().to("cuda"), copy.deepcopy(model), scale),
    )
    config = tiny_ppo(
        num_iterations=6, ema_decay=0.9, scale_scores=True, kl_control="adaptive", kl_horizon=50
    )
    return PPOTraining(actors, PROMPTS, config, pad_id=PAD, eos_id=EOS, seed=0)


@pytest.mark.parametrize("build", [language, reward, ppo])
def test_a_resumed_training_is_equal_to_the_bit(
    build: Callable[[], Training], tmp_path: Path
) -> None:
    # Guards: state left on the device, or kernels whose sums come in another order each time.
    whole = build()
    expected = list(run(whole))
    stopped = run(build(), Checkpoints(tmp_path, every=1))
    for _ in range(3):
        next(stopped)
    stopped.close()
    torch.manual_seed(1)
    resumed = build()
    assert list(run(resumed, Checkpoints(tmp_path, every=1))) == expected
    ours, theirs = resumed.state(), whole.state()
    assert ours.numbers == theirs.numbers
    assert [n for n, t in theirs.tensors.items() if not torch.equal(t, ours.tensors[n])] == []
