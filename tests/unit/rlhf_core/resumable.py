"""Trainings of 30 steps that use all that a checkpoint has to hold, and what comes out of them."""

import hashlib
import json
import math
from collections.abc import Callable, Container, Sequence
from typing import Any

from torch import Tensor, nn

from rlhf_core.language.config import LanguageConfig
from rlhf_core.language.training import Document, LanguageTraining
from rlhf_core.ppo.critic import Critic
from rlhf_core.ppo.rollout import Actors, Reference
from rlhf_core.ppo.training import PPOTraining
from rlhf_core.resume import Metrics, Training
from rlhf_core.reward.config import RewardConfig
from rlhf_core.reward.normalisation import Normalisation
from rlhf_core.reward.training import RankedPrompt, RewardTraining
from tests.unit.rlhf_core.builders import (
    EOS,
    PAD,
    shaken,
    tiny_policy,
    tiny_reward_model,
    token_rows,
)
from tests.unit.rlhf_core.ppo.setting import PROMPTS, tiny_ppo

NUM_STEPS = 30
SIZES = {"dim": 8, "chunk_size": 16}
DOCUMENTS = [Document(row, 0) for row in token_rows(0, [4, 5, 3, 6, 4])]


def language(start: int = 0) -> LanguageTraining:
    """Begins with weights number `start`, which must not matter once a state is restored."""
    config = LanguageConfig(num_steps=NUM_STEPS, batch_size=2, learning_rate=1e-2)
    return LanguageTraining(tiny_policy(start, **SIZES), DOCUMENTS, config, pad_id=PAD, seed=0)


def ranked(seed: int) -> RankedPrompt:
    """A prompt with three responses in a random order."""
    responses = [[*row, EOS] for row in token_rows(seed, [2, 1, 3])]
    return RankedPrompt(
        token_rows(seed + 50, [3])[0], responses, [(0, 1), (0, 2), (1, 2)], [1 / 3] * 3
    )


def reward(start: int = 0) -> RewardTraining:
    """What validates best here is neither the first epoch nor the last."""
    config = RewardConfig(num_epochs=10, batch_size=2, learning_rate=1e-2)
    return RewardTraining(
        tiny_reward_model(start, **SIZES),
        [ranked(seed) for seed in range(6)],
        config,
        validation=[ranked(seed) for seed in range(6, 12)],
        pad_id=PAD,
        seed=0,
    )


def ppo(start: int = 0) -> PPOTraining:
    """Adaptive KL, average weights, scaled scores, pretraining mix, several minibatches."""
    scorer, scale = tiny_reward_model(**SIZES), Normalisation(1.5, -0.25)
    actors = Actors(
        shaken(tiny_policy(**SIZES), 7 + start, 0.1),
        Critic(shaken(tiny_reward_model(**SIZES), 7 + start, 0.1), scale),
        Reference(tiny_policy(**SIZES), scorer, scale),
    )
    config = tiny_ppo(
        num_iterations=NUM_STEPS,
        batch_size=4,
        num_epochs=1,
        num_minibatches=2,
        max_tokens=3,
        kl_control="adaptive",
        kl_target=0.5,
        kl_horizon=80,
        ema_decay=0.9,
        scale_scores=True,
        ptx_coef=0.5,
        ptx_batch_size=2,
    )
    return PPOTraining(actors, PROMPTS, config, pad_id=PAD, eos_id=EOS, seed=0, documents=DOCUMENTS)


TRAININGS: dict[str, Callable[[int], Any]] = {"language": language, "reward": reward, "ppo": ppo}


def learner(training: Any) -> nn.Module:
    """The model that the training is about."""
    found: nn.Module = training.actors.policy if hasattr(training, "actors") else training.model
    return found


def poisoned(training: Any, bad: Container[int]) -> Any:
    """`training`, with gradients that are not finite at the steps `bad`."""
    plain = training.advance

    def advance() -> Metrics:
        if training.step not in bad:
            return plain()
        parameter = next(learner(training).parameters())
        hook = parameter.register_hook(lambda gradient: gradient * math.nan)
        try:
            return plain()
        finally:
            hook.remove()

    training.advance = advance
    return training


def digest(tensors: dict[str, Tensor]) -> str:
    """Sha256 over names, types, shapes and bytes."""
    sha256 = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        sha256.update(tensor.detach().contiguous().numpy().tobytes())
    return sha256.hexdigest()


def outcome(training: Training, metrics: Sequence[Metrics]) -> dict[str, Any]:
    """All of a training's tensors, its numbers, and the metrics of its steps."""
    state = training.state()
    stream = json.dumps(list(metrics)).encode()
    return {
        "tensors": digest(state.tensors),
        "numbers": state.numbers,
        "metrics": hashlib.sha256(stream).hexdigest(),
        "steps": len(metrics),
    }
