"""The answer inside a ranking: tiers, quality scores and flags of the responses of one set.

A tier is 1 for the best; equal tiers are a tie; tiers are dense (1, 2, 2, 3). Coverage says what
the absent responses mean: full = none is absent, top = the ranked ones beat every absent one,
subset = nothing is said about the absent ones.
"""

from collections.abc import Iterable
from typing import Any

from data.fields import require_object, shorten, wrong_type
from data.jsonl import RowError

COVERAGES = ("full", "top", "subset")
QUALITY_RANGE = (1, 7)
FLAGS = frozenset(
    {
        "fails_instruction",
        "inappropriate",
        "hallucination",
        "violates_constraint",
        "sexual",
        "violent",
        "encourages_harm",
        "denigrates",
        "harmful_advice",
        "opinion",
        "moral_judgement",
        "names_itself",
    }
)


def parse_tiers(
    row: dict[str, Any], outcome: str, response_ids: frozenset[str], *, allow_top: bool = True
) -> tuple[str | None, dict[str, int]]:
    """Read coverage and tiers of a ranking row.

    Args:
        row: The row; `tiers` may name a response with null, which means not ranked.
        outcome: ranked, skipped or not_rankable; the latter two carry no tiers.
        response_ids: The responses of the set.
        allow_top: Whether responses may be left unranked.

    Returns:
        Coverage (None unless ranked), and response id -> tier of the ranked responses.

    Raises:
        RowError: TIERS_ON_SKIP, BAD_COVERAGE, EMPTY_RANKING, FOREIGN_RESPONSE, INCOMPLETE,
            TIER_TYPE, TIER_RANGE or TIER_GAP.
    """
    sent = require_object(row, "tiers")
    if outcome != "ranked":
        if sent:
            raise RowError("TIERS_ON_SKIP", "tiers", f"outcome is {outcome} but tiers were sent")
        return None, {}
    missing = [name for name in ("coverage", "tiers") if name not in row]
    if missing:
        raise RowError("MISSING_FIELD", missing[0], f"missing: {', '.join(missing)}")
    coverage = row["coverage"]
    if coverage not in COVERAGES:
        message = f"coverage is {shorten(coverage)}; use full, top or subset"
        raise RowError("BAD_COVERAGE", "coverage", message)
    if coverage != "full" and not allow_top:
        message = f"coverage is {coverage!r}, but these sets are to be ranked in full"
        raise RowError("BAD_COVERAGE", "coverage", message)
    tiers = sent
    if coverage != "full":
        tiers = {name: tier for name, tier in sent.items() if tier is not None}
    _check_names(sent, "tiers", row["set_id"], response_ids)
    _check_coverage(tiers, coverage, response_ids)
    _check_values(tiers, len(response_ids))
    return coverage, tiers


def parse_quality(row: dict[str, Any], response_ids: frozenset[str]) -> dict[str, int]:
    """Read the optional quality scores, 1 (worst) to 7.

    Raises:
        RowError: FOREIGN_RESPONSE or QUALITY_RANGE.
    """
    if "quality" not in row:
        return {}
    quality = require_object(row, "quality")
    _check_names(quality, "quality", row["set_id"], response_ids)
    low, high = QUALITY_RANGE
    for name, score in quality.items():
        if type(score) is not int or not low <= score <= high:
            message = f"quality must be an integer {low}..{high}, found {shorten(score)}"
            raise RowError("QUALITY_RANGE", f"quality.{name}", message)
    return quality


def parse_flags(row: dict[str, Any], response_ids: frozenset[str]) -> dict[str, list[str]]:
    """Read the optional flags, each from the closed list FLAGS.

    Raises:
        RowError: FOREIGN_RESPONSE or UNKNOWN_FLAG.
    """
    if "flags" not in row:
        return {}
    flags = require_object(row, "flags")
    _check_names(flags, "flags", row["set_id"], response_ids)
    for name, words in flags.items():
        if not isinstance(words, list):
            raise wrong_type(f"flags.{name}", "a list", words)
        for word in words:
            if not isinstance(word, str) or word not in FLAGS:
                shown = word if isinstance(word, str) and len(word) <= 40 else shorten(word)
                raise RowError("UNKNOWN_FLAG", f"flags.{name}", f"unknown flag: {shown}")
    return flags


def _check_names(
    named: Iterable[str], field: str, set_id: str, response_ids: frozenset[str]
) -> None:
    if not response_ids.issuperset(named):
        foreign = sorted(set(named) - response_ids)
        message = f"not in {set_id}: {', '.join(name[:40] for name in foreign[:9])}"
        raise RowError("FOREIGN_RESPONSE", field, message)


def _check_coverage(tiers: dict[str, int], coverage: str, response_ids: frozenset[str]) -> None:
    if not tiers:
        raise RowError("EMPTY_RANKING", "tiers", "no response was ranked")
    absent = sorted(response_ids - tiers.keys()) if len(tiers) < len(response_ids) else []
    if coverage == "full" and absent:
        raise RowError("INCOMPLETE", "tiers", f"full ranking without: {', '.join(absent)}")
    if coverage == "subset" and len(tiers) == 1:
        raise RowError("EMPTY_RANKING", "tiers", "subset ranking needs more responses")
    if coverage != "full" and not absent:
        message = f"coverage is {coverage!r} but every response is ranked"
        raise RowError("BAD_COVERAGE", "coverage", message)


def _check_values(tiers: dict[str, int], count_responses: int) -> None:
    for name, tier in tiers.items():
        if type(tier) is not int:
            message = f"rank must be an integer, found {shorten(tier)}"
            raise RowError("TIER_TYPE", f"tiers.{name}", message)
        if not 1 <= tier <= count_responses:
            message = f"rank {tier} is outside 1..{count_responses}"
            raise RowError("TIER_RANGE", f"tiers.{name}", message)
    distinct = set(tiers.values())
    if max(distinct) != len(distinct):
        message = f"ranks {sorted(tiers.values())} leave a gap; use 1,2,2,3"
        raise RowError("TIER_GAP", "tiers", message)
