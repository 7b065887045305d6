"""UltraFeedback: several completions with scores, and its binarized form.

Raw rows are ranked by overall_score, else by fine-grained_score, else by the mean of the ratings of
the aspects; equal scores are a tie. Of binarized rows the pair counts, and equal scores are a tie.
A score that contradicts the others by more than half of its range waits for a person: the published
data once held 2,628 completions with 10 where 1 was meant.

Omitted on purpose: the system prompts, which differ between the completions of one row, critiques,
and the principles.

References:
    Cui et al. 2023, UltraFeedback, arXiv:2310.01377.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from data.formats.hh_rlhf import split_pair
from data.formats.items import (
    UNKNOWN,
    Answer,
    Candidate,
    Format,
    Item,
    ReadOptions,
    dense_tiers,
    field_of,
    object_of,
    objects_of,
    read_items,
    text_of,
)
from data.formats.preferences import pair_answer
from data.formats.scores import read_score
from data.formats.source import Record
from data.formats.trl import last_reply
from data.jsonl import RowError

ANNOTATOR = "ultrafeedback"
OVERALL_RANGE, RATING_RANGE = (1.0, 10.0), (1.0, 5.0)
_SCORES = (("overall_score", OVERALL_RANGE), ("fine-grained_score", RATING_RANGE))


def _completions(row: Mapping[str, Any], annotator: str, *, is_higher_better: bool) -> Answer:
    instruction = text_of(row, "instruction")
    completions = objects_of(row, "completions")
    if not completions:
        raise RowError("K_RANGE", "completions", "0 distinct responses; a set needs 2 to 9")
    paths = [f"completions.{index}" for index in range(len(completions))]
    candidates = [
        Candidate(
            str(index),
            text_of(one, "response", path),
            model if isinstance(model := one.get("model"), str) and model else UNKNOWN,
        )
        for index, (one, path) in enumerate(zip(completions, paths, strict=True))
    ]
    scores = _scores(completions, paths)
    doubts = [_doubt(one, path) for one, path in zip(completions, paths, strict=True)]
    return Answer(
        annotator=annotator,
        messages=[{"role": "user", "content": instruction}],
        candidates=tuple(candidates),
        tiers=dense_tiers(scores, is_higher_better=is_higher_better),
        is_order_known=False,
        doubt=next((doubt for doubt in doubts if doubt is not None), None),
    )


def _scores(completions: list[dict[str, Any]], paths: list[str]) -> dict[str, float]:
    """Score of each completion: of the first kind of score that any of them has."""
    for name, score_range in _SCORES:
        if any(name in one for one in completions):
            return {
                str(index): read_score(one.get(name), f"{path}.{name}", score_range)
                for index, (one, path) in enumerate(zip(completions, paths, strict=True))
            }
    scores = [_mean_rating(one, path) for one, path in zip(completions, paths, strict=True)]
    missing = next((path for path, it in zip(paths, scores, strict=True) if it is None), None)
    if missing is not None:
        message = "there is neither overall_score nor fine-grained_score nor a rating"
        raise RowError("BAD_SCORE", missing, message)
    return {str(index): score for index, score in enumerate(scores) if score is not None}


def _mean_rating(completion: Mapping[str, Any], path: str) -> float | None:
    """Mean of the ratings of the aspects, which are numbers in strings; None without any."""
    annotations = object_of(completion.get("annotations", {}), f"{path}.annotations")
    ratings = []
    for aspect, annotation in annotations.items():
        field = f"{path}.annotations.{aspect}"
        rating = object_of(annotation, field).get("Rating", "N/A")
        if rating != "N/A":
            number = int(rating) if _is_digit(rating) else rating
            ratings.append(read_score(number, f"{field}.Rating", RATING_RANGE))
    return fmean(ratings) if ratings else None


def _is_digit(rating: object) -> bool:
    return isinstance(rating, str) and len(rating) == 1 and rating.isascii() and rating.isdigit()


def _doubt(completion: Mapping[str, Any], path: str) -> RowError | None:
    if "overall_score" not in completion:
        return None
    overall = read_score(completion["overall_score"], f"{path}.overall_score", OVERALL_RANGE)
    fine = completion.get("fine-grained_score", _mean_rating(completion, path))
    if fine is None:
        return None
    mean = read_score(fine, f"{path}.fine-grained_score", RATING_RANGE)
    gap = _share(overall, OVERALL_RANGE) - _share(mean, RATING_RANGE)
    if abs(gap) <= 0.5:
        return None
    message = f"overall {overall:g}, fine-grained mean {mean:g}"
    return RowError("SCORE_CONTRADICTION", f"{path}.overall_score", message)


def _share(score: float, score_range: tuple[float, float]) -> float:
    low, high = score_range
    return (score - low) / (high - low)


def _binarized(row: Mapping[str, Any], annotator: str, *, is_higher_better: bool) -> Answer:
    chosen, rejected = objects_of(row, "chosen"), objects_of(row, "rejected")
    scores = [
        read_score(field_of(row, name), name, OVERALL_RANGE)
        for name in ("score_chosen", "score_rejected")
    ]
    better, worse = scores if is_higher_better else reversed(scores)
    doubt = None
    if better < worse:
        message = f"chosen scores {scores[0]:g}, rejected {scores[1]:g}"
        doubt = RowError("SCORE_CONTRADICTION", "score_chosen", message)
    return pair_answer(
        split_pair(chosen, rejected),
        last_reply(chosen, "chosen"),
        last_reply(rejected, "rejected"),
        annotator=annotator,
        generators=(UNKNOWN, UNKNOWN),
        is_tie=scores[0] == scores[1],
        doubt=doubt,
    )


def _matches(row: Mapping[str, Any]) -> bool:
    is_raw = {"instruction", "completions"} <= row.keys()
    return is_raw or {"chosen", "rejected", "score_chosen"} <= row.keys()


def _read(path: Path, options: ReadOptions) -> Iterator[Item]:
    is_higher_better = options.is_higher_better(path)

    def convert(record: Record) -> Iterator[Answer]:
        read = _completions if "completions" in record.row else _binarized
        yield read(record.row, options.annotator or ANNOTATOR, is_higher_better=is_higher_better)

    return read_items(path, convert)


FORMAT = Format(
    "ultrafeedback",
    "UltraFeedback: completions with scores, or binarized; JSON lines; needs --direction",
    _matches,
    _read,
    is_pairs=True,
)
