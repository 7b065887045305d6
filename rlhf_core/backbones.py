"""What every language model must offer to be trained and sampled here.

Generation, reward model, critic, PPO and evaluation are written against `Backbone` alone: RWKV-7,
RWKV-4 and the causal language models of transformers are backbones. It is a base class and not a
typing.Protocol because all of them are also `nn.Module`s, whose parameters are trained.

Shapes: B batch, T tokens, C channels, V vocabulary.
"""

import copy
from collections.abc import Callable
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn


class State(Protocol):
    """What a backbone has read: an RNN's state or a transformer's cache, one row a sequence."""

    def select(self, rows: Tensor) -> Self:
        """The given batch rows (int64 indices, repeats allowed)."""

    def repeat(self, num_copies: int) -> Self:
        """Each row `num_copies` times in a row: a prompt's state forked for K responses."""


class Backbone(nn.Module):
    """A causal language model over right-padded batches, with a carried state.

    Attributes:
        head: Hidden states (..., C) to next-token logits (..., V).
    """

    head: Callable[[Tensor], Tensor]

    @property
    def dim(self) -> int:
        """Channels of a hidden state, C."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    def encode(
        self,
        ids_BT: Tensor,
        lengths_B: Tensor | None = None,
        state: Any = None,
        extra_embedding_BTC: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Hidden states, and the state after each sequence's last real token.

        What stands at padding changes neither the hidden states of real tokens nor the state.

        Args:
            ids_BT: Token ids, right-padded, int64.
            lengths_B: Real tokens per row, at least 1, int64; None if no row is padded.
            state: State to go on from, as this backbone returned it; None starts anew.
            extra_embedding_BTC: Added to the token embeddings (the reward model's segments).

        Returns:
            Hidden states that `head` reads (B, T, C), meaningless at padding, and the new state.
        """
        raise NotImplementedError

    def forward(
        self, ids_BT: Tensor, lengths_B: Tensor | None = None, state: Any = None
    ) -> tuple[Tensor, State]:
        """Next-token logits (B, T, V) and the new state; arguments as `encode`."""
        hidden, state = self.encode(ids_BT, lengths_B, state)
        return self.head(hidden), state

    def trunk(self) -> "Backbone":
        """A copy without the vocabulary head, for a reward model or critic."""
        trunk = copy.deepcopy(self)
        trunk.head = nn.Identity()
        return trunk


def at_least_float32(x: Tensor) -> Tensor:
    """float32, or float64 if it is that already; what bfloat16 would lose must not pass as it."""
    return x if x.dtype == torch.float64 else x.float()
