"""The ranking loss by plain loops, and the seed's loss function as it is printed there."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def loss_of_prompt(scores: Sequence[float], tiers: Sequence[int]) -> float:
    """Mean over the strict pairs of a ranking; tier 1 is best, equal tiers are tied."""
    terms = [
        math.log1p(math.exp(-(scores[better] - scores[worse])))
        for better in range(len(scores))
        for worse in range(len(scores))
        if tiers[better] < tiers[worse]
    ]
    return sum(terms) / len(terms)


def loss_function(prefer_reward: Tensor, alter_reward: Tensor) -> Tensor:
    """The seed: -mean(log(sigmoid(prefer - alter)))."""
    return -torch.mean(torch.log(torch.sigmoid(prefer_reward - alter_reward)))
