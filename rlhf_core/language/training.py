"""Next-token training on sequences whose first tokens may be left out of the loss.

The loop is a generator of metrics: the caller logs, stops and saves. Randomness is derived from
(seed, step), so nothing but weights, optimiser and step is state.

Omitted on purpose: packing (an RWKV state must be reset between documents), L2Wrap, dropout.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rlhf_core.collate import is_within, pad_right
from rlhf_core.language.config import LanguageConfig
from rlhf_core.optim import build_optimizer, clipped_step, cosine_schedule, set_learning_rate
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import epoch_batches


class Document(NamedTuple):
    """Token ids of which the first `num_context` are read but not learnt."""

    ids: list[int]
    num_context: int


def language_loss(model: RWKV, batch: Sequence[Document], pad_id: int) -> tuple[Tensor, int]:
    """Mean cross entropy (nats) over the learnt tokens of a batch, and how many there are.

    The first token of a sequence has no prediction and is never learnt.
    """
    device = model.head.weight.device
    ids, lengths = (x.to(device) for x in pad_right([s.ids for s in batch], pad_id))
    context = torch.tensor([max(s.num_context, 1) for s in batch], device=device)
    is_learnt = is_within(lengths, ids.shape[1]) & ~is_within(context, ids.shape[1])
    hidden, _ = model.encode(ids[:, :-1], (lengths - 1).clamp_min(1))
    logits = model.head(hidden[is_learnt[:, 1:]])
    return cross_entropy(logits.float(), ids[is_learnt]), int(is_learnt.sum())


def train_language_model(
    model: RWKV, sequences: Sequence[Document], config: LanguageConfig, *, pad_id: int, seed: int
) -> Iterator[dict[str, float]]:
    """Train `model` in place; yields the metrics of each step.

    Raises:
        ValueError: If there is no sequence with a token to learn.
        FloatingPointError: If a loss or gradient is not finite.
    """
    sequences = _learnable(sequences)
    optimizer = build_optimizer(
        model, learning_rate=config.learning_rate, weight_decay=config.weight_decay
    )
    model.train()
    batches: list[list[int]] = []
    epoch = 0
    for step in range(config.num_steps):
        if not batches:
            batches = epoch_batches(len(sequences), config.batch_size, seed, "language", epoch)
            epoch += 1
        rate = cosine_schedule(
            step, config.num_steps, warmup=config.warmup, final=config.final_rate
        )
        set_learning_rate(optimizer, rate)
        batch = [sequences[i] for i in batches.pop(0)]
        loss, num_tokens = language_loss(model, batch, pad_id)
        norm = clipped_step(optimizer, loss, max_grad_norm=config.max_grad_norm)
        yield {
            "language/loss": float(loss.detach()),
            "language/grad_norm": norm,
            "language/tokens": float(num_tokens),
            "language/learning_rate": rate * config.learning_rate,
        }
    model.eval()


def _learnable(sequences: Sequence[Document]) -> list[Document]:
    """The sequences with a token to learn; a batch without any would have loss NaN."""
    learnable = [s for s in sequences if len(s.ids) > max(s.num_context, 1)]
    if not learnable:
        raise ValueError("no sequence has a token to learn")
    return learnable
