"""Gain and bias of the reward."""

import pytest
import torch
from torch.testing import assert_close

from rlhf_core.reward.losses import ranking_loss
from rlhf_core.reward.model import score
from rlhf_core.reward.normalisation import Normalisation, fit_normalisation
from tests.unit.rlhf_core.builders import (
    are_equal,
    ragged_dialogues,
    random,
    tiny_reward_model,
    weights_of,
)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (100.0, 0.01), (-3.0, 20.0)])
def test_normalised_scores_have_mean_0_and_deviation_1(shift: float, scale: float) -> None:
    # Guards: gain and bias applied in the other order.
    raw = shift + scale * random(0, 500)
    normalised = fit_normalisation(raw)(raw)
    assert float(normalised.mean()) == pytest.approx(0, abs=1e-9)
    assert float(normalised.std(correction=0)) == pytest.approx(1, abs=1e-9)
    assert torch.equal(normalised.argsort(), raw.argsort())


def test_a_common_shift_of_the_scores_is_normalised_away() -> None:
    # Guards: rewards that carry the reward model's arbitrary origin.
    raw = random(0, 50)
    first, second = fit_normalisation(raw)(raw), fit_normalisation(raw + 7)(raw + 7)
    assert_close(first, second, atol=1e-9, rtol=0)


@torch.no_grad()
def test_raw_scores_stay_apart() -> None:
    # Guards: a normalisation folded into the weights that the loss and calibration read.
    model, batch = tiny_reward_model(), ragged_dialogues()
    before, raw = weights_of(model), score(model, batch)
    normalisation = fit_normalisation(raw)
    assert are_equal(weights_of(model), before)
    assert torch.equal(score(model, batch), raw)
    pairs, weights = torch.tensor([(0, 1), (2, 3)]), torch.ones(2)
    loss = ranking_loss(raw, pairs, weights, 2)
    assert abs(float(loss - ranking_loss(normalisation(raw), pairs, weights, 2))) > 1e-3


def test_gain_multiplies_and_bias_is_added_after() -> None:
    # Guards: gain * (raw + bias).
    assert Normalisation(2.0, 3.0)(torch.tensor([1.0, -1.0])).tolist() == [5.0, 1.0]


def test_equal_scores_cannot_be_normalised() -> None:
    # Guards: a division by zero that makes every reward infinite.
    with pytest.raises(ValueError, match="same score"):
        fit_normalisation(torch.full((5,), 2.0))
