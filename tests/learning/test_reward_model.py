"""A reward model learns what annotators prefer, on rankings where the answer is known."""

import pytest
import torch

from rlhf_core.resume import run
from rlhf_core.reward.config import RewardConfig
from rlhf_core.reward.model import reward_model_from
from rlhf_core.reward.training import (
    RankedPrompt,
    RewardTraining,
    mean_pair_accuracy,
    score_prompts,
)
from rlhf_core.rwkv.init import initialise
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import generator_for
from tests.unit.rlhf_core.builders import EOS, PAD, tiny_config

GOOD, BAD = 2, 3


def rankings(count: int, seed: int) -> list[RankedPrompt]:
    """Four responses a prompt; the one with more GOOD and fewer BAD tokens is preferred."""
    generator = generator_for(seed, "rankings")
    prompts = []
    for _ in range(count):
        prompt = torch.randint(GOOD, 12, (3,), generator=generator).tolist()
        responses = torch.randint(GOOD, 12, (4, 6), generator=generator).tolist()
        merit = [row.count(GOOD) - row.count(BAD) for row in responses]
        pairs = [(i, j) for i in range(4) for j in range(4) if merit[i] > merit[j]]
        weights = [1 / 6] * len(pairs)
        prompts.append(RankedPrompt(prompt, [[*r, EOS] for r in responses], pairs, weights))
    return prompts


@pytest.mark.parametrize("seed", range(2))
def test_unseen_rankings_are_predicted(seed: int) -> None:
    # Guards: any error that leaves the loss falling and the order unlearnt.
    policy = initialise(RWKV(tiny_config(vocab_size=12)), generator_for(seed, "policy"))
    model = reward_model_from(
        policy, segment_embeddings=True, generator=generator_for(seed, "head")
    )
    config = RewardConfig(num_epochs=4, batch_size=16, learning_rate=1e-2)
    train, held_out = rankings(300, seed), rankings(100, seed + 100)
    before = mean_pair_accuracy(
        held_out, score_prompts(model, held_out, batch_size=100, pad_id=PAD)
    )
    for _ in run(RewardTraining(model, train, config, pad_id=PAD, seed=seed)):
        pass
    after = mean_pair_accuracy(held_out, score_prompts(model, held_out, batch_size=100, pad_id=PAD))
    assert before < 0.8
    assert after > 0.95
