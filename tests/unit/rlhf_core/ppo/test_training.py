"""The PPO loop: its first step, what it leaves alone, and that it repeats."""

import copy
import math

import pytest
import torch
from torch.testing import assert_close

from rlhf_core.logprobs import response_logprobs
from rlhf_core.optim import build_optimizer
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.kl_control import adapted_kl_coef
from rlhf_core.ppo.training import Optimizers, ppo_losses, ppo_update, train_policy
from tests.unit.rlhf_core.builders import EOS, PAD, are_equal, weights_of
from tests.unit.rlhf_core.ppo.setting import PROMPTS, Setting, roll, tiny_ppo, tiny_setting

ROWS = [torch.arange(10), torch.tensor([3, 9, 1]), torch.tensor([4])]


def train(
    config: PPOConfig, seed: int = 0, setting: Setting | None = None
) -> tuple[list[dict[str, float]], Setting]:
    setting = setting or tiny_setting()
    metrics = train_policy(*setting, PROMPTS, config, pad_id=PAD, eos_id=EOS, seed=seed)
    return list(metrics), setting


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_nothing_has_changed_at_the_first_minibatch(rows: torch.Tensor, temperature: float) -> None:
    # Guards: old log-probabilities from another forward pass, row order or temperature.
    setting, config = tiny_setting(), tiny_ppo(temperature=temperature)
    minibatch = roll(setting, config)[0].select(rows)
    _, _, metrics = ppo_losses(setting.policy, setting.critic, minibatch, config)
    assert metrics["ppo/policy/ratio"] == pytest.approx(1, abs=1e-6)
    assert metrics["ppo/policy/approx_kl"] < 1e-11
    assert metrics["ppo/policy/clip_fraction"] == 0.0
    assert metrics["ppo/value/clip_fraction"] == 0.0


def test_whole_rollout_has_a_ratio_of_exactly_one() -> None:
    # Guards: any difference at all where the tensors are the same.
    setting, config = tiny_setting(), tiny_ppo()
    rollout, _ = roll(setting, config)
    _, _, metrics = ppo_losses(setting.policy, setting.critic, rollout, config)
    assert metrics["ppo/policy/ratio"] == 1.0
    assert metrics["ppo/policy/approx_kl"] == 0.0


@pytest.mark.parametrize("rows", ROWS)
def test_first_gradient_is_the_plain_policy_gradient(rows: torch.Tensor) -> None:
    # Guards: a surrogate with the wrong sign, an entropy bonus, a mean over padding.
    setting, config = tiny_setting(), tiny_ppo()
    minibatch = roll(setting, config)[0].select(rows)
    loss, _, _ = ppo_losses(setting.policy, setting.critic, minibatch, config)
    parameters = list(setting.policy.parameters())
    ours = torch.autograd.grad(loss, parameters)
    logprobs = response_logprobs(setting.policy, minibatch.dialogues, temperature=1.0).logprobs
    total = torch.zeros(())
    for row, length in enumerate(minibatch.dialogues.response_lengths.tolist()):
        for t in range(length):
            total = total - minibatch.advantages[row, t] * logprobs[row, t]
    plain = total / int(minibatch.dialogues.response_lengths.sum())
    assert_close(ours, torch.autograd.grad(plain, parameters), atol=1e-5, rtol=1e-4)


def test_policy_and_critic_each_follow_their_own_loss() -> None:
    # Guards: a value loss that moves the policy, a critic that never moves.
    setting, config = tiny_setting(), tiny_ppo()
    rollout, _ = roll(setting, config)
    before = weights_of(setting.policy), weights_of(setting.critic)
    optimizers = Optimizers(
        build_optimizer(setting.policy, learning_rate=1e-3, weight_decay=0.0),
        build_optimizer(setting.critic, learning_rate=0.0, weight_decay=0.0),
    )
    metrics = ppo_update(setting.policy, setting.critic, optimizers, rollout, config)
    assert not are_equal(weights_of(setting.policy), before[0])
    assert are_equal(weights_of(setting.critic), before[1])
    assert all(math.isfinite(value) for value in metrics.values())


def test_what_is_frozen_stays_bit_equal_and_the_rest_learns() -> None:
    # Guards: a reference that drifts along, after which the KL penalty means nothing.
    setting = tiny_setting()
    modules = (setting.reference.policy, setting.reference.reward_model)
    frozen = [weights_of(module) for module in modules]
    moving = weights_of(setting.policy), weights_of(setting.critic)
    metrics, _ = train(tiny_ppo(), setting=setting)
    assert len(metrics) == 3
    for module, before in zip(modules, frozen, strict=True):
        assert are_equal(weights_of(module), before)
        assert all(parameter.grad is None for parameter in module.parameters())
    assert not are_equal(weights_of(setting.policy), moving[0])
    assert not are_equal(weights_of(setting.critic), moving[1])


def test_kl_is_measured_against_the_frozen_reference() -> None:
    # Guards: a penalty against the policy itself, which is always zero and never holds it back.
    same = tiny_setting()
    same = same._replace(policy=copy.deepcopy(same.reference.policy))
    (far, _), (near, _) = train(tiny_ppo()), train(tiny_ppo(learning_rate=3e-3), setting=same)
    assert all(step["objective/kl_k3"] > 0.01 for step in far)
    assert near[0]["objective/kl"] == near[0]["objective/kl_k3"] == 0.0
    assert min(step["objective/kl_k3"] for step in near[1:]) > 0.0


def test_training_repeats_with_the_seed_and_differs_with_another() -> None:
    # Guards: hidden randomness in rollouts, minibatches or prompts.
    (first, one), (second, two), (third, three) = (train(tiny_ppo(), seed) for seed in (0, 0, 1))
    assert first == second
    assert are_equal(weights_of(one.policy), weights_of(two.policy))
    assert are_equal(weights_of(one.critic), weights_of(two.critic))
    assert first != third
    assert not are_equal(weights_of(one.policy), weights_of(three.policy))


def test_training_does_not_touch_the_global_generator() -> None:
    # Guards: a run that changes, or depends on, what was drawn before it.
    setting = tiny_setting()
    state = torch.get_rng_state()
    train(tiny_ppo(num_iterations=1), setting=setting)
    assert torch.equal(torch.get_rng_state(), state)


def test_adaptive_coefficient_follows_the_summed_kl() -> None:
    # Guards: a controller fed with the mean per token, or one iteration late.
    config = tiny_ppo(kl_control="adaptive", kl_coef=0.3, kl_target=0.5, kl_horizon=80)
    metrics, _ = train(config)
    coefficient = 0.3
    for step in metrics:
        assert step["objective/kl_coef"] == pytest.approx(coefficient)
        coefficient = adapted_kl_coef(
            coefficient, step["objective/kl"], target=0.5, horizon=80, num_episodes=8
        )
    assert metrics[2]["objective/kl_coef"] != 0.3


def test_fixed_coefficient_stays() -> None:
    # Guards: a controller that runs when it is off.
    metrics, _ = train(tiny_ppo(kl_coef=0.3))
    assert {step["objective/kl_coef"] for step in metrics} == {0.3}


def test_metrics_have_the_same_names_at_every_step_and_are_finite() -> None:
    # Guards: a chart with holes.
    metrics, _ = train(tiny_ppo())
    assert len({tuple(sorted(step)) for step in metrics}) == 1
    assert all(math.isfinite(value) for step in metrics for value in step.values())


def test_a_broken_reward_stops_the_run_before_it_harms_the_policy() -> None:
    # Guards: NaN weights found hours later.
    setting = tiny_setting()
    with torch.no_grad():
        setting.reference.reward_model.head.weight.fill_(torch.nan)
    before = weights_of(setting.policy)
    with pytest.raises(FloatingPointError, match="not finite"):
        train(tiny_ppo(), setting=setting)
    assert are_equal(weights_of(setting.policy), before)
