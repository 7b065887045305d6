"""Training the reward model: a prompt with all its ranked responses is one batch element.

The prompt is read once, its state forked for K responses, which give up to C(K, 2) loss terms; no
pair of a prompt is seen apart from the others, which InstructGPT found to overfit (section 3.5).
`rlhf_core.resume.run` walks the steps.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from rlhf_core.collate import pad_right
from rlhf_core.guard import Guard, guarded_step
from rlhf_core.optim import (
    build_optimizer,
    cosine_schedule,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from rlhf_core.resume import Metrics, TrainingState, part, under, weights_of
from rlhf_core.reward.config import RewardConfig
from rlhf_core.reward.losses import pair_accuracy, ranking_loss
from rlhf_core.reward.model import RewardModel
from rlhf_core.seeding import epoch_batches


class BestEpoch(NamedTuple):
    """The epoch whose weights are kept.

    Attributes:
        epoch: From 1; 0 before the first has ended.
        accuracy: Pair accuracy on the validation prompts; None without any.
        weights: A copy of them.
    """

    epoch: int
    accuracy: float | None
    weights: dict[str, Tensor]


class RankedPrompt(NamedTuple):
    """A prompt, its distinct responses and the pairs that its rankings gave.

    Attributes:
        prompt: Token ids.
        responses: Token ids of each response, EOS included.
        pairs: (chosen, rejected) as indices into `responses`.
        weights: Weight of each pair.
    """

    prompt: list[int]
    responses: list[list[int]]
    pairs: list[tuple[int, int]]
    weights: list[float]


def batch_scores(model: RewardModel, prompts: Sequence[RankedPrompt], pad_id: int) -> Tensor:
    """Raw scores of all responses of `prompts`, one prompt after the other, float (R,)."""
    device = model.head.weight.device
    owners = [i for i, prompt in enumerate(prompts) for _ in prompt.responses]
    return model.forked_scores(
        pad_right([p.prompt for p in prompts], pad_id).to(device),
        pad_right([r for p in prompts for r in p.responses], pad_id).to(device),
        torch.tensor(owners, device=device),
    )


def batch_pairs(prompts: Sequence[RankedPrompt]) -> tuple[Tensor, Tensor]:
    """Pairs (P, 2) as indices into `batch_scores`, and their weights (P,)."""
    pairs, weights, offset = [], [], 0
    for prompt in prompts:
        pairs += [(chosen + offset, rejected + offset) for chosen, rejected in prompt.pairs]
        weights += prompt.weights
        offset += len(prompt.responses)
    return torch.tensor(pairs), torch.tensor(weights, dtype=torch.float32)


class RewardTraining:
    """A reward model, its optimiser, the next step and the best epoch so far."""

    def __init__(
        self,
        model: RewardModel,
        prompts: Sequence[RankedPrompt],
        config: RewardConfig,
        *,
        validation: Sequence[RankedPrompt] = (),
        pad_id: int,
        seed: int,
    ) -> None:
        """Prepare to train `model` in place on the prompts that have a pair.

        Args:
            model: What is trained.
            prompts: What it learns.
            config: How.
            validation: The epoch that orders these best is kept; without a pair, the last one.
            pad_id: Fills short rows.
            seed: Decides the order of the prompts.

        Raises:
            ValueError: If there is no prompt with a pair.
        """
        self.prompts = [p for p in prompts if p.pairs]
        self.validation = [p for p in validation if p.pairs]
        if not self.prompts:
            raise ValueError("no prompt has a strict pair; nothing to train on")
        self.model, self.config, self.pad_id, self.seed = model, config, pad_id, seed
        self.optimizer = build_optimizer(
            model,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            eps=config.adam_eps,
        )
        self.step, self.guard = 0, Guard()
        self.best = BestEpoch(0, None, weights_of(model))

    @property
    def steps_per_epoch(self) -> int:
        """Batches a pass over the prompts."""
        return -(-len(self.prompts) // self.config.batch_size)

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        return self.config.num_epochs * self.steps_per_epoch

    def advance(self) -> Metrics:
        """Take one step; at the end of an epoch, validate.

        Raises:
            DivergedError: If too many steps in a row were not finite.
        """
        config = self.config
        epoch, place = divmod(self.step, self.steps_per_epoch)
        batches = epoch_batches(len(self.prompts), config.batch_size, self.seed, "reward", epoch)
        rate = cosine_schedule(
            self.step, self.num_steps, warmup=config.warmup, final=config.final_rate
        )
        set_learning_rate(self.optimizer, rate)
        metrics = self._learn([self.prompts[i] for i in batches[place]])
        self.step += 1
        if self.step % self.steps_per_epoch == 0:
            metrics |= self._validate(epoch + 1)
        return {"epoch": float(epoch), **metrics, "guard/skipped": float(self.guard.skipped)}

    def _learn(self, batch: Sequence[RankedPrompt]) -> Metrics:
        scores = batch_scores(self.model, batch, self.pad_id)
        pairs, weights = (x.to(scores.device) for x in batch_pairs(batch))
        loss = ranking_loss(scores, pairs, weights, len(batch))
        norms = guarded_step(
            self.guard, [(self.optimizer, loss)], max_grad_norm=self.config.max_grad_norm
        )
        if norms is None:
            return {}
        margins = (scores[pairs[:, 0]] - scores[pairs[:, 1]]).detach()
        return {
            "reward/loss": float(loss.detach()),
            "reward/accuracy": float(pair_accuracy(scores.detach(), pairs).mean()),
            "reward/margin": float(margins.mean()),
            "reward/grad_norm": norms[0],
        }

    def _validate(self, epoch: int) -> Metrics:
        """Keep this epoch's weights if none before ordered the validation pairs better."""
        if not self.validation:
            self.best = BestEpoch(epoch, None, weights_of(self.model))
            return {}
        scores = score_prompts(
            self.model, self.validation, batch_size=self.config.batch_size, pad_id=self.pad_id
        )
        accuracy = mean_pair_accuracy(self.validation, scores)
        if self.best.accuracy is None or accuracy > self.best.accuracy:
            self.best = BestEpoch(epoch, accuracy, weights_of(self.model))
        return {"reward/validation_accuracy": accuracy}

    def state(self) -> TrainingState:
        """Weights, moments, the best epoch's weights, and the counters."""
        best = {"best_epoch": self.best.epoch, "best_accuracy": self.best.accuracy}
        return TrainingState(
            {
                **under("model", self.model.state_dict()),
                **under("optimizer", optimizer_tensors(self.optimizer)),
                **under("best", self.best.weights),
            },
            {"step": self.step, **asdict(self.guard), **best},
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`."""
        tensors, numbers = state.tensors, dict(state.numbers)
        self.model.load_state_dict(part("model", tensors))
        load_optimizer_tensors(self.optimizer, part("optimizer", tensors))
        self.step = numbers.pop("step")
        epoch, accuracy = numbers.pop("best_epoch"), numbers.pop("best_accuracy")
        self.best = BestEpoch(epoch, accuracy, part("best", tensors))
        self.guard = Guard(**numbers)


@torch.no_grad()
def score_prompts(
    model: RewardModel, prompts: Sequence[RankedPrompt], *, batch_size: int, pad_id: int
) -> list[list[float]]:
    """Raw scores of each prompt's responses."""
    scores: list[list[float]] = []
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        flat = iter(batch_scores(model, batch, pad_id).tolist())
        scores += [list(islice(flat, len(p.responses))) for p in batch]
    return scores


def mean_pair_accuracy(prompts: Sequence[RankedPrompt], scores: Sequence[Sequence[float]]) -> float:
    """Share of pairs whose chosen response scores higher, averaged over prompts with a pair."""
    per_prompt = [
        float(pair_accuracy(torch.tensor(s), torch.tensor(p.pairs)).mean())
        for p, s in zip(prompts, scores, strict=True)
        if p.pairs
    ]
    return sum(per_prompt) / len(per_prompt)
