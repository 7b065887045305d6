"""Parameter groups, schedule, and the optimiser's state as tensors."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from rlhf_core.optim import (
    build_optimizer,
    cosine_schedule,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from rlhf_core.rwkv4.config import RWKV4Config
from rlhf_core.rwkv4.model import RWKV4
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


def test_decays_of_rwkv4_are_faster_still() -> None:
    # Guards: RWKV-4 trained with the groups of RWKV-7, where none of its names occurs.
    policy = RWKV4(RWKV4Config(vocab_size=11, dim=16, num_layers=2))
    groups = group_names(policy)
    assert [(decay, base) for _, decay, base in groups] == [
        (0.1, pytest.approx(1e-3)),
        (0.0, pytest.approx(1e-3)),
        (0.0, pytest.approx(2e-3)),
        (0.0, pytest.approx(3e-3)),
    ]
    assert groups[2][0] == {"blocks.0.att.time_decay", "blocks.1.att.time_decay"}
    assert groups[3][0] == {"blocks.0.att.time_first", "blocks.1.att.time_first"}


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


def learn(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    sum(p.square().sum() for p in model.parameters()).backward()
    optimizer.step()


def test_tiny_gradients_still_move_their_weights() -> None:
    # Guards: Adam's usual epsilon of 1e-8, which freezes parts of RWKV.
    policy = tiny_policy()
    optimizer = build_optimizer(policy, learning_rate=1e-3, weight_decay=0.0)
    before = policy.head.weight.detach().clone()
    (1e-12 * policy.head.weight.sum()).backward()
    optimizer.step()
    assert_close(policy.head.weight.detach(), before - 1e-3, atol=1e-6, rtol=0)


def test_epsilon_is_the_one_asked_for() -> None:
    # Guards: PPO with RWKV's epsilon, where OpenAI's is 1e-5.
    policy = tiny_policy()
    optimizer = build_optimizer(policy, learning_rate=1e-3, weight_decay=0.0, eps=1e-5)
    before = policy.head.weight.detach().clone()
    (1e-5 * policy.head.weight.sum()).backward()
    optimizer.step()
    assert_close(policy.head.weight.detach(), before - 0.5e-3, atol=1e-7, rtol=0)


def test_frozen_parameters_are_in_no_group() -> None:
    # Guards: weight decay on what low-rank training leaves alone.
    policy = tiny_policy()
    policy.emb.weight.requires_grad_(False)
    names = set.union(*(group[0] for group in group_names(policy)))
    assert names == {name for name, _ in policy.named_parameters()} - {"emb.weight"}


def test_a_loaded_optimizer_goes_on_where_the_saved_one_was() -> None:
    # Guards: a moment or a step count left behind, or given to another parameter.
    first, second = tiny_policy(), tiny_policy()
    one, other = (build_optimizer(m, learning_rate=1e-2, weight_decay=0.1) for m in (first, second))
    for _ in range(3):
        learn(first, one)
    second.load_state_dict(first.state_dict())
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(one).items()}
    assert len(saved) == 3 * len(list(first.parameters()))
    load_optimizer_tensors(other, saved)
    learn(first, one)
    assert are_equal(dict(optimizer_tensors(other)), saved)
    learn(second, other)
    assert are_equal(weights_of(first), weights_of(second))


def test_an_optimizer_without_state_can_be_saved_and_loaded() -> None:
    # Guards: a checkpoint before the first step.
    optimizer = build_optimizer(tiny_policy(), learning_rate=1e-2, weight_decay=0.1)
    assert optimizer_tensors(optimizer) == {}
    load_optimizer_tensors(optimizer, {})
