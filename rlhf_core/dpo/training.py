"""Training a policy with DPO: a prompt with all its ranked responses is one batch element.

A response's log-probability is computed once for all pairs that it is in. Those of the reference
are constants, computed before the first step: one model is in memory, and no reference is read
while it trains. `rlhf_core.resume.run` walks the steps.

Omitted on purpose: a temperature (it is 1), and a choice among epochs: the last one is kept.
"""

from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from rlhf_core.backbones import Backbone
from rlhf_core.collate import Dialogues, join
from rlhf_core.dpo.config import DPOConfig
from rlhf_core.dpo.losses import dpo_loss, implicit_rewards
from rlhf_core.guard import Guard, guarded_step
from rlhf_core.logprobs import response_logprobs
from rlhf_core.optim import (
    build_optimizer,
    cosine_schedule,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from rlhf_core.resume import Metrics, TrainingState, part, under
from rlhf_core.reward.losses import pair_accuracy
from rlhf_core.reward.training import RankedPrompt, batch_pairs
from rlhf_core.seeding import epoch_batches


def sequence_logprobs(policy: Backbone, batch: Dialogues, pad_id: int | None) -> Tensor:
    """Log pi(y | x): the sum over the tokens of each response, float (B,).

    Args:
        policy: Who is asked.
        batch: Prompts with their responses.
        pad_id: Token that cannot be produced; None if all can.
    """
    return response_logprobs(policy, batch, temperature=1.0, pad_id=pad_id).logprobs.sum(1)


def dialogues_of(prompts: Sequence[RankedPrompt], pad_id: int) -> Dialogues:
    """All responses of `prompts`, one prompt after the other."""
    rows = [(p.prompt, response) for p in prompts for response in p.responses]
    return join([prompt for prompt, _ in rows], [response for _, response in rows], pad_id)


class DPOTraining:
    """A policy, its optimiser, the next step and what the reference says of each response."""

    def __init__(
        self,
        policy: Backbone,
        prompts: Sequence[RankedPrompt],
        config: DPOConfig,
        *,
        pad_id: int,
        seed: int,
    ) -> None:
        """Prepare to train `policy` in place; as it is now it is the reference.

        Args:
            policy: The SFT policy.
            prompts: What it learns; those without a pair are left out.
            config: How.
            pad_id: Fills short rows and is never produced.
            seed: Decides the order of the prompts.

        Raises:
            ValueError: If there is no prompt with a pair.
        """
        self.prompts = [p for p in prompts if p.pairs]
        if not self.prompts:
            raise ValueError("no prompt has a strict pair; nothing to train on")
        self.policy, self.config, self.pad_id, self.seed = policy, config, pad_id, seed
        self.ref_logprobs = self._ask_reference()
        self.optimizer = build_optimizer(
            policy,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            eps=config.adam_eps,
        )
        self.step, self.guard = 0, Guard()

    @property
    def steps_per_epoch(self) -> int:
        """Batches a pass over the prompts."""
        return -(-len(self.prompts) // self.config.batch_size)

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        return self.config.num_epochs * self.steps_per_epoch

    def advance(self) -> Metrics:
        """Take one step.

        Raises:
            DivergedError: If too many steps in a row were not finite.
        """
        config = self.config
        epoch, place = divmod(self.step, self.steps_per_epoch)
        batches = epoch_batches(len(self.prompts), config.batch_size, self.seed, "dpo", epoch)
        rate = cosine_schedule(
            self.step, self.num_steps, warmup=config.warmup, final=config.final_rate
        )
        set_learning_rate(self.optimizer, rate)
        metrics = self._learn(batches[place])
        self.step += 1
        return {"epoch": float(epoch), **metrics, "guard/skipped": float(self.guard.skipped)}

    def _learn(self, rows: Sequence[int]) -> Metrics:
        config, device = self.config, self.policy.device
        batch = [self.prompts[i] for i in rows]
        logprobs = sequence_logprobs(
            self.policy, dialogues_of(batch, self.pad_id).to(device), self.pad_id
        )
        ref_logprobs = torch.cat([self.ref_logprobs[i] for i in rows])
        rewards = implicit_rewards(logprobs, ref_logprobs, config.beta)
        pairs, weights = (x.to(device) for x in batch_pairs(batch))
        loss = dpo_loss(rewards, pairs, weights, len(batch), label_smoothing=config.label_smoothing)
        norms = guarded_step(
            self.guard, [(self.optimizer, loss)], max_grad_norm=config.max_grad_norm
        )
        if norms is None:
            return {}
        rewards = rewards.detach()
        chosen, rejected = rewards[pairs[:, 0]], rewards[pairs[:, 1]]
        return {
            "dpo/loss": float(loss.detach()),
            "dpo/accuracy": float(pair_accuracy(rewards, pairs).mean()),
            "dpo/margin": float((chosen - rejected).mean()),
            "dpo/chosen_reward": float(chosen.mean()),
            "dpo/grad_norm": norms[0],
        }

    @torch.no_grad()
    def _ask_reference(self) -> list[Tensor]:
        """Log pi_ref of the responses of each prompt, one float (K,) a prompt."""
        found: list[Tensor] = []
        for start in range(0, len(self.prompts), self.config.batch_size):
            batch = self.prompts[start : start + self.config.batch_size]
            dialogues = dialogues_of(batch, self.pad_id).to(self.policy.device)
            logprobs = sequence_logprobs(self.policy, dialogues, self.pad_id)
            found += logprobs.split([len(p.responses) for p in batch])
        return found

    def state(self) -> TrainingState:
        """Weights, moments, what the reference said, and the counters."""
        return TrainingState(
            {
                **under("policy", self.policy.state_dict()),
                **under("optimizer", optimizer_tensors(self.optimizer)),
                "reference": torch.cat(self.ref_logprobs),
            },
            {"step": self.step, **asdict(self.guard)},
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`."""
        tensors, numbers = state.tensors, dict(state.numbers)
        self.policy.load_state_dict(part("policy", tensors))
        load_optimizer_tensors(self.optimizer, part("optimizer", tensors))
        reference = tensors["reference"].to(self.policy.device)
        self.ref_logprobs = list(reference.split([len(p.responses) for p in self.prompts]))
        self.step = numbers.pop("step")
        self.guard = Guard(**numbers)
