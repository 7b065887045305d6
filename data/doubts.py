"""Doubts about a valid ranking, which then waits for a person's decision.

Omitted on purpose: doubts about an annotator, which need many rankings (data.statistics).
"""

from collections.abc import Mapping

from data.jsonl import RowError

MIN_MS_PER_WORD = 60
# The times of an answer that came in a file of another tool are unknown.
IMPORTED = "import/"
DOUBTS = ("TOO_FAST", "QUALITY_CONTRADICTS_RANK")

_HUMAN_ROLES = ("annotator", "expert")
_MIN_QUALITY_GAP = 2


def doubt_speed(active_ms: int, count_words: int, role: str) -> RowError | None:
    """Doubt an answer that was given faster than its texts can be read.

    Args:
        active_ms: How long the annotator was at it.
        count_words: Words of all responses.
        role: Reading time says something about people only.
    """
    least = MIN_MS_PER_WORD * count_words
    if role not in _HUMAN_ROLES or active_ms >= least:
        return None
    message = f"{active_ms} ms for {count_words} words; held for review under {least} ms"
    return RowError("TOO_FAST", "active_ms", message)


def doubt_quality(tiers: Mapping[str, int], quality: Mapping[str, int]) -> RowError | None:
    """Doubt quality scores that contradict the tiers; the widest contradiction is named."""
    scored = sorted((tier, name) for name, tier in tiers.items() if name in quality)
    gaps = [
        (quality[worse] - quality[better], better, worse)
        for index, (tier, better) in enumerate(scored)
        for lower, worse in scored[index + 1 :]
        if tier < lower
    ]
    gap, better, worse = max(gaps, key=lambda one: one[0], default=(0, "", ""))
    if gap < _MIN_QUALITY_GAP:
        return None
    scores = f"{quality[better]} against {quality[worse]}"
    message = f"{better} ranks above {worse} but scores {scores}"
    return RowError("QUALITY_CONTRADICTS_RANK", f"quality.{better}", message)
