"""A rollout, recomputed episode by episode from its parts."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.logprobs import response_logprobs
from rlhf_core.ppo.rollout import Rollout, explained_variance
from rlhf_core.reward.model import score
from tests.oracles.gae_quadratic import advantages_of_episode
from tests.unit.rlhf_core.builders import EOS, PAD, alone, random
from tests.unit.rlhf_core.ppo.setting import PROMPTS, Setting, roll, tiny_ppo, tiny_setting


@torch.no_grad()
def episode_rewards(
    setting: Setting, rollout: Rollout, row: int, temperature: float
) -> list[float]:
    """Rewards of one episode, from the unpadded dialogue alone; coefficient 0.3, missing end -2."""
    dialogue = alone(rollout.dialogues, row)
    ours, theirs = (
        response_logprobs(policy, dialogue, temperature=temperature).logprobs[0]
        for policy in (setting.policy, setting.reference.policy)
    )
    final = float(setting.reference.normalisation(score(setting.reference.reward_model, dialogue)))
    if dialogue.ids[0, -1] != EOS:
        final = -2.0
    rewards = [-0.3 * float(a - b) for a, b in zip(ours, theirs, strict=True)]
    rewards[-1] += final
    return rewards


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_returns_and_advantages_follow_from_the_parts(temperature: float) -> None:
    # Guards: raw scores for normalised ones, a missing end that is scored, a reference at another
    # temperature, whitened returns.
    setting = tiny_setting()
    config = tiny_ppo(temperature=temperature, kl_coef=0.3, missing_eos_score=-2.0)
    rollout, metrics = roll(setting, config)
    ended = [EOS in row for row in rollout.dialogues.ids.tolist()]
    assert set(ended) == {True, False}
    advantages, totals = [], []
    for row in range(len(PROMPTS) * 2):
        rewards = episode_rewards(setting, rollout, row, temperature)
        values = setting.critic(alone(rollout.dialogues, row))[0].tolist()
        own = advantages_of_episode(rewards, values, 1.0, 0.95)
        expected = [a + v for a, v in zip(own, values, strict=True)]
        assert_close(rollout.returns[row, : len(own)], torch.tensor(expected), atol=1e-4, rtol=0)
        advantages += own
        totals.append(sum(rewards))
    spread = torch.tensor(advantages)
    whitened = (spread - spread.mean()) / spread.std(correction=0)
    assert_close(rollout.advantages[rollout.is_response], whitened, atol=1e-3, rtol=0)
    assert metrics["objective/reward"] == pytest.approx(sum(totals) / len(totals), abs=1e-4)
    assert metrics["objective/ended"] == pytest.approx(sum(ended) / len(ended))


def test_reward_is_score_less_the_penalty() -> None:
    # Guards: a KL that is a mean over tokens where its coefficient wants a sum.
    _, metrics = roll(tiny_setting(), tiny_ppo(kl_coef=0.3))
    expected = metrics["objective/score"] - 0.3 * metrics["objective/kl"]
    assert metrics["objective/reward"] == pytest.approx(expected, abs=1e-5)


def test_against_itself_a_policy_has_no_kl() -> None:
    # Guards: sampling log-probabilities compared with scored ones.
    setting = tiny_setting()
    setting = setting._replace(reference=setting.reference._replace(policy=setting.policy))
    _, metrics = roll(setting, tiny_ppo())
    assert metrics["objective/kl"] == metrics["objective/kl_k3"] == 0.0


def test_whitened_rewards_keep_their_mean() -> None:
    # Guards: centred rewards, which lose the sign of the score.
    plain, whitened = (
        roll(tiny_setting(), tiny_ppo(gae_lambda=1.0, whiten_rewards=on))[0] for on in (False, True)
    )

    def rewards(rollout: Rollout) -> Tensor:
        following = torch.cat([rollout.returns[:, 1:], torch.zeros(10, 1)], dim=1)
        return (rollout.returns - following)[rollout.is_response]

    assert_close(rewards(whitened).mean(), rewards(plain).mean(), atol=1e-5, rtol=0)
    assert float(rewards(whitened).std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_a_rollout_is_detached_and_padded_with_zeros() -> None:
    # Guards: a graph held through all updates; garbage at padding.
    rollout, _ = roll(tiny_setting(), tiny_ppo())
    padded = ~rollout.is_response
    assert padded.any()
    for values in (rollout.logprobs, rollout.advantages, rollout.returns):
        assert not values.requires_grad
        assert not values[padded].any()
    inside = rollout.advantages[rollout.is_response]
    assert_close(inside.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert float(inside.var(correction=0)) == pytest.approx(1, abs=1e-4)


def test_a_rollout_repeats_with_its_generator() -> None:
    # Guards: hidden randomness.
    first, second, third = (roll(tiny_setting(), tiny_ppo(), seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first.dialogues.ids, second.dialogues.ids)
    assert torch.equal(first.advantages, second.advantages)
    assert first.dialogues.ids.tolist() != third.dialogues.ids.tolist()


def test_selected_episodes_keep_their_parts_together() -> None:
    # Guards: advantages of one episode with the tokens of another.
    rollout, _ = roll(tiny_setting(), tiny_ppo())
    rows = torch.tensor([7, 0, 3])
    chosen = rollout.select(rows)
    assert torch.equal(chosen.dialogues.ids, rollout.dialogues.ids[rows])
    assert torch.equal(chosen.dialogues.prompt_lengths, rollout.dialogues.prompt_lengths[rows])
    for ours, theirs in zip(chosen[1:], rollout[1:], strict=True):
        assert torch.equal(ours, theirs[rows])


def test_no_response_holds_padding() -> None:
    # Guards: a PAD that the policy was paid for.
    rollout, _ = roll(tiny_setting(), tiny_ppo())
    for row in range(10):
        assert PAD not in alone(rollout.dialogues, row).ids[0].tolist()


def test_explained_variance_of_known_critics() -> None:
    # Guards: an unexplained variance, a mean error counted as variance.
    returns, mask = random(0, 3, 4), torch.ones(3, 4, dtype=torch.bool)
    assert explained_variance(returns, returns, mask) == 1.0
    assert explained_variance(returns + 5, returns, mask) == pytest.approx(1.0)
    assert explained_variance(torch.zeros(3, 4).double(), returns, mask) == pytest.approx(0.0)
    assert explained_variance(-returns, returns, mask) == pytest.approx(-3.0)
