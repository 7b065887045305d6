"""Comparing two policies' replies to one prompt."""

from collections.abc import Sequence


def win_rate(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Share of all pairs of replies in which ours scores higher; equal scores count half."""
    wins = sum((a > b) + 0.5 * (a == b) for a in ours for b in theirs)
    return wins / (len(ours) * len(theirs))


def distinct_share(texts: Sequence[str]) -> float:
    """Distinct texts, white space folded, over all texts."""
    return len({" ".join(text.split()) for text in texts}) / len(texts)
