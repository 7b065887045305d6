"""Next-token training on sequences whose first tokens may be left out of the loss.

Randomness is derived from (seed, step), so nothing but weights, optimiser and step is state;
`rlhf_core.resume.run` walks the steps.

Omitted on purpose: packing (an RWKV state must be reset between documents), L2Wrap, dropout.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rlhf_core.backbones import Backbone, at_least_float32
from rlhf_core.collate import is_within, pad_right
from rlhf_core.guard import Guard, guarded_step
from rlhf_core.language.config import LanguageConfig
from rlhf_core.optim import (
    build_optimizer,
    cosine_schedule,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from rlhf_core.resume import Metrics, TrainingState, part, under
from rlhf_core.seeding import epoch_batches


class Document(NamedTuple):
    """Token ids of which the first `num_context` are read but not learnt."""

    ids: list[int]
    num_context: int


def language_loss(model: Backbone, batch: Sequence[Document], pad_id: int) -> tuple[Tensor, int]:
    """Mean cross entropy (nats) over the learnt tokens of a batch, and how many there are.

    The first token of a sequence has no prediction and is never learnt.
    """
    device = model.device
    ids, lengths = pad_right([d.ids for d in batch], pad_id).to(device)
    context = torch.tensor([max(d.num_context, 1) for d in batch], device=device)
    is_learnt = is_within(lengths, ids.shape[1]) & ~is_within(context, ids.shape[1])
    hidden, _ = model.encode(ids[:, :-1], (lengths - 1).clamp_min(1))
    logits = model.head(hidden[is_learnt[:, 1:]])
    return cross_entropy(at_least_float32(logits), ids[is_learnt]), int(is_learnt.sum())


class LanguageTraining:
    """A language model, its optimiser and the next step."""

    def __init__(
        self,
        model: Backbone,
        documents: Sequence[Document],
        config: LanguageConfig,
        *,
        pad_id: int,
        seed: int,
    ) -> None:
        """Prepare to train `model` in place.

        Raises:
            ValueError: If there is no document with a token to learn.
        """
        self.documents = learnable(documents)
        self.model, self.config, self.pad_id, self.seed = model, config, pad_id, seed
        self.optimizer = build_optimizer(
            model,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            eps=config.adam_eps,
        )
        self.step, self.guard = 0, Guard()

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        return self.config.num_steps

    def advance(self) -> Metrics:
        """Take one step.

        Raises:
            DivergedError: If too many steps in a row were not finite.
        """
        config = self.config
        epoch, place = divmod(self.step, -(-len(self.documents) // config.batch_size))
        batches = epoch_batches(
            len(self.documents), config.batch_size, self.seed, "language", epoch
        )
        rate = cosine_schedule(
            self.step, config.num_steps, warmup=config.warmup, final=config.final_rate
        )
        set_learning_rate(self.optimizer, rate)
        batch = [self.documents[i] for i in batches[place]]
        loss, num_tokens = language_loss(self.model, batch, self.pad_id)
        norms = guarded_step(
            self.guard, [(self.optimizer, loss)], max_grad_norm=config.max_grad_norm
        )
        self.step += 1
        learnt = (
            {"language/loss": float(loss.detach()), "language/grad_norm": norms[0]} if norms else {}
        )
        return {
            **learnt,
            "language/tokens": float(num_tokens),
            "language/learning_rate": rate * config.learning_rate,
            "guard/skipped": float(self.guard.skipped),
        }

    def state(self) -> TrainingState:
        """Weights, moments and counters."""
        return TrainingState(
            {
                **under("model", self.model.state_dict()),
                **under("optimizer", optimizer_tensors(self.optimizer)),
            },
            {"step": self.step, **asdict(self.guard)},
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`."""
        numbers = dict(state.numbers)
        self.model.load_state_dict(part("model", state.tensors))
        load_optimizer_tensors(self.optimizer, part("optimizer", state.tensors))
        self.step = numbers.pop("step")
        self.guard = Guard(**numbers)


def learnable(documents: Sequence[Document]) -> list[Document]:
    """The documents with a token to learn; a batch without any would have loss NaN.

    Raises:
        ValueError: If there is none.
    """
    found = [d for d in documents if len(d.ids) > max(d.num_context, 1)]
    if not found:
        raise ValueError("no document has a token to learn")
    return found
