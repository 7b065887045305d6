"""PPO on a token bandit so small that every response, and with it the optimum, is enumerated.

With discount 1 the objective of a policy is E[score] - kl_coef * KL(policy || reference), and the
best policy reaches kl_coef * log sum of reference(y) exp(score(y) / kl_coef).
"""

import math
from collections.abc import Callable

import pytest
import torch

from rlhf_core.collate import join
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.critic import Critic
from rlhf_core.ppo.rollout import Actors, Reference
from rlhf_core.ppo.training import PPOTraining
from rlhf_core.resume import run
from rlhf_core.reward.model import RewardModel, score
from rlhf_core.reward.normalisation import Normalisation
from rlhf_core.rwkv.init import initialise
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import generator_for
from tests.oracles.responses_enumerated import response_probabilities
from tests.unit.rlhf_core.builders import (
    EOS,
    PAD,
    tiny_config,
    tiny_reward_model,
)

PROMPT = [2, 3]
KL_COEF = 0.5
GAIN, BIAS, MISSING = 2.0, 0.5, -1.0


def fresh_policy(seed: int) -> RWKV:
    return initialise(RWKV(tiny_config(vocab_size=6)), generator_for(seed, "policy"))


def probabilities(policy: RWKV) -> dict[tuple[int, ...], float]:
    return response_probabilities(
        policy, PROMPT, max_tokens=2, temperature=1.0, pad_id=PAD, eos_id=EOS
    )


@torch.no_grad()
def known_scores(model: RewardModel, responses: list[tuple[int, ...]]) -> list[float]:
    raw = score(model, join([PROMPT] * len(responses), responses, PAD)).tolist()
    return [
        GAIN * s + BIAS if ids[-1] == EOS else MISSING
        for s, ids in zip(raw, responses, strict=True)
    ]


def objective_of(
    reference: dict[tuple[int, ...], float], scores: list[float]
) -> Callable[[RWKV], float]:
    def objective(policy: RWKV) -> float:
        ours = probabilities(policy)
        return sum(
            p * (s - KL_COEF * (math.log(p) - math.log(reference[ids])))
            for (ids, p), s in zip(ours.items(), scores, strict=True)
            if p > 0
        )

    return objective


@pytest.mark.parametrize("seed", range(2))
def test_policy_comes_close_to_the_known_optimum_and_never_beyond(seed: int) -> None:
    # Guards: rewards, advantages, clipping or sampling wrong in a way that only learning shows.
    policy, frozen = fresh_policy(seed), fresh_policy(seed)
    reward_model = tiny_reward_model(seed, vocab_size=6)
    reference = probabilities(frozen)
    scores = known_scores(reward_model, list(reference))
    objective = objective_of(reference, scores)
    best = KL_COEF * math.log(
        sum(p * math.exp(s / KL_COEF) for p, s in zip(reference.values(), scores, strict=True))
    )
    start = objective(policy)
    normalisation = Normalisation(GAIN, BIAS)
    config = PPOConfig(
        num_iterations=25,
        batch_size=64,
        learning_rate=1e-2,
        value_learning_rate=1e-2,
        max_tokens=2,
        kl_coef=KL_COEF,
        missing_eos_score=MISSING,
    )
    actors = Actors(
        policy,
        Critic(reward_model, normalisation),
        Reference(frozen, reward_model, normalisation),
    )
    training = PPOTraining(actors, [PROMPT], config, pad_id=PAD, eos_id=EOS, seed=seed)
    steps = list(run(training))
    end = objective(policy)
    assert best - start > 0.3
    assert start + 0.95 * (best - start) < end <= best + 1e-6
    assert steps[-1]["objective/reward"] == pytest.approx(end, abs=0.2)
    assert steps[-1]["objective/score"] > steps[0]["objective/score"]
