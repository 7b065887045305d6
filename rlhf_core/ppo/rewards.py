"""Per-token rewards: the KL penalty at every token, the score at the last one.

    r_t = -kl_coef * (log pi(y_t) - log pi_ref(y_t)) + [t is the last response token] * score

The score sits on the last response token, EOS when it was produced. TRL and N+ read it one
position later (on the token after EOS); with lambda < 1 that differs: docs/maths.md.

References:
    [1] InstructGPT, arXiv:2203.02155, eq. 2. [2] arXiv:1909.08593, section 2.
"""

import torch
from torch import Tensor

from rlhf_core.collate import is_within


def episode_scores(scores: Tensor, ended: Tensor, missing_eos_score: float) -> Tensor:
    """Scores (B,), replaced by `missing_eos_score` where `ended` (bool, B) is False."""
    return torch.where(ended, scores, missing_eos_score)


def token_rewards(
    scores: Tensor, kl: Tensor, response_lengths: Tensor, *, kl_coef: float
) -> Tensor:
    """Rewards, float (B, R), zero at padding; their sum is score - kl_coef * sum(kl).

    Args:
        scores: Score of each episode, float (B,).
        kl: k1 per token, float (B, R), zero at padding.
        response_lengths: Tokens of each response, int64 (B,).
        kl_coef: Weight of the penalty, at least 0.
    """
    is_response = is_within(response_lengths, kl.shape[1])
    is_last = is_response & ~is_within(response_lengths - 1, kl.shape[1])
    return -kl_coef * kl.masked_fill(~is_response, 0.0) + is_last * scores.unsqueeze(1)
