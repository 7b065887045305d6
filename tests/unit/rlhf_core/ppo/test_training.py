"""The PPO loop: its first step, what it leaves alone, and that it repeats."""

import copy
import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.guard import DivergedError
from rlhf_core.logprobs import kl_k3, response_logprobs
from rlhf_core.masking import masked_mean
from rlhf_core.ppo import training as ppo_training
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.kl_control import adapted_kl_coef
from rlhf_core.ppo.rollout import Actors, Rollout
from rlhf_core.ppo.training import Losses, PPOTraining, ppo_losses
from rlhf_core.resume import Metrics, run
from tests.unit.rlhf_core.builders import EOS, PAD, are_equal, weights_of
from tests.unit.rlhf_core.ppo.setting import PROMPTS, exact_actors, roll, tiny_actors, tiny_ppo

ROWS = [torch.arange(10), torch.tensor([3, 9, 1]), torch.tensor([4])]


def prepare(config: PPOConfig, seed: int = 0, actors: Actors | None = None) -> PPOTraining:
    actors = actors or tiny_actors()
    return PPOTraining(actors, PROMPTS, config, pad_id=PAD, eos_id=EOS, seed=seed)


def train(
    config: PPOConfig, seed: int = 0, actors: Actors | None = None
) -> tuple[list[Metrics], Actors]:
    training = prepare(config, seed, actors)
    return list(run(training)), training.actors


def losses_of(actors: Actors, minibatch: Rollout, config: PPOConfig) -> tuple[Losses, Metrics]:
    return ppo_losses(actors, minibatch, config, kl_coef=config.kl_coef, pad_id=PAD)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_nothing_has_changed_at_the_first_minibatch(rows: Tensor, temperature: float) -> None:
    # Guards: old log-probabilities from another forward pass, row order or temperature.
    actors, config = tiny_actors(), tiny_ppo(temperature=temperature)
    minibatch = roll(actors, config)[0].select(rows)
    _, metrics = losses_of(actors, minibatch, config)
    assert metrics["ppo/policy/ratio"] == pytest.approx(1, abs=1e-6)
    assert metrics["ppo/policy/approx_kl"] < 1e-11
    assert metrics["ppo/policy/clip_fraction"] == 0.0
    assert metrics["ppo/value/clip_fraction"] == 0.0


def test_whole_rollout_has_a_ratio_of_exactly_one() -> None:
    # Guards: any difference at all where the tensors are the same.
    actors, config = tiny_actors(), tiny_ppo()
    rollout, _ = roll(actors, config)
    _, metrics = losses_of(actors, rollout, config)
    assert metrics["ppo/policy/ratio"] == 1.0
    assert metrics["ppo/policy/approx_kl"] == 0.0


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_first_gradient_is_the_plain_policy_gradient(rows: Tensor, temperature: float) -> None:
    # Guards: a surrogate with the wrong sign, an entropy bonus, a mean over padding.
    actors, config = exact_actors(), tiny_ppo(temperature=temperature)
    minibatch = roll(actors, config)[0].select(rows)
    losses, _ = losses_of(actors, minibatch, config)
    parameters = list(actors.policy.parameters())
    ours = torch.autograd.grad(losses.policy, parameters)
    logprobs = response_logprobs(
        actors.policy, minibatch.dialogues, temperature=temperature, pad_id=PAD
    ).logprobs
    total = torch.zeros(()).double()
    for row, length in enumerate(minibatch.dialogues.response_lengths.tolist()):
        for t in range(length):
            total = total - minibatch.advantages[row, t] * logprobs[row, t]
    plain = total / int(minibatch.dialogues.response_lengths.sum())
    assert_close(ours, torch.autograd.grad(plain, parameters), atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("score_position", ["last", "after_eos"])
def test_critic_follows_the_returns_where_there_are_values(score_position: str) -> None:
    # Guards: values shifted against their targets, a value after EOS that is not trained.
    actors, config = exact_actors(), tiny_ppo(score_position=score_position, value_coef=0.1)
    rollout, _ = roll(actors, config)
    losses, metrics = losses_of(actors, rollout, config)
    assert losses.value is not None
    error = (rollout.values - rollout.returns)[rollout.is_rewarded]
    assert metrics["ppo/loss/value"] == pytest.approx(float(error.square().mean()) / 2, abs=1e-9)
    assert float(losses.value.detach()) == pytest.approx(0.1 * metrics["ppo/loss/value"])
    losses.value.backward()
    assert actors.critic is not None
    expected = 0.1 * float(error.mean())
    assert float(actors.critic.bias.grad) == pytest.approx(expected, abs=1e-9)


def test_penalty_in_the_loss_adds_its_mean_and_gradient() -> None:
    # Guards: a penalty counted in the reward too, one without gradient, a mean over padding.
    actors = exact_actors()
    fields: dict[str, Any] = {"kl_estimator": "k3", "kl_coef": 0.3}
    apart = tiny_ppo(kl_placement="loss", **fields)
    minibatch = roll(actors, apart)[0].select(torch.tensor([3, 9, 1]))
    parameters = list(actors.policy.parameters())
    with_penalty, plain = (
        losses_of(actors, minibatch, config)[0].policy for config in (apart, tiny_ppo(**fields))
    )
    logprobs, is_response = response_logprobs(
        actors.policy, minibatch.dialogues, temperature=1.0, pad_id=PAD
    )
    kl = kl_k3(logprobs, minibatch.ref_logprobs)
    penalty = 0.3 * masked_mean(kl, is_response)
    assert float(penalty.detach()) > 0.01
    assert_close(with_penalty - plain, penalty, atol=1e-12, rtol=0)
    ours = torch.autograd.grad(with_penalty - plain, parameters)
    assert_close(ours, torch.autograd.grad(penalty, parameters), atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("idle", ["policy", "critic"])
def test_policy_and_critic_each_follow_their_own_loss(idle: str) -> None:
    # Guards: a value loss that moves the policy, a critic that never moves.
    training = prepare(tiny_ppo())
    for group in training.optimizers[idle].param_groups:
        group["base"] = 0.0
    before = {name: weights_of(getattr(training.actors, name)) for name in ("policy", "critic")}
    metrics = training.advance()
    for name, weights in before.items():
        now = weights_of(getattr(training.actors, name))
        assert are_equal(now, weights) == (name == idle)
    assert all(math.isfinite(value) for value in metrics.values())


def test_what_is_frozen_stays_bit_equal_and_the_rest_learns() -> None:
    # Guards: a reference that drifts along, after which the KL penalty means nothing.
    actors = tiny_actors()
    assert actors.critic is not None
    modules = (actors.reference.policy, actors.reference.reward_model)
    frozen = [weights_of(module) for module in modules]
    moving = weights_of(actors.policy), weights_of(actors.critic)
    metrics, _ = train(tiny_ppo(), actors=actors)
    assert len(metrics) == 3
    for module, before in zip(modules, frozen, strict=True):
        assert are_equal(weights_of(module), before)
        assert all(parameter.grad is None for parameter in module.parameters())
    assert not are_equal(weights_of(actors.policy), moving[0])
    assert not are_equal(weights_of(actors.critic), moving[1])


def test_kl_is_measured_against_the_frozen_reference() -> None:
    # Guards: a penalty against the policy itself, which is always zero and never holds it back.
    same = tiny_actors()
    same = same._replace(policy=copy.deepcopy(same.reference.policy))
    (far, _), (near, _) = train(tiny_ppo()), train(tiny_ppo(learning_rate=3e-3), actors=same)
    assert all(step["objective/kl_k3"] > 0.01 for step in far)
    assert near[0]["objective/kl"] == near[0]["objective/kl_k3"] == 0.0
    assert min(step["objective/kl_k3"] for step in near[1:]) > 0.0


@pytest.mark.parametrize("estimator", ["gae", "rloo"])
def test_training_repeats_with_the_seed_and_differs_with_another(estimator: str) -> None:
    # Guards: hidden randomness in rollouts, minibatches or prompts.
    config = tiny_ppo(estimator=estimator, samples_per_prompt=1 if estimator == "gae" else 2)
    runs = []
    for seed in (0, 0, 1):
        actors = tiny_actors()
        actors = actors if estimator == "gae" else actors._replace(critic=None)
        runs.append(train(config, seed, actors))
    (first, one), (second, two), (third, three) = runs
    assert first == second
    assert are_equal(weights_of(one.policy), weights_of(two.policy))
    if one.critic is not None and two.critic is not None:
        assert are_equal(weights_of(one.critic), weights_of(two.critic))
    assert first != third
    assert not are_equal(weights_of(one.policy), weights_of(three.policy))


def test_training_does_not_touch_the_global_generator() -> None:
    # Guards: a run that changes, or depends on, what was drawn before it.
    actors = tiny_actors()
    state = torch.get_rng_state()
    train(tiny_ppo(num_iterations=1), actors=actors)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_prompt_is_asked_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    # Guards: prompts drawn with replacement; the same ones at each step.
    asked: Counter[str] = Counter()
    sample = ppo_training.sample_episodes

    def spy(policy: Any, prompts: Any, *args: Any, **kwargs: Any) -> Any:
        assert len(prompts) == 4
        asked.update(map(str, prompts))
        return sample(policy, prompts, *args, **kwargs)

    monkeypatch.setattr(ppo_training, "sample_episodes", spy)
    train(tiny_ppo(num_iterations=5, samples_per_prompt=2, num_epochs=1))
    assert asked == {str(prompt): 4 for prompt in PROMPTS}


def test_each_rollout_draws_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    # Guards: one noise for all steps, with which a policy is only ever shown the same responses.
    drawn: list[str] = []
    sample = ppo_training.sample_episodes

    def spy(*args: Any, **kwargs: Any) -> Any:
        episodes = sample(*args, **kwargs)
        drawn.append(str(episodes.dialogues.ids.tolist()))
        return episodes

    monkeypatch.setattr(ppo_training, "sample_episodes", spy)
    training = PPOTraining(
        tiny_actors(),
        [PROMPTS[0]],
        tiny_ppo(num_iterations=4, learning_rate=1e-12, value_learning_rate=1e-12),
        pad_id=PAD,
        eos_id=EOS,
        seed=0,
    )
    list(run(training))
    assert len(set(drawn)) == 4


def test_every_episode_is_learnt_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    # Guards: minibatches that overlap or leave episodes out; one permutation for all epochs.
    seen: list[list[float]] = []

    def spy(actors: Actors, minibatch: Rollout, *args: Any, **kwargs: Any) -> Any:
        seen.append(minibatch.returns[:, 0].tolist())
        return ppo_losses(actors, minibatch, *args, **kwargs)

    monkeypatch.setattr(ppo_training, "ppo_losses", spy)
    training = prepare(tiny_ppo(num_epochs=3, num_minibatches=4))
    training.advance()
    assert [len(rows) for rows in seen] == [2] * 12
    epochs = [[it for rows in seen[start : start + 4] for it in rows] for start in (0, 4, 8)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
    assert len(set(epochs[0])) == 8
    assert len({str(epoch) for epoch in epochs}) == 3


def test_rates_fall_linearly_to_zero() -> None:
    # Guards: a constant rate, a schedule that runs to zero before the last step.
    config = tiny_ppo(num_iterations=4, learning_rate=1e-3, value_learning_rate=1e-2)
    training, rates = prepare(config), []
    for _ in range(4):
        training.advance()
        rates.append(
            [
                max(g["lr"] for g in training.optimizers[name].param_groups[:1])
                for name in ("policy", "critic")
            ]
        )
    assert torch.tensor(rates).tolist() == [
        pytest.approx([share * 1e-3, share * 1e-2]) for share in (1.0, 0.75, 0.5, 0.25)
    ]


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


def test_adapted_coefficient_is_the_one_that_is_used() -> None:
    # Guards: a controller whose result no reward ever sees.
    config = tiny_ppo(kl_control="adaptive", kl_coef=0.3, kl_target=0.01, kl_horizon=8)
    metrics, _ = train(config)
    for step in metrics:
        penalty = step["objective/kl_coef"] * step["objective/kl"]
        expected = step["objective/score"] - penalty
        assert step["objective/reward"] == pytest.approx(expected, abs=1e-4)
    assert metrics[-1]["objective/kl_coef"] > 0.4


def test_fixed_coefficient_stays() -> None:
    # Guards: a controller that runs when it is off.
    metrics, _ = train(tiny_ppo(kl_coef=0.3))
    assert {step["objective/kl_coef"] for step in metrics} == {0.3}


def test_metrics_have_the_same_names_at_every_step_and_are_finite() -> None:
    # Guards: a chart with holes.
    metrics, _ = train(tiny_ppo())
    assert len({tuple(sorted(step)) for step in metrics}) == 1
    assert all(math.isfinite(value) for step in metrics for value in step.values())
    assert {"ppo/policy/grad_norm", "ppo/value/grad_norm"} <= metrics[0].keys()


def test_a_broken_reward_stops_the_run_before_it_harms_the_policy() -> None:
    # Guards: NaN weights found hours later.
    actors = tiny_actors()
    assert actors.critic is not None
    with torch.no_grad():
        actors.reference.reward_model.head.weight.fill_(torch.nan)
    before = weights_of(actors.policy), weights_of(actors.critic)
    with pytest.raises(DivergedError, match="not finite"):
        train(tiny_ppo(), actors=actors)
    assert are_equal(weights_of(actors.policy), before[0])
    assert are_equal(weights_of(actors.critic), before[1])


def test_a_minibatch_that_explodes_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # Guards: metrics and averages of an update that was not taken.
    calls = []

    def spy(*args: Any, **kwargs: Any) -> tuple[Losses, Metrics]:
        losses, metrics = ppo_losses(*args, **kwargs)
        calls.append(metrics["ppo/loss/policy"])
        if len(calls) == 2:
            return losses._replace(policy=losses.policy * torch.nan), metrics
        return losses, metrics

    monkeypatch.setattr(ppo_training, "ppo_losses", spy)
    metrics = prepare(tiny_ppo(ema_decay=0.5)).advance()
    assert metrics["guard/skipped"] == 1.0
    taken = [calls[0], *calls[2:]]
    assert metrics["ppo/loss/policy"] == pytest.approx(sum(taken) / 3)
    assert all(math.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize(("estimator", "has_critic"), [("gae", False), ("rloo", True)])
def test_critic_and_estimator_must_agree(estimator: str, has_critic: bool) -> None:
    # Guards: a critic that nobody trains, or GAE of zeros.
    actors = tiny_actors()
    actors = actors if has_critic else actors._replace(critic=None)
    with pytest.raises(ValueError, match="only gae takes a critic"):
        prepare(tiny_ppo(estimator=estimator, samples_per_prompt=2), actors=actors)
