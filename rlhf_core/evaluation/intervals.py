"""Means with 95 % intervals by bootstrap over clusters.

Replies to one prompt, and prompts of one family, are alike: resampling them one by one would give
intervals that are far too narrow. Whole families are drawn instead.

Reference:
    [1] Efron and Tibshirani 1993, An introduction to the bootstrap, chapter 13 (percentile).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator


class Estimate(NamedTuple):
    """A mean with its 95 % interval.

    Attributes:
        value: The mean over items.
        low: 2.5 % quantile over resamples.
        high: 97.5 % quantile over resamples.
        n: Number of items.
    """

    value: float
    low: float
    high: float
    n: int


def cluster_bootstrap(
    values: Sequence[float],
    clusters: Sequence[str],
    *,
    num_resamples: int,
    generator: Generator,
) -> Estimate:
    """Mean of `values`, items of equal `clusters` drawn together.

    Raises:
        ValueError: If there is no item.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    numbers = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    index = torch.tensor([numbers[name] for name in clusters])
    totals = torch.zeros(len(numbers), dtype=torch.float64)
    totals.index_add_(0, index, torch.tensor(values, dtype=torch.float64))
    sizes = torch.bincount(index, minlength=len(numbers)).double()
    drawn = torch.randint(len(numbers), (num_resamples, len(numbers)), generator=generator)
    means = totals[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(float(totals.sum() / sizes.sum()), low, high, len(values))
