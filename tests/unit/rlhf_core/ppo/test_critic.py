"""The critic starts as the normalised reward model."""

import torch
from torch.testing import assert_close

from rlhf_core.collate import Dialogues, response_positions
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
NORMALISATION = Normalisation(2.5, -0.75)


@torch.no_grad()
def test_first_values_are_normalised_scores_of_what_was_said_so_far() -> None:
    # Guards: values read after the token, gain and bias left out or applied twice.
    model = tiny_reward_model(dtype=torch.float64)
    values = Critic(model, NORMALISATION)(BATCH)
    _, is_response = response_positions(BATCH)
    assert values.shape == is_response.shape
    for row in range(4):
        prompt_length = BATCH.prompt_lengths[row : row + 1]
        for t in range(int(BATCH.response_lengths[row])):
            length = prompt_length + t
            so_far = Dialogues(BATCH.ids[row : row + 1, : int(length)], length, prompt_length)
            expected = NORMALISATION(score(model, so_far))[0]
            assert_close(values[row, t], expected, atol=1e-10, rtol=0)


@torch.no_grad()
def test_padding_changes_no_value() -> None:
    # Guards: a critic that reads padding.
    critic = Critic(tiny_reward_model(dtype=torch.float64), NORMALISATION)
    _, is_response = response_positions(BATCH)
    first, second = critic(BATCH), critic(with_padding_of(BATCH, 7))
    assert_close(second[is_response], first[is_response], atol=1e-10, rtol=0)


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
    critic(BATCH).square().sum().backward()
    assert critic.bias.grad is not None
    assert all(p.grad is not None and p.grad.any() for p in critic.parameters())
