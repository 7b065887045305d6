"""Several noisy annotators who rank by gold, and what they write: ranking/1 rows.

Each agrees with gold on a given share of gold's strict pairs, measured on the sets that this
annotator ranks. Most sets have one annotator, some have several, so that agreement between
annotators can be measured as it is with people. Ids, times and display orders are hashes: the same
sets, config and seed give the same bytes, whatever the order of the sets.

Omitted on purpose: annotators with habits (first shown, longest), drift and fatigue, and skips.

References:
    Ouyang et al. 2022, Training language models to follow instructions with human feedback,
    section 3.4: labellers agree with each other 72.6 % of the time.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from data.identity import canonical_json
from data.rankers.config import RankConfig
from data.rankers.noise import (
    Opinion,
    Tiers,
    add_pairs,
    agreement_with_gold,
    calibrate,
    compare,
    form_opinion,
    rank,
)
from data.sets import ResponseSet

UI_VERSION = "simulated/1"

_EPOCH = datetime(2025, 1, 1, 9, tzinfo=UTC)
_MS_PER_CHARACTER = 45
_MS_PER_RESPONSE = 3000
_MAX_PAUSE_MS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorReport:
    """What became of one annotator.

    Attributes:
        annotator_id: As in the rankings.
        target: Wanted share of gold's strict pairs ordered as gold does.
        agreement: The measured share; None without a strict pair.
        sigma: Noise that gives it, in units of gold.
        count_sets: Sets ranked.
        count_pairs: Gold's strict pairs in them.
    """

    annotator_id: str
    target: float
    agreement: float | None
    sigma: float
    count_sets: int
    count_pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRankings:
    """The outcome.

    Attributes:
        rows: ranking/1 rows, ordered by annotator, then as ranked.
        annotators: A report on each annotator.
        mutual_agreement: Share of pairs ordered alike, mean over the pairs of annotators who share
            sets; None if none do.
        count_shared: Sets that several annotators ranked.
    """

    rows: tuple[dict[str, Any], ...]
    annotators: tuple[AnnotatorReport, ...]
    mutual_agreement: float | None
    count_shared: int


def rank_sets(
    sets: Sequence[ResponseSet], gold: Mapping[str, float], config: RankConfig, *, seed: int
) -> SimulatedRankings:
    """Has every set ranked.

    Args:
        sets: What to rank, in any order.
        gold: Score of each response, by response id.
        config: Accuracies, ties and sharing.
        seed: Changes noise and who ranks what.

    Returns:
        Rankings and a report.
    """
    rows: list[dict[str, Any]] = []
    reports: list[AnnotatorReport] = []
    answers: list[dict[str, Tiers]] = []
    work = zip(assign(sets, config, seed=seed), config.annotators, strict=True)
    for index, (own_sets, target) in enumerate(work):
        opinions = [_opinion(it, gold, config, seed, index) for it in own_sets]
        sigma = calibrate(opinions, target)
        tiers = [rank(opinion, sigma) for opinion in opinions]
        own = {it.set_id: tiers_of for it, tiers_of in zip(own_sets, tiers, strict=True)}
        name = _annotator_id(index, own)
        rows.extend(_rows(name, own_sets, tiers))
        reports.append(_report(name, target, sigma, opinions))
        answers.append(own)
    count_answers = sum(len(own) for own in answers)
    return SimulatedRankings(
        rows=tuple(rows),
        annotators=tuple(reports),
        mutual_agreement=mutual_agreement(answers),
        count_shared=(count_answers - len(sets)) // max(config.shared_by - 1, 1),
    )


def assign(
    sets: Sequence[ResponseSet], config: RankConfig, *, seed: int
) -> list[list[ResponseSet]]:
    """Deals the sets out.

    Args:
        sets: All sets, each once.
        config: Number of annotators, shared_fraction and shared_by.
        seed: Changes who gets what.

    Returns:
        The sets of each annotator; equal loads but for one set or two. Each set has one annotator,
        each shared one shared_by of them.
    """
    count = len(config.annotators)
    dealt = sorted(sets, key=lambda it: _digest(f"assign|{seed}|{it.set_id}"))
    count_shared = round(config.shared_fraction * len(dealt))
    work: list[list[ResponseSet]] = [[] for _ in range(count)]
    for index, response_set in enumerate(dealt):
        takers = config.shared_by if index < count_shared else 1
        for offset in range(takers):
            work[(index + offset) % count].append(response_set)
    return work


def mutual_agreement(answers: Sequence[Mapping[str, Tiers]]) -> float | None:
    """Agreement between annotators.

    Args:
        answers: Tiers by set id, of each annotator.

    Returns:
        Share of pairs ordered alike among those that both order strictly, mean over the pairs of
        annotators with any; None if there are none.
    """
    shares = []
    for ours, theirs in combinations(answers, 2):
        shared = sorted(ours.keys() & theirs.keys())
        share = add_pairs(compare(ours[it], theirs[it]) for it in shared).agreement
        if share is not None:
            shares.append(share)
    return sum(shares) / len(shares) if shares else None


def _annotator_id(index: int, answers: Mapping[str, Tiers]) -> str:
    """An id that names what this annotator said.

    Any change of sets, config, seed, gold or code that changes an answer makes another annotator:
    under one id they would give one set two answers, which the ledger refuses.
    """
    return f"sim_{index + 1}_{_digest(canonical_json([index, answers]))[:12]}"


def _opinion(
    response_set: ResponseSet, gold: Mapping[str, float], config: RankConfig, seed: int, index: int
) -> Opinion:
    """One annotator's view of one set."""
    scores = {it.response_id: gold[it.response_id] for it in response_set.responses}
    return form_opinion(scores, config, seed=seed, annotator=str(index), set_id=response_set.set_id)


def _report(name: str, target: float, sigma: float, opinions: Sequence[Opinion]) -> AnnotatorReport:
    """Measures what calibration reached."""
    pairs = agreement_with_gold(opinions, sigma)
    return AnnotatorReport(
        annotator_id=name,
        target=target,
        agreement=pairs.agreement,
        sigma=sigma,
        count_sets=len(opinions),
        count_pairs=pairs.total,
    )


def _rows(
    annotator: str, sets: Sequence[ResponseSet], tiers: Sequence[Tiers]
) -> Iterator[dict[str, Any]]:
    """One annotator's rows, one set after the other on a clock that starts at a fixed time."""
    clock = _EPOCH
    for response_set, own in zip(sets, tiers, strict=True):
        key = f"{annotator}|{response_set.set_id}"
        active_ms = _active_ms(response_set, key)
        started_at = clock + timedelta(milliseconds=_jitter(f"pause|{key}"))
        submitted_at = started_at + timedelta(milliseconds=active_ms)
        yield {
            "schema": "ranking/1",
            "event_id": str(uuid5(NAMESPACE_OID, f"simulated|{key}")),
            "set_id": response_set.set_id,
            "annotator_id": annotator,
            "revision": 1,
            "outcome": "ranked",
            "coverage": "full",
            "tiers": own,
            "display_order": sorted(own, key=lambda it: _digest(f"display|{key}|{it}")),
            "quality": {},
            "flags": {},
            "touched": True,
            "shown_sha256": response_set.shown_sha256,
            "started_at": started_at.isoformat(timespec="milliseconds"),
            "submitted_at": submitted_at.isoformat(timespec="milliseconds"),
            "active_ms": active_ms,
            "ui_version": UI_VERSION,
        }
        clock = submitted_at


def _active_ms(response_set: ResponseSet, key: str) -> int:
    """Reading time of a careful person, counted by characters: not every script has spaces."""
    texts = [turn["content"] for turn in response_set.messages]
    texts += [it.text for it in response_set.responses]
    reading = _MS_PER_CHARACTER * sum(len(text) for text in texts)
    return reading + _MS_PER_RESPONSE * len(response_set.responses) + _jitter(f"active|{key}")


def _jitter(key: str) -> int:
    """Up to five seconds that depend on the key alone."""
    return int(_digest(key)[:8], 16) % _MAX_PAUSE_MS


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
