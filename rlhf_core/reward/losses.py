"""The ranking loss: Bradley-Terry over all strict pairs of a ranking.

    L = - sum over pairs (w, l) of weight * log sigmoid(r_w - r_l),    averaged over prompts

With weight 1 / C(K, 2) this is InstructGPT's loss [1, eq. 1], and equals the mean over pairs that
the seed writes as -mean(log(sigmoid(r_w - r_l))). Tied pairs are left out, as there.

References:
    [1] InstructGPT, arXiv:2203.02155.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def ranking_loss(scores: Tensor, pairs: Tensor, weights: Tensor, num_prompts: int) -> Tensor:
    """Weighted Bradley-Terry loss of a batch of prompts, a scalar in nats.

    Args:
        scores: Raw scores of all responses of the batch, float (R,).
        pairs: Rows (chosen, rejected) of indices into `scores`, int64 (P, 2).
        weights: Weight of each pair, float (P,).
        num_prompts: Prompts in the batch, the divisor.
    """
    margins = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    return -(weights * logsigmoid(margins)).sum() / num_prompts


def pair_accuracy(scores: Tensor, pairs: Tensor) -> Tensor:
    """1 where the chosen response scores higher, 0.5 where equal, else 0; float (P,)."""
    margins = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    return (torch.sign(margins) + 1) / 2
