"""Best-of-n: of n samples of the reference policy, the one that a proxy scores highest.

It needs no training, so it is the curve that a trained policy is held against: how much gold for
how much KL. Everything is computed from one sample of N replies a prompt; docs/maths.md derives it.

References:
    [1] Gao et al. 2022, Scaling laws for reward model overoptimization, arXiv:2210.10760.
    [2] Nakano et al. 2021, WebGPT, arXiv:2112.09332, appendix I (the estimator of [1]).
    [3] Stiennon et al. 2020, arXiv:2009.01325, appendix G.3 (KL of best-of-n).
    [4] Beirami et al. 2024, arXiv:2401.01879 (why [3] is an upper bound).
"""

import math
from collections import Counter
from collections.abc import Sequence


def expected_best(proxy: Sequence[float], values: Sequence[float], n: int) -> float:
    """Mean value of the best of n by proxy, over all subsets of the replies [2].

    Unbiased for n fresh replies of the same policy. Replies of equal proxy share a win evenly.

    Args:
        proxy: What the choice is made by, one score a reply.
        values: What the chosen one is worth, one a reply.
        n: Replies chosen from, at most `len(proxy)`.

    Raises:
        ValueError: If there are fewer than n replies.
    """
    if not 1 <= n <= len(proxy):
        raise ValueError(f"best of {n} cannot be estimated from {len(proxy)} replies")
    worth: dict[float, list[float]] = {}
    for score, value in zip(proxy, values, strict=True):
        worth.setdefault(score, []).append(value)
    below, total = 0, 0.0
    for _, tied in sorted(worth.items()):
        upto = below + len(tied)
        wins = math.comb(upto, n) - math.comb(below, n)
        total += wins / math.comb(len(proxy), n) * sum(tied) / len(tied)
        below = upto
    return total


def best_of_n_kl(proxy: Sequence[float], n: int) -> float:
    """KL(best-of-n || reference) in nats, from the ranks of a sample with its ties.

    Scores that occur once are taken for draws from a continuum: without repeats the result is
    `best_of_n_kl_bound`, with repeats less. Where n comes near the size of the sample, chance
    repeats make it too low.

    Args:
        proxy: Scores of replies of the reference; equal replies must have equal ones.
        n: Replies chosen from, at least 1.
    """
    below, total = 0, 0.0
    for _, count in sorted(Counter(proxy).items()):
        low, high = below / len(proxy), (below + count) / len(proxy)
        below += count
        if count == 1:
            total += _continuum_kl(high, n) - _continuum_kl(low, n)
            continue
        mass = high**n - low**n
        total += mass * math.log(mass / (high - low)) if mass > 0 else 0.0
    return total


def best_of_n_kl_bound(n: int) -> float:
    """KL of best-of-n in nats where no reply repeats [3], an upper bound elsewhere [4]."""
    return math.log(n) - (n - 1) / n


def _continuum_kl(u: float, n: int) -> float:
    """Integral of n v^(n-1) ln(n v^(n-1)) over v from 0 to u."""
    return u**n * (math.log(n) + (n - 1) * (math.log(u) - 1 / n)) if u > 0 else 0.0
