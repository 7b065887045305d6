"""The figures of data.statistics by plain loops over the rows of a snapshot, without intervals.

Shares nothing with the code under test: no SQL, no numpy; tau-b is scipy's, alpha krippendorff's.
"""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import krippendorff
from scipy.stats import kendalltau, rankdata

from tests.snapshots import Snapshot

Order = dict[tuple[str, str], int]  # (first, second) -> 1, 0, -1: the first is better, tied, worse


@dataclass
class Answer:
    """A current answer with what is known of its set."""

    set_id: str
    annotator: str
    outcome: str
    coverage: str | None
    active_ms: int
    purpose: str
    retest_of: str | None
    ids: list[str]
    tiers: dict[str, int]
    position: dict[str, int]

    @property
    def trains(self) -> bool:
        return self.outcome == "ranked" and self.purpose in ("main", "overlap")

    @property
    def order(self) -> Order:
        """Every pair that it compares; what a `top` ranking leaves out is below what it ranks."""
        found: Order = {}
        for a, b in combinations(sorted(self.ids), 2):
            first, second = self.tiers.get(a), self.tiers.get(b)
            if first is not None and second is not None:
                found[a, b] = (second > first) - (second < first)
            elif self.coverage == "top" and (first is not None or second is not None):
                found[a, b] = 1 if first is not None else -1
        return found if self.outcome == "ranked" else {}


def answers_of(snapshot: Snapshot) -> list[Answer]:
    """The answers with the highest revision of their set and annotator."""
    sets = {row[0]: row for row in snapshot.tables["ranking_set"]}
    newest: dict[tuple[str, str], Any] = {}
    for row in snapshot.tables["ranking"]:
        if row[3] > newest.get((row[1], row[2]), [0] * 4)[3]:
            newest[row[1], row[2]] = row
    answers = []
    for name, set_id, annotator, _, outcome, coverage, _, active_ms in newest.values():
        items = [row for row in snapshot.tables["ranking_item"] if row[0] == name]
        answers.append(
            Answer(
                set_id=set_id,
                annotator=annotator,
                outcome=outcome,
                coverage=coverage,
                active_ms=active_ms,
                purpose=sets[set_id][3],
                retest_of=sets[set_id][4],
                ids=[row[1] for row in items],
                tiers={row[1]: row[2] for row in items if row[2] is not None},
                position={row[1]: row[3] for row in items},
            )
        )
    return answers


def figures_of(snapshot: Snapshot, annotator: str | None = None) -> dict[str, float | None]:
    """Figures over all annotators, or of one; None where there is no data."""
    everyone = answers_of(snapshot)
    mine = [it for it in everyone if annotator in (None, it.annotator)]
    text = {row[0]: row[2] for row in snapshot.tables["response"]}
    generator = {row[0]: row[3] for row in snapshot.tables["response"]}
    orders = [(it, pair, sign) for it in mine if it.trains for pair, sign in it.order.items()]
    strict = [(it, *pair, sign) for it, pair, sign in orders if sign]
    unequal = [row for row in strict if len(text[row[1]]) != len(text[row[2]])]
    gold = [passed for it in mine if (passed := gold_passed(it, generator)) is not None]
    times = [it.active_ms / 1000 for it in mine if it.outcome == "ranked" and it.active_ms]
    return {
        "tie_rate": mean([sign == 0 for *_, sign in orders]),
        "earlier_wins": mean(
            [(it.position[a] < it.position[b]) == (sign > 0) for it, a, b, sign in strict]
        ),
        "longer_wins": mean(
            [(len(text[a]) > len(text[b])) == (sign > 0) for _, a, b, sign in unequal]
        ),
        "gold_passed": mean(gold),
        "retest_agreement": mean(list(retested(mine))),
        "skipped": mean([it.outcome == "skipped" for it in mine]),
        "not_rankable": mean([it.outcome == "not_rankable" for it in mine]),
        "seconds": statistics.median(times) if times else None,
    }


def gold_passed(answer: Answer, generator: dict[str, str]) -> bool | None:
    """Whether no damaged response is above a whole one; None if none is compared."""
    if answer.purpose != "gold":
        return None
    results = []
    for (a, b), sign in answer.order.items():
        damaged = [generator[one] == "damaged" for one in (a, b)]
        if damaged == [True, False]:
            results.append(sign <= 0)
        if damaged == [False, True]:
            results.append(sign >= 0)
    return all(results) if results else None


def retested(answers: list[Answer]) -> Iterator[bool]:
    """Of each pair that an annotator ordered twice, whether both times alike."""
    for then in answers:
        for now in answers:
            if now.retest_of == then.set_id and now.annotator == then.annotator:
                for pair, sign in now.order.items():
                    if sign * then.order.get(pair, 0):
                        yield sign == then.order[pair]


def agreement_of(snapshot: Snapshot, *, tau: bool) -> dict[str, float | None]:
    """Agreement between annotators, over all of them; tau-b of full rankings only."""
    both = list(shared(snapshot))
    by_pair: dict[tuple[str, str], list[bool]] = {}
    pooled, score, taus = [], [], []
    for ours, theirs in both:
        signs = [(ours.order[p], theirs.order[p]) for p in ours.order if p in theirs.order]
        alike = [x == y for x, y in signs if x * y]
        names = (ours.annotator, theirs.annotator)
        by_pair.setdefault((min(names), max(names)), []).extend(alike)
        pooled += alike
        score += [1 - abs(x - y) / 2 for x, y in signs]
        taus += [tau_b(ours, theirs)] if tau else []
    means = [m for alike in by_pair.values() if (m := mean(alike)) is not None]
    return {
        "mutual_agreement": mean(means),
        "mutual_agreement_pooled": mean(pooled),
        "tie_aware_agreement": mean(score),
        **({"tau_b": mean([one for one in taus if one is not None])} if tau else {}),
    }


def agreement_with_others(snapshot: Snapshot, annotator: str) -> float | None:
    """Pairs that an annotator orders as the others do, all together."""
    return mean(
        [
            ours.order[pair] == theirs.order[pair]
            for ours, theirs in shared(snapshot)
            if annotator in (ours.annotator, theirs.annotator)
            for pair in ours.order
            if ours.order[pair] * theirs.order.get(pair, 0)
        ]
    )


def shared(snapshot: Snapshot) -> Iterator[tuple[Answer, Answer]]:
    """Each two training rankings of one set."""
    for ours, theirs in combinations([it for it in answers_of(snapshot) if it.trains], 2):
        if ours.set_id == theirs.set_id:
            yield ours, theirs


def tau_b(ours: Answer, theirs: Answer) -> float | None:
    """By scipy, of two full rankings; None where one ties everything."""
    one = [ours.tiers[name] for name in ours.ids]
    two = [theirs.tiers[name] for name in ours.ids]
    if len(set(one)) == 1 or len(set(two)) == 1:
        return None
    return float(kendalltau(one, two).statistic)


def alpha_of(snapshot: Snapshot) -> float | None:
    """By the package krippendorff, of the mid-ranks of full rankings of one K."""
    answers = [it for it in answers_of(snapshot) if it.trains]
    names = sorted({it.annotator for it in answers})
    units = sorted({(it.set_id, one) for it in answers for one in it.ids})
    table = [[math.nan] * len(units) for _ in names]
    for it in answers:
        mid = rankdata([it.tiers[one] for one in it.ids])
        for one, rank in zip(it.ids, mid, strict=True):
            table[names.index(it.annotator)][units.index((it.set_id, one))] = float(rank)
    given = [[row[u] for row in table if not math.isnan(row[u])] for u in range(len(units))]
    pairable = {value for unit in given if len(unit) > 1 for value in unit}
    if len(pairable) < 2:
        return None
    return float(krippendorff.alpha(reliability_data=table, level_of_measurement="ordinal"))


def mean(values: list[Any]) -> float | None:
    return sum(values) / len(values) if values else None
