"""The PPO loop: rollout, then epochs of minibatch updates of policy and critic.

Reference policy and reward model are never written to. Randomness is derived from (seed, step), so
a step's prompts, samples and minibatches need nothing of the steps before. `rlhf_core.resume.run`
walks the steps.

References:
    [1] InstructGPT, arXiv:2203.02155, appendix C.4. [2] openai/lm-human-preferences.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from rlhf_core.guard import Guard, guarded_step
from rlhf_core.language.training import Document, language_loss, learnable
from rlhf_core.logprobs import KL_ESTIMATORS, response_logprobs
from rlhf_core.masking import masked_mean
from rlhf_core.optim import (
    build_optimizer,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.kl_control import adapted_kl_coef
from rlhf_core.ppo.losses import policy_loss, value_loss
from rlhf_core.ppo.rollout import Actors, Rollout, assess, sample_episodes
from rlhf_core.ppo.scaling import RunningMoments
from rlhf_core.resume import Metrics, TrainingState, part, under
from rlhf_core.seeding import endless_order, epoch_batches, generator_for


class Losses(NamedTuple):
    """Losses of a minibatch, scalars; no critic, no value loss."""

    policy: Tensor
    value: Tensor | None


class PPOTraining:
    """Policy, critic, their optimisers and all that is carried from step to step."""

    def __init__(
        self,
        actors: Actors,
        prompts: Sequence[Sequence[int]],
        config: PPOConfig,
        *,
        pad_id: int,
        eos_id: int,
        seed: int,
        documents: Sequence[Document] = (),
    ) -> None:
        """Prepare to train policy and critic in place.

        Args:
            actors: The models; a critic where `config.estimator` is "gae".
            prompts: What the policy answers, token ids.
            config: How.
            pad_id: Fills short rows and is never produced.
            eos_id: Ends a response.
            seed: Decides prompts, samples and minibatches of each step.
            documents: Pretraining text, read where `config.ptx_coef` is above 0.

        Raises:
            ValueError: If the critic is missing or too much, or no document has text to learn.
        """
        if (actors.critic is None) == (config.estimator == "gae"):
            raise ValueError(f"estimator is {config.estimator}; only gae takes a critic, and must")
        self.actors, self.prompts, self.config, self.seed = actors, prompts, config, seed
        self.pad_id, self.eos_id = pad_id, eos_id
        self.documents = learnable(documents) if config.ptx_coef > 0 else []
        self.optimizers = build_optimizers(actors, config)
        self.step, self.guard = 0, Guard()
        self.kl_coef, self.moments = config.kl_coef, RunningMoments()
        self.average = self._trained_weights() if config.ema_decay > 0 else {}

    @property
    def num_steps(self) -> int:
        """Rollouts in all."""
        return self.config.num_iterations

    def advance(self) -> Metrics:
        """Take one step: a rollout and its updates.

        Raises:
            DivergedError: If too many updates in a row were not finite.
        """
        config = self.config
        for optimizer in self.optimizers.values():
            set_learning_rate(optimizer, 1 - self.step / self.num_steps)
        rollout, metrics = self._roll_out()
        metrics["objective/kl_coef"] = self.kl_coef
        batches = [
            rows
            for epoch in range(config.num_epochs)
            for rows in epoch_batches(
                len(rollout.is_response),
                config.batch_size // config.num_minibatches,
                self.seed,
                "update",
                self.step,
                epoch,
            )
        ]
        updates = [
            self._update(rollout.select(torch.tensor(rows)), place)
            for place, rows in enumerate(
                batches, start=self.step * config.num_epochs * config.num_minibatches
            )
        ]
        if config.kl_control == "adaptive":
            self.kl_coef = adapted_kl_coef(
                self.kl_coef,
                metrics["objective/kl"],
                target=config.kl_target,
                horizon=config.kl_horizon,
                num_episodes=config.batch_size,
            )
        self.step += 1
        return {**metrics, **_means(updates), "guard/skipped": float(self.guard.skipped)}

    def _roll_out(self) -> tuple[Rollout, Metrics]:
        config = self.config
        count = config.batch_size // config.samples_per_prompt
        order = endless_order(len(self.prompts), self.step * count, count, self.seed, "prompts")
        episodes = sample_episodes(
            self.actors.policy,
            [self.prompts[i] for i in order],
            config,
            pad_id=self.pad_id,
            eos_id=self.eos_id,
            generator=generator_for(
                self.seed, "rollout", self.step, device=str(self.actors.policy.device)
            ),
        )
        return assess(
            self.actors,
            episodes,
            config,
            kl_coef=self.kl_coef,
            moments=self.moments,
            pad_id=self.pad_id,
        )

    def _update(self, minibatch: Rollout, place: int) -> Metrics:
        """One step of policy and critic, the `place`-th of the run; empty if it was skipped."""
        config = self.config
        losses, metrics = ppo_losses(
            self.actors, minibatch, config, kl_coef=self.kl_coef, pad_id=self.pad_id
        )
        learnt = losses.policy
        if config.ptx_coef > 0:
            size = config.ptx_batch_size
            order = endless_order(len(self.documents), place * size, size, self.seed, "ptx")
            batch = [self.documents[i] for i in order]
            ptx, _ = language_loss(self.actors.policy, batch, self.pad_id)
            learnt = learnt + config.ptx_coef * ptx
            metrics["ppo/loss/ptx"] = float(ptx.detach())
        steps = [(self.optimizers["policy"], learnt)]
        if losses.value is not None:
            steps.append((self.optimizers["critic"], losses.value))
        norms = guarded_step(self.guard, steps, max_grad_norm=config.max_grad_norm)
        if norms is None:
            return {}
        self._move_average()
        names = ["ppo/policy/grad_norm", "ppo/value/grad_norm"]
        return metrics | dict(zip(names, norms, strict=False))

    def _trained_weights(self) -> dict[str, Tensor]:
        trained = self.actors.policy.named_parameters()
        return {name: p.detach().clone() for name, p in trained if p.requires_grad}

    @torch.no_grad()
    def _move_average(self) -> None:
        for name, parameter in self.actors.policy.named_parameters():
            if name in self.average:
                self.average[name].lerp_(parameter, 1 - self.config.ema_decay)

    @torch.no_grad()
    def keep_average(self) -> str:
        """Give the policy the weights that are to be kept; says which: "ema" or "last"."""
        for name, parameter in self.actors.policy.named_parameters():
            if name in self.average:
                parameter.copy_(self.average[name])
        return "ema" if self.average else "last"

    def state(self) -> TrainingState:
        """Weights, moments, averages, coefficients and counters."""
        tensors = under("average", self.average)
        for name, model in self._learners().items():
            tensors |= under(name, model.state_dict())
            tensors |= under(f"optimizer/{name}", optimizer_tensors(self.optimizers[name]))
        numbers = {
            "step": self.step,
            "kl_coef": self.kl_coef,
            **under("guard", asdict(self.guard)),
            **under("moments", asdict(self.moments)),
        }
        return TrainingState(tensors, numbers)

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`."""
        tensors, numbers = state
        for name, model in self._learners().items():
            model.load_state_dict(part(name, tensors))
            load_optimizer_tensors(self.optimizers[name], part(f"optimizer/{name}", tensors))
        device = self.actors.policy.device
        self.average = {name: t.to(device) for name, t in part("average", tensors).items()}
        self.step, self.kl_coef = numbers["step"], numbers["kl_coef"]
        self.guard = Guard(**part("guard", numbers))
        self.moments = RunningMoments(**part("moments", numbers))

    def _learners(self) -> dict[str, torch.nn.Module]:
        policy, critic, _ = self.actors
        return {"policy": policy} if critic is None else {"policy": policy, "critic": critic}


def build_optimizers(actors: Actors, config: PPOConfig) -> dict[str, Optimizer]:
    """AdamW for "policy" and, where there is one, "critic", without weight decay."""
    rates = {"policy": config.learning_rate, "critic": config.value_learning_rate}
    models = {"policy": actors.policy, "critic": actors.critic}
    return {
        name: build_optimizer(
            model,
            learning_rate=rates[name],
            weight_decay=0.0,
            eps=config.adam_eps,
            betas=(0.9, config.adam_beta2),
        )
        for name, model in models.items()
        if model is not None
    }


def ppo_losses(
    actors: Actors,
    minibatch: Rollout,
    config: PPOConfig,
    *,
    kl_coef: float,
    pad_id: int | None,
) -> tuple[Losses, Metrics]:
    """Policy loss, value loss and their diagnostics on one minibatch."""
    logprobs = response_logprobs(
        actors.policy, minibatch.dialogues, temperature=config.temperature, pad_id=pad_id
    ).logprobs
    width = logprobs.shape[1]
    is_response = minibatch.is_response[:, :width]
    loss, metrics = policy_loss(
        logprobs,
        minibatch.logprobs[:, :width],
        minibatch.advantages[:, :width],
        is_response,
        clip_ratio=config.clip_ratio,
    )
    if config.kl_placement == "loss":
        kl = KL_ESTIMATORS[config.kl_estimator](logprobs, minibatch.ref_logprobs[:, :width])
        loss = loss + kl_coef * masked_mean(kl, is_response)
    metrics["ppo/loss/policy"] = float(loss.detach())
    if actors.critic is None:
        return Losses(loss, None), metrics
    critic_loss, critic_metrics = value_loss(
        actors.critic(minibatch.dialogues, minibatch.values.shape[1]),
        minibatch.values,
        minibatch.returns,
        minibatch.is_rewarded,
        value_clip=config.value_clip,
    )
    metrics["ppo/loss/value"] = float(critic_loss.detach())
    return Losses(loss, config.value_coef * critic_loss), metrics | critic_metrics


def _means(updates: Sequence[Metrics]) -> Metrics:
    """Mean of each metric over the updates that were taken."""
    taken = [update for update in updates if update]
    names = taken[0] if taken else {}
    return {name: sum(u[name] for u in taken) / len(taken) for name in names}
