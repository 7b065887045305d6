"""The reward model: a policy's trunk, the hidden state of the last real token, a scalar head.

References:
    [1] InstructGPT, arXiv:2203.02155, section 3.5.
    [2] Head initialisation N(0, 1 / (d + 1)): openai/lm-human-preferences, policy.py.
"""

import math

import torch
from torch import Generator, Tensor, nn

from rlhf_core.backbones import Backbone
from rlhf_core.collate import Dialogues, Padded, is_within, last_real


class RewardModel(nn.Module):
    """Scores <prompt, response>; `head` is Linear(dim, 1) without bias."""

    def __init__(self, backbone: Backbone, *, segment_embeddings: bool) -> None:
        super().__init__()
        dim = backbone.dim
        self.backbone = backbone
        self.head = nn.Linear(dim, 1, bias=False)
        self.prompt_embedding = nn.Parameter(torch.zeros(dim)) if segment_embeddings else None
        self.response_embedding = nn.Parameter(torch.zeros(dim)) if segment_embeddings else None

    def forward(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        prompt_mask: Tensor | None = None,
        prompt_lengths: Tensor | None = None,
    ) -> Tensor:
        """Raw scores, float (B,).

        Args:
            ids: prompt + response, right-padded, int64 (B, T).
            mask: True at real tokens, bool (B, T); None if no row is padded.
            prompt_mask: True at prompt tokens, bool (B, T); excludes `prompt_lengths`.
            prompt_lengths: Tokens of each prompt, int64 (B,); excludes `prompt_mask`.

        Raises:
            ValueError: If both `prompt_mask` and `prompt_lengths` are given.
        """
        values, lengths = self.token_values(
            ids, mask, prompt_mask=prompt_mask, prompt_lengths=prompt_lengths
        )
        return last_real(values.unsqueeze(-1), lengths).squeeze(-1)

    def token_values(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        prompt_mask: Tensor | None = None,
        prompt_lengths: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The head at every position, float (B, T), and the row lengths (B,); as `forward`."""
        if prompt_mask is not None and prompt_lengths is not None:
            raise ValueError("give prompt_mask or prompt_lengths, not both")
        lengths = ids.new_full((ids.shape[0],), ids.shape[1]) if mask is None else mask.sum(1)
        is_real = is_within(lengths, ids.shape[1])
        if prompt_lengths is not None:
            prompt_mask = is_within(prompt_lengths, ids.shape[1])
        hidden, _ = self.backbone.encode(
            ids, lengths, extra_embedding_BTC=self._segments(prompt_mask, is_real)
        )
        return self.head(hidden).squeeze(-1), lengths

    def forked_scores(self, prompts: Padded, responses: Padded, owners: Tensor) -> Tensor:
        """Raw scores of responses whose prompts are read once and forked, float (R,).

        Equal to `forward` on each prompt + response, in the gradients too: they flow back through
        the shared prefix.

        Args:
            prompts: Q prompts.
            responses: R responses, at least one token each.
            owners: Row of each response's prompt, int64 (R,).
        """
        _, state = self.backbone.encode(
            *prompts, extra_embedding_BTC=self._segment(prompts, self.prompt_embedding)
        )
        hidden, _ = self.backbone.encode(
            *responses,
            state.select(owners),
            extra_embedding_BTC=self._segment(responses, self.response_embedding),
        )
        return self.head(last_real(hidden, responses.lengths)).squeeze(-1)

    def _segments(self, is_prompt: Tensor | None, is_real: Tensor) -> Tensor | None:
        """Segment embeddings (B, T, C), zero at padding; None where there is no segment."""
        if is_prompt is None or self.prompt_embedding is None or self.response_embedding is None:
            return None
        segments = torch.where(
            is_prompt.unsqueeze(-1), self.prompt_embedding, self.response_embedding
        )
        return segments * is_real.unsqueeze(-1)

    @staticmethod
    def _segment(rows: Padded, embedding: Tensor | None) -> Tensor | None:
        """One segment's embedding at the real tokens of `rows`, (B, T, C)."""
        if embedding is None:
            return None
        return is_within(rows.lengths, rows.ids.shape[1]).unsqueeze(-1) * embedding


def score(model: RewardModel, batch: Dialogues) -> Tensor:
    """Raw scores of a batch of dialogues, float (B,)."""
    mask = is_within(batch.lengths, batch.ids.shape[1])
    return model(batch.ids, mask, prompt_lengths=batch.prompt_lengths)


def reward_model_from(
    policy: Backbone, *, segment_embeddings: bool, generator: Generator
) -> RewardModel:
    """A reward model over a copy of the policy's trunk; its head is drawn as [2] does."""
    model = RewardModel(policy.trunk(), segment_embeddings=segment_embeddings)
    with torch.no_grad():
        model.head.weight.normal_(0.0, 1 / math.sqrt(policy.dim + 1), generator=generator)
    return model.to(policy.device)
