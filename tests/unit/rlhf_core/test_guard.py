"""The guarded step: all optimisers or none, and an end after too many in vain."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.testing import assert_close

from rlhf_core.guard import MAX_SKIPPED, DivergedError, Guard, guarded_step
from rlhf_core.optim import build_optimizer
from tests.unit.rlhf_core.builders import are_equal, tiny_policy, weights_of


class Pair:
    """Two networks with an optimiser each, after one good step: no moment is zero."""

    def __init__(self) -> None:
        self.models = [tiny_policy(seed) for seed in (0, 1)]
        self.optimizers: list[Optimizer] = [
            build_optimizer(model, learning_rate=1e-3, weight_decay=0.1) for model in self.models
        ]
        self.guard = Guard()
        assert self.step() is not None

    def step(self, first: float = 1.0, second: float = 1.0) -> list[float] | None:
        """Take a step on the squared output weights, each loss times the given factor."""
        losses = [
            factor * model.head.weight.square().sum()
            for factor, model in zip((first, second), self.models, strict=True)
        ]
        steps = list(zip(self.optimizers, losses, strict=True))
        return guarded_step(self.guard, steps, max_grad_norm=1.0)

    def everything(self) -> list[dict[str, Any]]:
        """Weights and moments of both, copied."""
        return [
            *map(weights_of, self.models),
            *(copy.deepcopy(moments(optimizer)) for optimizer in self.optimizers),
        ]


def moments(optimizer: Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{i}/{name}": tensor for i, own in state.items() for name, tensor in own.items()}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", ["first", "second"])
def test_a_loss_that_is_not_finite_changes_nothing_of_either(which: str, bad: float) -> None:
    # Guards: weights or moments lost to one bad batch; a critic that steps where the policy does
    # not.
    pair = Pair()
    before = pair.everything()
    assert pair.step(**{which: bad}) is None
    for then, now in zip(before, pair.everything(), strict=True):
        assert are_equal(then, now)
    assert (pair.guard.in_a_row, pair.guard.skipped) == (1, 1)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    # Guards: a finite loss that hides an infinite gradient.
    pair = Pair()
    before = pair.everything()
    hidden = (pair.models[0].head.weight * 0).sqrt().sum()
    assert hidden.isfinite()
    assert guarded_step(pair.guard, [(pair.optimizers[0], hidden)], max_grad_norm=1.0) is None
    for then, now in zip(before, pair.everything(), strict=True):
        assert are_equal(then, now)


def test_the_fourth_in_a_row_is_the_end() -> None:
    # Guards: a run that skips for ever and reports success.
    pair = Pair()
    before = pair.everything()
    for skipped in range(1, MAX_SKIPPED + 1):
        assert pair.step(second=math.nan) is None
        assert pair.guard.in_a_row == skipped
    with pytest.raises(DivergedError, match="4 steps in a row had a loss or gradient that is not"):
        pair.step(second=math.nan)
    assert MAX_SKIPPED == 3
    for then, now in zip(before, pair.everything(), strict=True):
        assert are_equal(then, now)


def test_a_step_that_is_taken_starts_the_count_anew() -> None:
    # Guards: three bad batches in a whole run that end it.
    pair = Pair()
    for _ in range(3):
        for _ in range(MAX_SKIPPED):
            assert pair.step(first=math.nan) is None
        assert pair.step() is not None
        assert pair.guard.in_a_row == 0
    assert pair.guard == Guard(skipped=9)


def test_steps_after_a_skip_are_those_without_it() -> None:
    # Guards: a NaN gradient that is added to the next one.
    skipped, plain = Pair(), Pair()
    skipped.step(first=math.nan)
    skipped.step()
    plain.step()
    for one, other in zip(skipped.everything(), plain.everything(), strict=True):
        assert are_equal(one, other)


@pytest.mark.parametrize(("max_grad_norm", "moved"), [(1.0, 1.0), (100.0, 5.0)])
def test_gradients_are_clipped_by_their_global_norm(max_grad_norm: float, moved: float) -> None:
    # Guards: clipping tensor by tensor; reporting the norm after clipping.
    first, second = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=1.0)
    loss = (3 * first + 4 * second).sum()
    norms = guarded_step(Guard(), [(optimizer, loss)], max_grad_norm=max_grad_norm)
    assert norms == [pytest.approx(5)]
    end: Tensor = torch.cat([first, second]).detach()
    assert_close(end, -torch.tensor([0.6, 0.8]) * moved, atol=1e-5, rtol=0)


def test_each_optimizer_is_clipped_by_its_own_norm() -> None:
    # Guards: a large gradient of the critic that stops the policy.
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    steps = [
        (torch.optim.SGD([weight], lr=1.0), (factor * weight).sum())
        for weight, factor in zip(weights, (0.5, 1000.0), strict=True)
    ]
    assert guarded_step(Guard(), steps, max_grad_norm=1.0) == pytest.approx([0.5, 1000.0])
    assert [float(weight.detach()) for weight in weights] == pytest.approx([-0.5, -1.0])


def test_gradients_do_not_add_up_over_steps() -> None:
    # Guards: a missing zero_grad.
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    for _ in range(2):
        guarded_step(Guard(), [(optimizer, weight.sum())], max_grad_norm=100.0)
    assert float(weight.detach()) == -2.0
