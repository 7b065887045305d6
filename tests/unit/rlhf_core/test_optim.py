"""Groups, schedule and the guarded step."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from rlhf_core.optim import build_optimizer, clipped_step, cosine_schedule, set_learning_rate
from tests.unit.rlhf_core.builders import are_equal, tiny_policy, tiny_reward_model, weights_of


def group_names(model: nn.Module) -> list[tuple[set[str], float, float]]:
    """(names, weight decay, base rate) of each group."""
    names = {id(p): name for name, p in model.named_parameters()}
    optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.1)
    return [
        ({names[id(p)] for p in g["params"]}, g["weight_decay"], g["base"])
        for g in optimizer.param_groups
    ]


def test_decay_is_on_matrices_alone_and_w0_is_twice_as_fast() -> None:
    # Guards: decay on w0, norms or low-rank maps, which ruins RWKV training.
    policy = tiny_policy()
    (decayed, rate, _), (plain, none, _), (fast, no_decay, fast_base) = group_names(policy)
    projections = {
        f"blocks.{layer}.{name}.weight"
        for layer in range(2)
        for name in (
            "att.receptance",
            "att.key",
            "att.value",
            "att.output",
            "ffn.key",
            "ffn.value",
        )
    }
    assert decayed == {"emb.weight", "head.weight"} | projections
    assert fast == {"blocks.0.att.w0", "blocks.1.att.w0"}
    assert (rate, none, no_decay) == (0.1, 0.0, 0.0)
    assert fast_base == 2e-3
    assert {"blocks.0.att.w1", "blocks.0.att.r_k", "ln_out.weight"} <= plain
    everything = {name for name, _ in policy.named_parameters()}
    assert decayed | plain | fast == everything
    assert len(decayed) + len(plain) + len(fast) == len(everything)


def test_a_reward_model_is_grouped_alike() -> None:
    # Guards: names with a prefix that fall into the wrong group.
    groups = group_names(tiny_reward_model())
    assert {"head.weight", "backbone.emb.weight"} <= groups[0][0]
    assert {"prompt_embedding", "response_embedding"} <= groups[1][0]
    assert groups[2][0] == {"backbone.blocks.0.att.w0", "backbone.blocks.1.att.w0"}


def test_rates_scale_every_group() -> None:
    # Guards: a schedule that overwrites the doubled rate.
    optimizer = build_optimizer(tiny_policy(), learning_rate=1e-3, weight_decay=0.1)
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [5e-4, 5e-4, 1e-3]
    set_learning_rate(optimizer, 0.5)
    assert optimizer.param_groups[0]["lr"] == 5e-4


def test_schedule_rises_then_falls_to_its_end() -> None:
    # Guards: a first step at rate 0, a jump at the end of the warm-up, a wrong final rate.
    rates = [cosine_schedule(step, 100, warmup=0.1, final=0.2) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.6)
    assert rates[100] == pytest.approx(0.2)
    assert rates[99] == pytest.approx(0.2, abs=1e-3)


@pytest.mark.parametrize(("num_steps", "warmup"), [(1, 0.0), (1, 1.0), (2, 0.5), (7, 0.0)])
def test_short_schedules_stay_within_bounds(num_steps: int, warmup: float) -> None:
    # Guards: division by zero where the warm-up is all there is.
    rates = [cosine_schedule(s, num_steps, warmup=warmup, final=0.1) for s in range(num_steps)]
    assert all(0.1 <= rate <= 1 for rate in rates)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_changes_nothing(bad: float) -> None:
    # Guards: weights lost to one bad batch.
    policy = tiny_policy()
    optimizer = build_optimizer(policy, learning_rate=1e-3, weight_decay=0.1)
    before = weights_of(policy)
    with pytest.raises(FloatingPointError, match="not finite"):
        clipped_step(optimizer, policy.head.weight.sum() * bad, max_grad_norm=1.0)
    assert are_equal(weights_of(policy), before)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    # Guards: a finite loss that hides an infinite gradient.
    policy = tiny_policy()
    optimizer = build_optimizer(policy, learning_rate=1e-3, weight_decay=0.1)
    before = weights_of(policy)
    with pytest.raises(FloatingPointError, match="not finite"):
        clipped_step(optimizer, (policy.head.weight * 0).sqrt().sum(), max_grad_norm=1.0)
    assert are_equal(weights_of(policy), before)


@pytest.mark.parametrize(("max_grad_norm", "moved"), [(1.0, 1.0), (100.0, 5.0)])
def test_gradients_are_clipped_by_their_global_norm(max_grad_norm: float, moved: float) -> None:
    # Guards: clipping tensor by tensor; reporting the norm after clipping.
    first, second = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=1.0)
    norm = clipped_step(optimizer, (3 * first + 4 * second).sum(), max_grad_norm=max_grad_norm)
    assert norm == pytest.approx(5)
    end: Tensor = torch.cat([first, second]).detach()
    assert_close(end, -torch.tensor([0.6, 0.8]) * moved, atol=1e-5, rtol=0)


def test_gradients_do_not_add_up_over_steps() -> None:
    # Guards: a missing zero_grad.
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    for _ in range(2):
        clipped_step(optimizer, weight.sum(), max_grad_norm=100.0)
    assert float(weight.detach()) == -2.0


def test_tiny_gradients_still_move_their_weights() -> None:
    # Guards: Adam's usual epsilon of 1e-8, which freezes parts of RWKV.
    policy = tiny_policy()
    optimizer = build_optimizer(policy, learning_rate=1e-3, weight_decay=0.0)
    before = policy.head.weight.detach().clone()
    clipped_step(optimizer, 1e-12 * policy.head.weight.sum(), max_grad_norm=1.0)
    assert_close(policy.head.weight.detach(), before - 1e-3, atol=1e-6, rtol=0)
