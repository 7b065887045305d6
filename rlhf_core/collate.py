"""Lists of token ids to right-padded tensors; lengths are carried, never read off the ids."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Padded(NamedTuple):
    """Right-padded token ids.

    Attributes:
        ids: int64 (B, T).
        lengths: Real tokens per row, int64 (B,).
    """

    ids: Tensor
    lengths: Tensor

    def to(self, device: torch.device) -> "Padded":
        """The same rows on another device."""
        return Padded(self.ids.to(device), self.lengths.to(device))


class Dialogues(NamedTuple):
    """Prompts with one response each, joined and right-padded.

    Attributes:
        ids: prompt + response token ids, int64 (B, T).
        lengths: Real tokens per row, int64 (B,).
        prompt_lengths: Tokens of the prompt, int64 (B,).
    """

    ids: Tensor
    lengths: Tensor
    prompt_lengths: Tensor

    def to(self, device: torch.device) -> "Dialogues":
        """The same dialogues on another device."""
        return Dialogues(*(x.to(device) for x in self))

    def select(self, rows: Tensor) -> "Dialogues":
        """The given rows (indices or a mask), without columns that only the others need."""
        ids, lengths, prompt_lengths = (x[rows] for x in self)
        return Dialogues(ids[:, : int(lengths.max())], lengths, prompt_lengths)

    @property
    def response_lengths(self) -> Tensor:
        """Tokens of the response, int64 (B,)."""
        return self.lengths - self.prompt_lengths


def pad_right(rows: Sequence[Sequence[int]], pad_id: int) -> Padded:
    """Pad to the longest row.

    Raises:
        ValueError: If there is no row, or an empty one.
    """
    if not rows or not all(rows):
        raise ValueError("a batch needs at least one row, and each row at least one token")
    longest = max(map(len, rows))
    ids = [[*row, *[pad_id] * (longest - len(row))] for row in rows]
    return Padded(torch.tensor(ids), torch.tensor([len(row) for row in rows]))


def join(
    prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], pad_id: int
) -> Dialogues:
    """Each prompt with its response, as one padded batch."""
    rows = [[*p, *r] for p, r in zip(prompts, responses, strict=True)]
    return Dialogues(*pad_right(rows, pad_id), torch.tensor([len(p) for p in prompts]))


def is_within(lengths: Tensor, size: int) -> Tensor:
    """True at the first `lengths` of `size` positions, bool (B, size)."""
    return torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)


def response_positions(batch: Dialogues, width: int) -> Tensor:
    """Where each response token is predicted: the position before it, int64 (B, width).

    After a response's end, indices point at its last token: what is read there follows it.
    """
    steps = torch.arange(width, device=batch.lengths.device)
    positions = batch.prompt_lengths.unsqueeze(1) - 1 + steps
    return positions.minimum(batch.lengths.unsqueeze(1) - 1)


def gather_positions(values: Tensor, positions: Tensor) -> Tensor:
    """Values (B, T, C) at positions (B, R), giving (B, R, C)."""
    return values.gather(1, positions.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def last_real(x_BTC: Tensor, lengths_B: Tensor) -> Tensor:
    """The row of the last real token of each right-padded sequence, (B, C)."""
    index = (lengths_B - 1).view(-1, 1, 1).expand(-1, 1, x_BTC.shape[-1])
    return x_BTC.gather(1, index).squeeze(1)
