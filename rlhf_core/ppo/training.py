"""The PPO loop: rollout, then epochs of minibatch updates of policy and critic.

A generator of metrics: the caller logs, stops and saves. Reference policy and reward model are
never written to. Randomness is derived from (seed, iteration).

References:
    [1] InstructGPT, arXiv:2203.02155, appendix C.4. [2] openai/lm-human-preferences.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from rlhf_core.logprobs import response_logprobs
from rlhf_core.optim import build_optimizer, clipped_step, set_learning_rate
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.critic import Critic
from rlhf_core.ppo.kl_control import adapted_kl_coef
from rlhf_core.ppo.losses import policy_loss, value_loss
from rlhf_core.ppo.rollout import Reference, Rollout, collect_rollout
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import epoch_batches, generator_for


class Optimizers(NamedTuple):
    """One for the policy, one for the critic."""

    policy: Optimizer
    critic: Optimizer


def build_optimizers(policy: RWKV, critic: Critic, config: PPOConfig) -> Optimizers:
    """AdamW for each, without weight decay."""
    return Optimizers(
        build_optimizer(
            policy, learning_rate=config.learning_rate, weight_decay=0.0, eps=config.adam_eps
        ),
        build_optimizer(
            critic, learning_rate=config.value_learning_rate, weight_decay=0.0, eps=config.adam_eps
        ),
    )


def train_policy(
    policy: RWKV,
    critic: Critic,
    reference: Reference,
    prompts: Sequence[Sequence[int]],
    config: PPOConfig,
    *,
    pad_id: int,
    eos_id: int,
    seed: int,
) -> Iterator[dict[str, float]]:
    """Train `policy` and `critic` in place; yields the metrics of each iteration.

    Raises:
        FloatingPointError: If a loss or gradient is not finite.
    """
    optimizers = build_optimizers(policy, critic, config)
    device = policy.head.weight.device
    kl_coef = config.kl_coef
    queue: list[int] = []
    for iteration in range(config.num_iterations):
        for optimizer in optimizers:
            set_learning_rate(optimizer, 1 - iteration / config.num_iterations)
        while len(queue) < config.batch_size:
            passes = epoch_batches(len(prompts), len(prompts), seed, "prompts", iteration)
            queue += passes[0]
        batch, queue = queue[: config.batch_size], queue[config.batch_size :]
        rollout, metrics = collect_rollout(
            policy,
            critic,
            reference,
            [prompts[i] for i in batch],
            config,
            kl_coef=kl_coef,
            pad_id=pad_id,
            eos_id=eos_id,
            generator=generator_for(seed, "rollout", iteration, device=str(device)),
        )
        metrics["objective/kl_coef"] = kl_coef
        size = config.batch_size // config.num_minibatches
        updates = [
            ppo_update(policy, critic, optimizers, rollout.select(torch.tensor(rows)), config)
            for epoch in range(config.num_epochs)
            for rows in epoch_batches(config.batch_size, size, seed, "update", iteration, epoch)
        ]
        if config.kl_control == "adaptive":
            kl_coef = adapted_kl_coef(
                kl_coef,
                metrics["objective/kl"],
                target=config.kl_target,
                horizon=config.kl_horizon,
                num_episodes=config.batch_size,
            )
        yield {**metrics, **_means(updates)}


def ppo_losses(
    policy: RWKV, critic: Critic, minibatch: Rollout, config: PPOConfig
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Policy loss, value loss and their diagnostics on one minibatch."""
    logprobs = response_logprobs(
        policy, minibatch.dialogues, temperature=config.temperature
    ).logprobs
    width = logprobs.shape[1]  # a minibatch's longest response may be shorter than the rollout's
    is_response, old_logprobs, old_values, advantages, returns = (
        x[:, :width] for x in minibatch[1:]
    )
    loss, metrics = policy_loss(
        logprobs, old_logprobs, advantages, is_response, clip_ratio=config.clip_ratio
    )
    critic_loss, critic_metrics = value_loss(
        critic(minibatch.dialogues), old_values, returns, is_response, value_clip=config.value_clip
    )
    return loss, critic_loss, {**metrics, **critic_metrics}


def ppo_update(
    policy: RWKV,
    critic: Critic,
    optimizers: Optimizers,
    minibatch: Rollout,
    config: PPOConfig,
) -> dict[str, float]:
    """One step of policy and critic on a minibatch; returns its metrics."""
    loss, critic_loss, metrics = ppo_losses(policy, critic, minibatch, config)
    norm = clipped_step(optimizers.policy, loss, max_grad_norm=config.max_grad_norm)
    critic_norm = clipped_step(optimizers.critic, critic_loss, max_grad_norm=config.max_grad_norm)
    return {
        **metrics,
        "ppo/loss/policy": float(loss.detach()),
        "ppo/loss/value": float(critic_loss.detach()),
        "ppo/policy/grad_norm": norm,
        "ppo/value/grad_norm": critic_norm,
    }


def _means(updates: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: sum(u[name] for u in updates) / len(updates) for name in updates[0]}
