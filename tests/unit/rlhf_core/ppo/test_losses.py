"""The clipped losses: values by hand, gradients by region."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.ppo.losses import policy_loss, value_loss

ONE = torch.ones(1, 1, dtype=torch.bool)


def tensor(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def policy_gradient(ratio: float, advantage: float) -> tuple[float, float, dict[str, float]]:
    """Loss, its derivative by log pi, and diagnostics of one token."""
    logprob = tensor(math.log(ratio) - 1.0).requires_grad_()
    loss, metrics = policy_loss(logprob, tensor(-1.0), tensor(advantage), ONE, clip_ratio=0.2)
    loss.backward()
    return float(loss.detach()), float(logprob.grad), metrics


@pytest.mark.parametrize(("ratio", "advantage"), [(1.3, 2.0), (5.0, 0.1), (0.7, -2.0), (0.1, -1.0)])
def test_no_gradient_in_the_clipped_region(ratio: float, advantage: float) -> None:
    # Guards: a minimum for a maximum, a clip of the loss instead of the ratio.
    loss, gradient, metrics = policy_gradient(ratio, advantage)
    assert gradient == 0.0
    assert loss == pytest.approx(-advantage * (1.2 if ratio > 1 else 0.8))
    assert metrics["ppo/policy/clip_fraction"] == 1.0


@pytest.mark.parametrize(
    ("ratio", "advantage"), [(1.3, -2.0), (0.7, 2.0), (1.1, 2.0), (0.9, -2.0), (1.0, 3.0)]
)
def test_full_gradient_everywhere_else(ratio: float, advantage: float) -> None:
    # Guards: a policy that cannot come back from a bad step.
    loss, gradient, metrics = policy_gradient(ratio, advantage)
    assert loss == pytest.approx(-advantage * ratio)
    assert gradient == pytest.approx(-advantage * ratio)
    assert metrics["ppo/policy/clip_fraction"] == 0.0


def test_diagnostics_by_hand() -> None:
    # Guards: approximate KL with another factor, means over padding.
    is_response = torch.tensor([[True, True, False]])
    _, metrics = policy_loss(
        tensor(math.log(2), 0.0, 9.0),
        tensor(0.0, 0.0, -9.0),
        tensor(1.0, 1.0, 1.0),
        is_response,
        clip_ratio=0.2,
    )
    assert metrics["ppo/policy/ratio"] == pytest.approx(1.5)
    assert metrics["ppo/policy/approx_kl"] == pytest.approx(0.5 * math.log(2) ** 2 / 2)
    assert metrics["ppo/policy/clip_fraction"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("value", "target", "loss", "gradient"),
    [
        (1.1, 2.0, 0.81, -0.9),  # inside the clip
        (1.5, 2.0, 0.64, 0.0),  # moved towards the target beyond the clip: 1.2 counts
        (0.5, 2.0, 2.25, -1.5),  # moved away: the real error is the larger
        (1.5, 0.0, 2.25, 1.5),
    ],
)
def test_value_clip_by_hand(value: float, target: float, loss: float, gradient: float) -> None:
    # Guards: a clip around the target, a minimum for a maximum, a missing half.
    values = tensor(value).requires_grad_()
    found, metrics = value_loss(values, tensor(1.0), tensor(target), ONE, value_clip=0.2)
    found.backward()
    assert float(found.detach()) == pytest.approx(loss / 2)
    assert float(values.grad) == pytest.approx(gradient)
    assert metrics["ppo/value/clip_fraction"] == (1.0 if gradient == 0 else 0.0)


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, 1e4])
def test_padding_is_inert_in_loss_and_gradient(garbage: float) -> None:
    # Guards: 0 * NaN on the way back.
    is_response = torch.tensor([[True, True, False]])

    def run(fill: float) -> tuple[Tensor, ...]:
        old, advantages, returns = (
            tensor(*pair, fill) for pair in ((-1.1, -1.8), (0.5, -1.0), (0.3, 0.2))
        )
        logprobs, values = (tensor(-1.0, -2.0, fill).requires_grad_() for _ in range(2))
        policy, _ = policy_loss(logprobs, old, advantages, is_response, clip_ratio=0.2)
        critic, _ = value_loss(values, old, returns, is_response, value_clip=0.2)
        (policy + critic).backward()
        return policy, critic, logprobs.grad, values.grad

    for ours, theirs in zip(run(garbage), run(0.0), strict=True):
        assert_close(ours, theirs, atol=0, rtol=0)


def test_losses_are_means_over_response_tokens() -> None:
    # Guards: a mean over padding too, which shrinks steps of short batches.
    is_response = torch.tensor([[True, True, False, False]])
    logprobs = tensor(0.0, 0.0, 0.0, 0.0)
    loss, _ = policy_loss(logprobs, logprobs, tensor(1.0, 3.0, 0, 0), is_response, clip_ratio=0.2)
    assert float(loss) == pytest.approx(-2.0)
    values, target = tensor(0.0, 0.0, 5.0, 5.0), tensor(1.0, 3.0, 0, 0)
    critic, _ = value_loss(values, values, target, is_response, value_clip=0.2)
    assert float(critic) == pytest.approx((1 + 9) / 4)
