"""Training the reward model: a prompt with all its ranked responses is one batch element.

K forward passes give up to C(K, 2) loss terms, and no pair of a prompt is seen apart from the
others, which InstructGPT found to overfit (section 3.5). The loop is a generator of metrics; the
caller logs, and keeps the weights it likes best.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from rlhf_core.collate import join, to_device
from rlhf_core.optim import build_optimizer, clipped_step, cosine_schedule, set_learning_rate
from rlhf_core.reward.config import RewardConfig
from rlhf_core.reward.losses import pair_accuracy, ranking_loss
from rlhf_core.reward.model import RewardModel, score
from rlhf_core.seeding import epoch_batches


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
    batch = join(
        [p.prompt for p in prompts for _ in p.responses],
        [r for p in prompts for r in p.responses],
        pad_id,
    )
    return score(model, to_device(batch, model.head.weight.device))


def batch_pairs(prompts: Sequence[RankedPrompt]) -> tuple[Tensor, Tensor]:
    """Pairs (P, 2) as indices into `batch_scores`, and their weights (P,)."""
    pairs, weights, offset = [], [], 0
    for prompt in prompts:
        pairs += [(chosen + offset, rejected + offset) for chosen, rejected in prompt.pairs]
        weights += prompt.weights
        offset += len(prompt.responses)
    return torch.tensor(pairs), torch.tensor(weights, dtype=torch.float32)


def train_reward_model(
    model: RewardModel,
    prompts: Sequence[RankedPrompt],
    config: RewardConfig,
    *,
    pad_id: int,
    seed: int,
) -> Iterator[dict[str, float]]:
    """Train `model` in place; yields the metrics of each step, "epoch" among them.

    Raises:
        ValueError: If there is no prompt with a pair.
        FloatingPointError: If a loss or gradient is not finite.
    """
    prompts = [p for p in prompts if p.pairs]
    if not prompts:
        raise ValueError("no prompt has a strict pair; nothing to train on")
    optimizer = build_optimizer(
        model, learning_rate=config.learning_rate, weight_decay=config.weight_decay
    )
    num_steps = config.num_epochs * -(-len(prompts) // config.batch_size)
    step = 0
    device = model.head.weight.device
    for epoch in range(config.num_epochs):
        for batch_ids in epoch_batches(len(prompts), config.batch_size, seed, "reward", epoch):
            rate = cosine_schedule(step, num_steps, warmup=config.warmup, final=config.final_rate)
            set_learning_rate(optimizer, rate)
            batch = [prompts[i] for i in batch_ids]
            scores = batch_scores(model, batch, pad_id)
            pairs, weights = (x.to(device) for x in batch_pairs(batch))
            loss = ranking_loss(scores, pairs, weights, len(batch))
            norm = clipped_step(optimizer, loss, max_grad_norm=config.max_grad_norm)
            step += 1
            yield {
                "epoch": float(epoch),
                "reward/loss": float(loss.detach()),
                "reward/accuracy": float(pair_accuracy(scores.detach(), pairs).mean()),
                "reward/margin": float((scores[pairs[:, 0]] - scores[pairs[:, 1]]).mean().detach()),
                "reward/grad_norm": norm,
            }


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
