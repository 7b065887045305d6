"""One rollout: sample responses, score them, and compute all that the updates hold fixed.

Old log-probabilities are recomputed by the training forward, not taken from sampling, so that the
ratio of the first update is 1 up to rounding.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from rlhf_core.collate import Dialogues, join, to_device
from rlhf_core.generation import generate
from rlhf_core.logprobs import kl_k1, kl_k3, response_logprobs
from rlhf_core.masking import masked_mean, rescale, whiten
from rlhf_core.ppo.advantages import gae
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.critic import Critic
from rlhf_core.ppo.rewards import episode_scores, token_rewards
from rlhf_core.reward.model import RewardModel, score
from rlhf_core.reward.normalisation import Normalisation
from rlhf_core.rwkv.model import RWKV


class Reference(NamedTuple):
    """What stays frozen: the SFT policy, the reward model and its normalisation."""

    policy: RWKV
    reward_model: RewardModel
    normalisation: Normalisation


class Rollout(NamedTuple):
    """Episodes of one rollout; all tensors detached.

    Attributes:
        dialogues: Prompts with their sampled responses, B rows.
        is_response: True where response token t exists, bool (B, R).
        logprobs: Under the policy that sampled, float (B, R), zero at padding.
        values: Of the critic, float (B, R).
        advantages: Whitened, float (B, R), zero at padding.
        returns: Targets of the critic, float (B, R), zero at padding.
    """

    dialogues: Dialogues
    is_response: Tensor
    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor

    def select(self, rows: Tensor) -> "Rollout":
        """The given episodes (int64 indices), all tensors of the same width as before."""
        tensors = (x[rows] for x in self[1:])
        return Rollout(Dialogues(*(x[rows] for x in self.dialogues)), *tensors)


@torch.no_grad()
def collect_rollout(
    policy: RWKV,
    critic: Critic,
    reference: Reference,
    prompts: Sequence[Sequence[int]],
    config: PPOConfig,
    *,
    kl_coef: float,
    pad_id: int,
    eos_id: int,
    generator: Generator,
) -> tuple[Rollout, dict[str, float]]:
    """Sample one response to each prompt; returns the rollout and its metrics."""
    device = policy.head.weight.device
    sampled = generate(
        policy,
        prompts,
        responses_per_prompt=1,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        pad_id=pad_id,
        eos_id=eos_id,
        generator=generator,
    )
    responses = [samples[0] for samples in sampled]
    batch = to_device(join(prompts, [r.ids for r in responses], pad_id), device)
    ended = torch.tensor([r.ended for r in responses], device=device)

    logprobs, entropy, is_response = response_logprobs(
        policy, batch, temperature=config.temperature
    )
    ref_logprobs = response_logprobs(
        reference.policy, batch, temperature=config.temperature
    ).logprobs
    values = critic(batch)
    scores = episode_scores(
        reference.normalisation(score(reference.reward_model, batch)),
        ended,
        config.missing_eos_score,
    )
    kl = kl_k1(logprobs, ref_logprobs)
    rewards = token_rewards(scores, kl, batch.response_lengths, kl_coef=kl_coef)
    if config.whiten_rewards:
        rewards = rescale(rewards, is_response)
    advantages, returns = gae(
        rewards, values, is_response, discount=config.discount, gae_lambda=config.gae_lambda
    )
    metrics = {
        "objective/kl": float(kl.sum(1).mean()),
        "objective/kl_k3": float(kl_k3(logprobs, ref_logprobs).sum(1).mean()),
        "objective/score": float(scores.mean()),
        "objective/reward": float(rewards.sum(1).mean()),
        "objective/entropy": float(masked_mean(entropy, is_response)),
        "objective/ended": float(ended.float().mean()),
        "objective/response_tokens": float(batch.response_lengths.float().mean()),
        "ppo/value/explained_variance": explained_variance(values, returns, is_response),
    }
    advantages = whiten(advantages, is_response)
    return Rollout(batch, is_response, logprobs, values, advantages, returns), metrics


def explained_variance(values: Tensor, returns: Tensor, is_response: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns) over response tokens; 1 is a perfect critic.

    0 where all returns are equal: there is nothing to explain.
    """
    error, spread = (x[is_response].var(correction=0) for x in (returns - values, returns))
    return float(1 - error / spread) if spread > 0 else 0.0
