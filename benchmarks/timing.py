"""Times and their ratios on machines whose speed changes from second to second.

What is compared alternates, A B A B, in one run at equal threads, and what is reported is the
ratio, with its extremes over the rounds; seconds alone say little.

Omitted on purpose: confidence intervals (rounds are few and not independent).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

Work = Callable[[], object]


class Ratio(NamedTuple):
    """A ratio of medians over rounds, and the least and greatest ratio of any round."""

    median: float
    low: float
    high: float


def alternate(
    pieces: Mapping[str, Work],
    *,
    rounds: int,
    budget: float,
    least: float = 1.0,
    is_warm: bool = False,
) -> dict[str, list[float]]:
    """Seconds a call of each piece, one number a round, after one call that does not count.

    Args:
        pieces: What to time, under its name.
        rounds: Rounds wanted, at least 1.
        budget: Seconds, the first call included, that no round but the first may overrun.
        least: Seconds for which a piece is called again within its turn.
        is_warm: Whether the call that does not count was made already, where it would be long.
    """
    begin = time.perf_counter()
    for work in () if is_warm else pieces.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in pieces}
    longest = 0.0
    for done in range(rounds):
        start = time.perf_counter()
        if done and start - begin + longest > budget:
            break
        for name, work in pieces.items():
            seconds[name].append(_seconds_a_call(work, least))
        longest = max(longest, time.perf_counter() - start)
    return seconds


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Ratio:
    """How many times the numerator is the denominator, round by round."""
    by_round = [above / below for above, below in zip(numerator, denominator, strict=True)]
    return Ratio(median(numerator) / median(denominator), min(by_round), max(by_round))


def _seconds_a_call(work: Work, least: float) -> float:
    begin, calls, elapsed = time.perf_counter(), 0, 0.0
    while elapsed < least:
        work()
        calls += 1
        elapsed = time.perf_counter() - begin
    return elapsed / calls
