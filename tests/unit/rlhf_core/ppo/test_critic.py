"""The critic starts as the normalised reward model."""

import torch
from torch.testing import assert_close

from rlhf_core.collate import Dialogues, is_within
from rlhf_core.ppo.critic import Critic
from rlhf_core.reward.model import score
from rlhf_core.reward.normalisation import Normalisation
from tests.unit.rlhf_core.builders import (
    are_equal,
    ragged_dialogues,
    tiny_reward_model,
    weights_of,
    with_padding_of,
)

BATCH = ragged_dialogues()
WIDTH = int(BATCH.response_lengths.max())
NORMALISATION = Normalisation(2.5, -0.75)


@torch.no_grad()
def test_first_values_are_normalised_scores_of_what_was_said_so_far() -> None:
    # Guards: values read after the token, gain and bias left out or applied twice, a value after
    # the end that is read at padding.
    model = tiny_reward_model(dtype=torch.float64)
    values = Critic(model, NORMALISATION)(BATCH, WIDTH + 1)
    assert values.shape == (4, WIDTH + 1)
    for row in range(4):
        prompt_length = BATCH.prompt_lengths[row : row + 1]
        for t in range(int(BATCH.response_lengths[row]) + 1):
            length = prompt_length + t
            so_far = Dialogues(BATCH.ids[row : row + 1, : int(length)], length, prompt_length)
            expected = NORMALISATION(score(model, so_far))[0]
            assert_close(values[row, t], expected, atol=1e-10, rtol=0)


@torch.no_grad()
def test_padding_changes_no_value() -> None:
    # Guards: a critic that reads padding.
    critic = Critic(tiny_reward_model(dtype=torch.float64), NORMALISATION)
    is_after = is_within(BATCH.response_lengths + 1, WIDTH + 1)
    first, second = critic(BATCH, WIDTH + 1), critic(with_padding_of(BATCH, 7), WIDTH + 1)
    assert_close(second[is_after], first[is_after], atol=1e-10, rtol=0)


def test_critic_is_a_network_of_its_own() -> None:
    # Guards: value training that moves the reward model.
    model = tiny_reward_model()
    before = weights_of(model)
    critic = Critic(model, NORMALISATION)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.add_(1.0)
    assert are_equal(weights_of(model), before)


def test_bias_and_network_both_learn() -> None:
    # Guards: a folded bias that stays constant.
    critic = Critic(tiny_reward_model(), NORMALISATION)
    critic(BATCH, WIDTH).square().sum().backward()
    assert critic.bias.grad is not None
    assert all(p.grad is not None and p.grad.any() for p in critic.parameters())
