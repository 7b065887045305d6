"""A rollout, recomputed episode by episode from its parts."""

import math
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.logprobs import response_logprobs
from rlhf_core.ppo import rollout as rollout_module
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.rollout import Actors, Rollout, assess, explained_variance, sample_episodes
from rlhf_core.ppo.scaling import RunningMoments
from rlhf_core.reward.model import score
from rlhf_core.seeding import generator_for
from tests.oracles.gae_quadratic import advantages_of_episode
from tests.unit.rlhf_core.builders import EOS, PAD, alone, random
from tests.unit.rlhf_core.ppo.setting import PROMPTS, exact_actors, roll, tiny_actors, tiny_ppo

VARIANTS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.7},
    {"score_position": "after_eos"},
    {"missing_eos": "add"},
    {"kl_estimator": "k2"},
    {"kl_estimator": "k3"},
    {"kl_placement": "loss", "kl_estimator": "k2"},
    {"variance": "unbiased"},
    {"whiten_advantages": False},
    {"discount": 0.9, "gae_lambda": 0.5},
]


def name_of(fields: dict[str, Any]) -> str:
    return "-".join(f"{name}={value}" for name, value in fields.items()) or "default"


def doubles(values: Iterable[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float64)


def token_kl(ours: float, theirs: float, estimator: str) -> float:
    log_ratio = theirs - ours
    return {
        "k1": -log_ratio,
        "k2": log_ratio**2 / 2,
        "k3": math.exp(log_ratio) - 1 - log_ratio,
    }[estimator]


@torch.no_grad()
def episode(
    actors: Actors, rollout: Rollout, row: int, config: PPOConfig
) -> tuple[list[float], list[float]]:
    """Rewards and values of one episode, from the unpadded dialogue alone."""
    dialogue = alone(rollout.dialogues, row)
    ours, theirs = (
        response_logprobs(policy, dialogue, temperature=config.temperature, pad_id=PAD).logprobs[0]
        for policy in (actors.policy, actors.reference.policy)
    )
    final = float(actors.reference.normalisation(score(actors.reference.reward_model, dialogue)))
    if dialogue.ids[0, -1] != EOS:
        final = config.missing_eos_score + (final if config.missing_eos == "add" else 0.0)
    coef = config.kl_coef if config.kl_placement == "reward" else 0.0
    rewards = [
        -coef * token_kl(float(a), float(b), config.kl_estimator)
        for a, b in zip(ours, theirs, strict=True)
    ]
    if config.score_position == "after_eos" and len(rewards) < rollout.is_response.shape[1]:
        rewards.append(0.0)
    rewards[-1] += final
    assert actors.critic is not None
    return rewards, actors.critic(dialogue, len(rewards))[0].tolist()


@pytest.mark.parametrize("fields", VARIANTS, ids=name_of)
def test_returns_and_advantages_follow_from_the_parts(fields: dict[str, Any]) -> None:
    # Guards: raw scores for normalised ones, a missing end that is scored, a reference at another
    # temperature, whitened returns, a mode that does nothing.
    actors = exact_actors()
    config = tiny_ppo(kl_coef=0.3, missing_eos_score=-2.0, **fields)
    rollout, metrics = roll(actors, config)
    ended = [EOS in row for row in rollout.dialogues.ids.tolist()]
    assert set(ended) == {True, False}
    advantages, totals = [], []
    for row, length in enumerate(rollout.dialogues.response_lengths.tolist()):
        rewards, values = episode(actors, rollout, row, config)
        assert int(rollout.is_rewarded[row].sum()) == len(rewards)
        own = advantages_of_episode(rewards, values, config.discount, config.gae_lambda)
        expected = doubles(a + v for a, v in zip(own, values, strict=True))
        assert_close(rollout.returns[row, : len(own)], expected, atol=1e-10, rtol=0)
        advantages += own[:length]
        totals.append(sum(rewards))
    spread = doubles(advantages)
    if config.whiten_advantages:
        deviation = spread.std(correction=int(config.variance == "unbiased"))
        spread = (spread - spread.mean()) / deviation
    assert_close(rollout.advantages[rollout.is_response], spread, atol=1e-7, rtol=0)
    assert metrics["objective/reward"] == pytest.approx(sum(totals) / len(totals), abs=1e-10)
    assert metrics["objective/ended"] == pytest.approx(sum(ended) / len(ended))


def test_reward_is_score_less_the_penalty() -> None:
    # Guards: a KL that is a mean over tokens where its coefficient wants a sum.
    _, metrics = roll(exact_actors(), tiny_ppo(kl_coef=0.3))
    expected = metrics["objective/score"] - 0.3 * metrics["objective/kl"]
    assert metrics["objective/reward"] == pytest.approx(expected, abs=1e-12)


def test_against_itself_a_policy_has_no_kl() -> None:
    # Guards: sampling log-probabilities compared with scored ones.
    actors = tiny_actors()
    actors = actors._replace(reference=actors.reference._replace(policy=actors.policy))
    _, metrics = roll(actors, tiny_ppo())
    assert metrics["objective/kl"] == metrics["objective/kl_k3"] == 0.0


@pytest.mark.parametrize("variance", ["biased", "unbiased"])
def test_whitened_rewards_keep_their_mean(variance: str) -> None:
    # Guards: centred rewards, which lose the sign of the score.
    plain, whitened = (
        roll(exact_actors(), tiny_ppo(gae_lambda=1.0, whiten_rewards=on, variance=variance))[0]
        for on in (False, True)
    )

    def rewards(rollout: Rollout) -> Tensor:
        following = torch.cat([rollout.returns[:, 1:], torch.zeros(10, 1).double()], dim=1)
        return (rollout.returns - following)[rollout.is_response]

    assert_close(rewards(whitened).mean(), rewards(plain).mean(), atol=1e-9, rtol=0)
    deviation = rewards(whitened).std(correction=int(variance == "unbiased"))
    assert float(deviation) == pytest.approx(1, abs=1e-6)


def test_scaled_scores_are_divided_by_the_deviation_of_all_so_far() -> None:
    # Guards: a deviation of this rollout alone, scores shifted by their mean.
    actors, moments = exact_actors(), RunningMoments()
    seen: list[float] = []
    for seed in range(3):
        config = tiny_ppo(scale_scores=True, kl_coef=0.0, gae_lambda=1.0)
        episodes = sample_episodes(
            actors.policy, PROMPTS, config, pad_id=PAD, eos_id=EOS, generator=generator_for(seed)
        )
        plain, scaled = (
            assess(actors, episodes, it, kl_coef=0.0, moments=moments, pad_id=PAD)[0]
            for it in (tiny_ppo(gae_lambda=1.0), config)
        )
        seen += plain.returns[:, 0].tolist()
        deviation = doubles(seen).std(correction=0)
        expected = plain.returns[:, 0] / deviation
        assert_close(scaled.returns[:, 0], expected, atol=1e-10, rtol=0)
    assert moments.count == len(seen)


@pytest.mark.parametrize("score_position", ["last", "after_eos"])
def test_a_rollout_is_detached_and_padded_with_zeros(score_position: str) -> None:
    # Guards: a graph held through all updates; garbage at padding.
    rollout, _ = roll(tiny_actors(), tiny_ppo(score_position=score_position))
    padded = ~rollout.is_response
    assert padded.any()
    assert not rollout.is_response[~rollout.is_rewarded].any()
    for values in (rollout.logprobs, rollout.ref_logprobs, rollout.advantages):
        assert not values.requires_grad
        assert not values[padded].any()
    for values in (rollout.values, rollout.returns):
        assert not values.requires_grad
        assert not values[~rollout.is_rewarded].any()
        assert values[rollout.is_rewarded].all()
    inside = rollout.advantages[rollout.is_response]
    assert_close(inside.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert float(inside.var(correction=0)) == pytest.approx(1, abs=1e-4)


def test_a_rollout_repeats_with_its_generator() -> None:
    # Guards: hidden randomness.
    first, second, third = (roll(tiny_actors(), tiny_ppo(), seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first.dialogues.ids, second.dialogues.ids)
    assert torch.equal(first.advantages, second.advantages)
    assert first.dialogues.ids.tolist() != third.dialogues.ids.tolist()


@pytest.mark.parametrize("score_position", ["last", "after_eos"])
def test_selected_episodes_keep_their_parts_together(score_position: str) -> None:
    # Guards: advantages of one episode with the tokens of another; a column cut off that counts.
    rollout, _ = roll(tiny_actors(), tiny_ppo(score_position=score_position))
    by_length = rollout.dialogues.response_lengths.argsort()
    for rows in (torch.tensor([7, 0, 3]), by_length[:3], by_length[:1]):
        chosen = rollout.select(rows)
        width, longest = chosen.is_rewarded.shape[1], chosen.dialogues.ids.shape[1]
        assert torch.equal(chosen.dialogues.ids, rollout.dialogues.ids[rows, :longest])
        assert torch.equal(chosen.dialogues.prompt_lengths, rollout.dialogues.prompt_lengths[rows])
        assert torch.equal(chosen.dialogues.lengths, rollout.dialogues.lengths[rows])
        assert longest == int(chosen.dialogues.lengths.max())
        for ours, theirs in zip(chosen[1:], rollout[1:], strict=True):
            assert torch.equal(ours, theirs[rows, :width])
            assert not theirs[rows, width:].any()
    assert width < rollout.is_response.shape[1]


@pytest.mark.parametrize("fields", [{}, {"estimator": "rloo"}, {"scale_scores": True}])
def test_a_prompt_with_a_broken_score_is_left_out(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guards: one score that is not a number in the mean and deviation of all advantages.
    actors = exact_actors()
    if "estimator" in fields:
        actors = actors._replace(critic=None)
    config = tiny_ppo(samples_per_prompt=2, **fields)
    whole, metrics = roll(actors, config)
    assert metrics["objective/left_out"] == 0

    def broken(*args: Any) -> Tensor:
        scores = score(*args)
        scores[3], scores[8] = torch.nan, torch.inf
        return scores

    monkeypatch.setattr(rollout_module, "score", broken)
    rollout, metrics = roll(actors, config)
    kept = [row for row in range(len(whole.is_response)) if row not in (2, 3, 8, 9)]
    assert metrics["objective/left_out"] == 4
    assert all(map(math.isfinite, metrics.values()))
    assert torch.equal(rollout.dialogues.lengths, whole.dialogues.lengths[kept])
    width = rollout.is_response.shape[1]
    assert torch.equal(rollout.logprobs, whole.logprobs[kept, :width])
    assert rollout.advantages[rollout.is_response].std(correction=0) == pytest.approx(1)
    assert all(part.isfinite().all() for part in rollout[1:])


def test_no_response_holds_padding() -> None:
    # Guards: a PAD that the policy was paid for.
    rollout, _ = roll(tiny_actors(), tiny_ppo())
    for row in range(10):
        assert PAD not in alone(rollout.dialogues, row).ids[0].tolist()


def test_episodes_of_a_prompt_stand_together() -> None:
    # Guards: groups of unlike prompts, whose mean is no baseline.
    config = tiny_ppo(samples_per_prompt=4)
    episodes = sample_episodes(
        tiny_actors().policy, PROMPTS, config, pad_id=PAD, eos_id=EOS, generator=generator_for(0)
    )
    assert len(episodes.dialogues.ids) == 20
    for row in range(20):
        ids = alone(episodes.dialogues, row).ids[0].tolist()
        assert ids[: int(episodes.dialogues.prompt_lengths[row])] == PROMPTS[row // 4]
        assert bool(episodes.ended[row]) == (ids[-1] == EOS)
    assert len({tuple(row) for row in episodes.dialogues.ids[:4].tolist()}) > 1


@pytest.mark.parametrize("estimator", ["rloo", "grpo"])
@pytest.mark.parametrize("score_position", ["last", "after_eos"])
def test_without_a_critic_an_episode_is_held_against_its_group(
    estimator: str, score_position: str
) -> None:
    # Guards: an advantage that varies over tokens, a group of other prompts, a lost penalty.
    actors = exact_actors()
    fields = {"kl_coef": 0.3, "score_position": score_position, "whiten_advantages": False}
    config = tiny_ppo(estimator=estimator, samples_per_prompt=4, **fields)
    rollout, metrics = roll(actors._replace(critic=None), config)
    totals = [sum(episode(actors, rollout, row, config)[0]) for row in range(40)]
    for start in range(0, 40, 4):
        group = totals[start : start + 4]
        mean = sum(group) / 4
        deviation = math.sqrt(sum((total - mean) ** 2 for total in group) / 3)
        for row, total in enumerate(group, start=start):
            expected = (
                total - (sum(group) - total) / 3
                if estimator == "rloo"
                else (total - mean) / (deviation + 1e-4)
            )
            own = rollout.advantages[row][rollout.is_response[row]]
            assert_close(own, torch.full_like(own, expected), atol=1e-10, rtol=0)
    assert not rollout.advantages[~rollout.is_response].any()
    assert not rollout.values.any()
    assert not rollout.returns.any()
    assert "ppo/value/explained_variance" not in metrics


def test_explained_variance_of_known_critics() -> None:
    # Guards: an unexplained variance, a mean error counted as variance.
    returns, mask = random(0, 3, 4), torch.ones(3, 4, dtype=torch.bool)
    assert explained_variance(returns, returns, mask) == 1.0
    assert explained_variance(returns + 5, returns, mask) == pytest.approx(1.0)
    assert explained_variance(torch.zeros(3, 4).double(), returns, mask) == pytest.approx(0.0)
    assert explained_variance(-returns, returns, mask) == pytest.approx(-3.0)
    assert explained_variance(returns, torch.ones(3, 4).double(), mask) == 0.0
