"""Pairs of a snapshot by plain loops and exact fractions, in both modes of data.pairs."""

from collections import defaultdict
from fractions import Fraction
from itertools import combinations, permutations
from math import comb, floor
from typing import Any, NamedTuple

from tests.oracles.ranking_statistics import Answer, answers_of
from tests.snapshots import Snapshot

Key = tuple[str, str, str]


class Pair(NamedTuple):
    """What a row of pairs must say beside its key."""

    tier_gap: int
    weight: Fraction


def raw_pairs(snapshot: Snapshot) -> dict[Key, Pair]:
    """(ranking's set and annotator, chosen, rejected) of every strict pair."""
    found = {}
    for answer, weight in training(snapshot):
        for a, b in permutations(sorted(answer.ids), 2):
            lead = lead_of(answer, a, b)
            if lead is not None and lead > 0:
                found[f"{answer.set_id} {answer.annotator}", a, b] = Pair(lead, weight)
    return found


def consensus_pairs(snapshot: Snapshot, min_votes: int, min_lean: Fraction) -> dict[Key, Pair]:
    """(prompt, chosen, rejected) where enough rankings lean far enough to one side."""
    prompt_of = {row[0]: row[1] for row in snapshot.tables["ranking_set"]}
    votes: dict[Key, list[tuple[int, Fraction]]] = defaultdict(list)
    for answer, weight in training(snapshot):
        for a, b in combinations(sorted(answer.ids), 2):
            lead = lead_of(answer, a, b)
            if lead is not None:
                votes[prompt_of[answer.set_id], a, b].append((lead, weight))
    found = {}
    for (prompt, a, b), cast in votes.items():
        ahead = sum(Fraction(1 if lead > 0 else 0) + Fraction(lead == 0, 2) for lead, _ in cast)
        share = Fraction(ahead, len(cast))
        if len(cast) >= min_votes and abs(share - Fraction(1, 2)) >= min_lean:
            gap = max(
                1, floor(Fraction(sum(abs(lead) for lead, _ in cast), len(cast)) + Fraction(1, 2))
            )
            weight = sum(weight for _, weight in cast) * abs(2 * share - 1)
            ends = (a, b) if share > Fraction(1, 2) else (b, a)
            found[prompt, *ends] = Pair(gap, Fraction(weight))
    return found


def training(snapshot: Snapshot) -> list[tuple[Answer, Fraction]]:
    """Rankings that train, each with the weight of its pairs; wholly tied ones are counted."""
    prompt_of: dict[str, Any] = {row[0]: row[1] for row in snapshot.tables["ranking_set"]}
    answers = [it for it in answers_of(snapshot) if it.trains]
    prompts = [prompt_of[it.set_id] for it in answers]
    return [
        (it, Fraction(1, comb(len(it.ids), 2) * prompts.count(prompt)))
        for it, prompt in zip(answers, prompts, strict=True)
    ]


def lead_of(answer: Answer, a: str, b: str) -> int | None:
    """How many tiers a is above b; None where the ranking does not compare them."""
    after_last = max(answer.tiers.values()) + 1
    if a not in answer.tiers and b not in answer.tiers:
        return None
    if answer.coverage != "top" and not {a, b} <= answer.tiers.keys():
        return None
    return answer.tiers.get(b, after_last) - answer.tiers.get(a, after_last)
