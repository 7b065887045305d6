"""What the answers to one set, asked in several orders, say together.

A language model prefers places as well as replies, so a set is asked in an order and in its
reverse. The merged tiers order two replies only if every answer does, strictly and alike. Such
pairs alone are no ranking, because "not ordered" need not be transitive: so replies that a chain
of unordered pairs connects share a tier. That is the finest ranking with ties that holds no order
which an answer lacks. It can lose an order that all answers share (a over c, where a against b and
b against c are contradicted); it cannot invent one.

Example: A > B > C > D and B > A > D > C make {A, B} > {C, D}; an order and its reverse, all tied.

Omitted on purpose: votes over many answers; two are no majority.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from data.rankers.judge_budget import Tally
from data.rankers.judge_prompt import Answer
from data.rankers.noise import Tiers, compare


class Verdict(NamedTuple):
    """The one answer to a set.

    Attributes:
        outcome: As in ranking/1.
        tiers: Of all responses; empty unless ranked.
        skip_reason: Why it was skipped; None otherwise.
    """

    outcome: Literal["ranked", "not_rankable", "skipped"]
    tiers: Tiers
    skip_reason: str | None


def skip(reason: str) -> Verdict:
    """A verdict without a ranking."""
    return Verdict(outcome="skipped", tiers={}, skip_reason=reason)


def merge(answers: Sequence[Answer]) -> Verdict:
    """The one answer.

    Args:
        answers: All answers to a set, at least one.

    Returns:
        Ranked where all rank, not rankable where all find nothing acceptable, skipped otherwise.
    """
    outcomes = {it.outcome for it in answers}
    if "refused" in outcomes:
        return skip("judge_refused")
    if len(outcomes) > 1:
        return skip("judge_inconsistent")
    if outcomes == {"none_acceptable"}:
        return Verdict(outcome="not_rankable", tiers={}, skip_reason=None)
    tiers = merge_tiers([it.tiers for it in answers])
    return Verdict(outcome="ranked", tiers=tiers, skip_reason=None)


def merge_tiers(votes: Sequence[Mapping[str, int]]) -> Tiers:
    """The finest tiers that order no pair which a vote ties or orders otherwise.

    Args:
        votes: Tiers of the same responses, at least one vote.

    Returns:
        Dense tiers, 1 = best, in order of the ids.
    """
    # Whoever is better in every vote has the lower sum, so tiers are runs of this order.
    order = sorted(votes[0], key=lambda it: (sum(vote[it] for vote in votes), it))
    tiers, tier = {order[0]: 1}, 1
    for place in range(1, len(order)):
        above, below = order[:place], order[place:]
        tier += all(max(vote[it] for it in above) < min(vote[it] for it in below) for vote in votes)
        tiers[order[place]] = tier
    return dict(sorted(tiers.items()))


def count_positions(
    orders: Sequence[Sequence[str]], votes: Sequence[Mapping[str, int]], merged: Mapping[str, int]
) -> Tally:
    """Counts one ranked set.

    Args:
        orders: Response ids as each question showed them.
        votes: Tiers of the answer to each.
        merged: What merge_tiers made of them.
    """
    strict = first = 0
    for order, vote in zip(orders, votes, strict=True):
        for earlier, later in combinations(order, 2):
            strict += vote[earlier] != vote[later]
            first += vote[earlier] < vote[later]
    both = compare(votes[0], votes[1]) if len(votes) == 2 else None
    return Tally(
        strict=strict,
        first=first,
        twice=both.total if both else 0,
        alike=both.alike if both else 0,
        tied=sum(
            merged[one] == merged[other] and any(vote[one] != vote[other] for vote in votes)
            for one, other in combinations(sorted(merged), 2)
        ),
    )
