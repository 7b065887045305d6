"""One rollout: sample responses, score them, and compute all that the updates hold fixed.

Old log-probabilities are recomputed by the training forward, not taken from sampling, so that the
ratio of the first update is 1 up to rounding.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from rlhf_core.backbones import Backbone
from rlhf_core.collate import Dialogues, join
from rlhf_core.generation import generate
from rlhf_core.logprobs import (
    KL_ESTIMATORS,
    ResponseLogprobs,
    kl_k1,
    kl_k3,
    logprobs_and_entropy,
    response_logprobs,
)
from rlhf_core.masking import masked_mean, rescale, whiten
from rlhf_core.ppo.advantages import gae, group_normalised, leave_one_out
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.critic import Critic
from rlhf_core.ppo.rewards import episode_scores, rewarded_positions, token_rewards
from rlhf_core.ppo.scaling import RunningMoments
from rlhf_core.resume import Metrics
from rlhf_core.reward.model import RewardModel, score
from rlhf_core.reward.normalisation import Normalisation


class Reference(NamedTuple):
    """What stays frozen: the SFT policy, the reward model and its normalisation."""

    policy: Backbone
    reward_model: RewardModel
    normalisation: Normalisation


class Actors(NamedTuple):
    """The models of a run; policy and critic learn. Without "gae" there is no critic."""

    policy: Backbone
    critic: Critic | None
    reference: Reference


class Episodes(NamedTuple):
    """Prompts with the responses that a policy gave.

    Attributes:
        dialogues: B rows; those of one prompt stand together.
        ended: Whether the response has its EOS, bool (B,).
    """

    dialogues: Dialogues
    ended: Tensor


class Rollout(NamedTuple):
    """Episodes and what the updates hold fixed; all tensors detached.

    Attributes:
        dialogues: Prompts with their sampled responses, B rows.
        is_response: True where response token t exists, bool (B, R).
        is_rewarded: True where there is a reward and a value, bool (B, R).
        logprobs: Under the policy that sampled, float (B, R), zero at padding.
        ref_logprobs: Under the reference policy, float (B, R), zero at padding.
        values: Of the critic, float (B, R), zero where nothing is rewarded or no critic is.
        advantages: Float (B, R), zero at padding.
        returns: Targets of the critic, float (B, R), zero where nothing is rewarded.
    """

    dialogues: Dialogues
    is_response: Tensor
    is_rewarded: Tensor
    logprobs: Tensor
    ref_logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor

    def select(self, rows: Tensor) -> "Rollout":
        """The given episodes (int64 indices), without columns that only the others need."""
        width = int(self.is_rewarded[rows].sum(1).max())
        return Rollout(self.dialogues.select(rows), *(x[rows, :width] for x in self[1:]))


@torch.no_grad()
def sample_episodes(
    policy: Backbone,
    prompts: Sequence[Sequence[int]],
    config: PPOConfig,
    *,
    pad_id: int,
    eos_id: int,
    generator: Generator,
) -> Episodes:
    """`config.samples_per_prompt` responses to each prompt."""
    sampled = generate(
        policy,
        prompts,
        responses_per_prompt=config.samples_per_prompt,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        pad_id=pad_id,
        eos_id=eos_id,
        generator=generator,
    )
    rows = [prompt for prompt in prompts for _ in range(config.samples_per_prompt)]
    responses = [response for own in sampled for response in own]
    dialogues = join(rows, [r.ids for r in responses], pad_id)
    ended = torch.tensor([r.ended for r in responses])
    return Episodes(dialogues.to(policy.device), ended.to(policy.device))


@torch.no_grad()
def assess(
    actors: Actors,
    episodes: Episodes,
    config: PPOConfig,
    *,
    kl_coef: float,
    moments: RunningMoments,
    pad_id: int | None,
) -> tuple[Rollout, Metrics]:
    """Score episodes, reward their tokens and estimate advantages; the rollout and its metrics.

    Episodes whose score is not finite are left out: whitening would spread it to all of them.

    Args:
        actors: All models.
        episodes: What the policy did.
        config: Which of the documented variants is computed.
        kl_coef: Present weight of the KL penalty.
        moments: Of the scores so far; takes in these if `config.scale_scores`.
        pad_id: Token that cannot be produced; None if all can.
    """
    scores = _scores(actors.reference, episodes, config, moments)
    num_sampled = len(scores)
    episodes, scores = _finite(episodes, scores, config.samples_per_prompt)
    batch, ended = episodes
    ours, entropy = logprobs_and_entropy(
        actors.policy, batch, temperature=config.temperature, pad_id=pad_id
    )
    theirs = response_logprobs(
        actors.reference.policy, batch, temperature=config.temperature, pad_id=pad_id
    )
    is_response, unbiased = ours.is_response, config.variance == "unbiased"
    is_rewarded = rewarded_positions(
        batch.response_lengths, is_response.shape[1], config.score_position
    )
    kl = KL_ESTIMATORS[config.kl_estimator](ours.logprobs, theirs.logprobs)
    reward_coef = kl_coef if config.kl_placement == "reward" else 0.0
    rewards = token_rewards(scores, kl, is_rewarded, kl_coef=reward_coef)
    if config.whiten_rewards:
        rewards = rescale(rewards, is_rewarded, unbiased=unbiased)
    values = torch.zeros_like(rewards)
    if actors.critic is not None:
        values = actors.critic(batch, is_rewarded.shape[1]).masked_fill(~is_rewarded, 0.0)
    advantages, returns = _advantages(rewards, values, is_rewarded, config)
    advantages = advantages.masked_fill(~is_response, 0.0)
    if config.whiten_advantages:
        advantages = whiten(advantages, is_response, unbiased=unbiased)
    held = (ours.logprobs, theirs.logprobs, values, advantages, returns)
    metrics = {
        "objective/score": float(scores.mean()),
        "objective/reward": float(rewards.sum(1).mean()),
        "objective/ended": float(ended.float().mean()),
        "objective/left_out": float(num_sampled - len(scores)),
        **_policy_metrics(ours, theirs.logprobs, entropy),
    }
    if actors.critic is not None:
        explained = explained_variance(values, returns, is_rewarded)
        metrics["ppo/value/explained_variance"] = explained
    return Rollout(batch, is_response, is_rewarded, *held), metrics


def _scores(
    reference: Reference, episodes: Episodes, config: PPOConfig, moments: RunningMoments
) -> Tensor:
    """Normalised scores (B,) as they enter the rewards: without EOS another, and scaled.

    What the reward model does not score stays NaN, ended or not.
    """
    raw = reference.normalisation(score(reference.reward_model, episodes.dialogues))
    scores = episode_scores(
        raw, episodes.ended, missing_eos=config.missing_eos, value=config.missing_eos_score
    ).where(raw.isfinite(), torch.nan)
    if not config.scale_scores:
        return scores
    moments.update(scores)
    return scores / moments.std


def _finite(episodes: Episodes, scores: Tensor, group_size: int) -> tuple[Episodes, Tensor]:
    """The prompts whose scores are all finite; without any, all of them, for the guard to see."""
    is_finite = scores.isfinite().view(-1, group_size).all(1).repeat_interleave(group_size)
    if is_finite.all() or not is_finite.any():
        return episodes, scores
    kept = Episodes(episodes.dialogues.select(is_finite), episodes.ended[is_finite])
    return kept, scores[is_finite]


def _advantages(
    rewards: Tensor, values: Tensor, is_rewarded: Tensor, config: PPOConfig
) -> tuple[Tensor, Tensor]:
    """Advantages and the critic's targets, float (B, R); not whitened."""
    if config.estimator == "gae":
        return gae(
            rewards, values, is_rewarded, discount=config.discount, gae_lambda=config.gae_lambda
        )
    against_group = leave_one_out if config.estimator == "rloo" else group_normalised
    episode = against_group(rewards.sum(1), config.samples_per_prompt)
    return episode.unsqueeze(1).expand_as(rewards), torch.zeros_like(rewards)


def _policy_metrics(ours: ResponseLogprobs, ref_logprobs: Tensor, entropy: Tensor) -> Metrics:
    is_response = ours.is_response
    return {
        "objective/kl": float(kl_k1(ours.logprobs, ref_logprobs).sum(1).mean()),
        "objective/kl_k3": float(kl_k3(ours.logprobs, ref_logprobs).sum(1).mean()),
        "objective/entropy": float(masked_mean(entropy, is_response)),
        "objective/response_tokens": float(is_response.sum(1).float().mean()),
    }


def explained_variance(values: Tensor, returns: Tensor, is_rewarded: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns) where there are values; 1 is a perfect critic.

    0 where all returns are equal: there is nothing to explain.
    """
    error, spread = (x[is_rewarded].var(correction=0) for x in (returns - values, returns))
    return float(1 - error / spread) if spread > 0 else 0.0
