"""Generalised advantages as the double sum of arXiv:1506.02438, eq. 16, one episode at a time."""

from collections.abc import Sequence


def advantages_of_episode(
    rewards: Sequence[float], values: Sequence[float], discount: float, gae_lambda: float
) -> list[float]:
    """A_t = sum over l of (discount lambda)^l delta_{t+l}; the value after the end is 0."""
    after = [*values[1:], 0.0]
    deltas = [r + discount * n - v for r, n, v in zip(rewards, after, values, strict=True)]
    return [
        sum((discount * gae_lambda) ** (s - t) * deltas[s] for s in range(t, len(deltas)))
        for t in range(len(deltas))
    ]
