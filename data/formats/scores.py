"""Scores at the door: numbers within a declared range, and grades in words.

Omitted on purpose: which way is better, which a file cannot say (ReadOptions.is_higher_better).
"""

import math
from collections.abc import Mapping, Sequence

from data.fields import shorten
from data.jsonl import RowError

# Of one place each: a grade in words is as good as its place from the end.
GRADES = (("good", "好"), ("fine", "不错"), ("fair", "一般"), ("poor", "差"))


def read_score(value: object, field: str, score_range: tuple[float, float] | None) -> float:
    """Return a score.

    Raises:
        RowError: BAD_SCORE if it is no finite number, or outside the range.
    """
    name = field.rpartition(".")[2]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RowError("BAD_SCORE", field, f"{name} must be a number, found {shorten(value)}")
    if score_range is not None and not score_range[0] <= value <= score_range[1]:
        low, high = score_range
        raise RowError("BAD_SCORE", field, f"{name} {value:g} is outside {low:g}..{high:g}")
    return float(value)


def grade_places(order: Sequence[str]) -> dict[str, int]:
    """Return word -> place, 1 = best: of the words given, or of those that everybody knows."""
    if order:
        return {word: place for place, word in enumerate(order, start=1)}
    return {word: place for place, words in enumerate(GRADES, start=1) for word in words}


def read_grade(value: str, field: str, places: Mapping[str, int]) -> int:
    """Return the place of a grade in words.

    Raises:
        RowError: BAD_SCORE if the word has none.
    """
    word = value.strip()
    place = places.get(word, places.get(word.casefold()))
    if place is None:
        known = ", ".join(places)
        raise RowError("BAD_SCORE", field, f"unknown grade {shorten(value)}; known: {known}")
    return place
