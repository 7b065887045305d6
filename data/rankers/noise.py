"""A noisy opinion of gold, and how much noise makes it right as often as wanted.

An annotator sees gold + sigma * z for each tier of gold and ranks by that, with

    z = sqrt(c) * z_all + sqrt(1 - c) * z_own,    z_all, z_own ~ N(0, 1),

where z_all is the same for all annotators. One draw a tier, so that responses which gold ties stay
tied. Draws are functions of (seed, annotator, set, response) alone: the same in any order of the
sets, and the same for every sigma that calibration tries, which makes agreement an almost monotone
function of sigma.

Omitted on purpose: who ranks which set (see simulated.py).
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import NormalDist
from typing import NamedTuple

from data.rankers.config import RankConfig

# Gold has few decimals, its differences have rounding errors: 0.9 - 0.8 must reach a gap of 0.1.
_ROUNDING = 1e-9
_MAX_SIGMA = 1e4
_BISECTIONS = 40

Tiers = dict[str, int]


class Pairs(NamedTuple):
    """Pairs that two annotators both order strictly.

    Attributes:
        alike: Those ordered alike.
        total: All of them.
    """

    alike: int
    total: int

    @property
    def agreement(self) -> float | None:
        """The share ordered alike; None without any pair."""
        return self.alike / self.total if self.total else None


class Opinion(NamedTuple):
    """One set in the eyes of one annotator.

    Attributes:
        gold: Gold of each response.
        tiers: Gold's own tiers.
        noise: z of each response; equal within a tier of gold.
    """

    gold: Mapping[str, float]
    tiers: Tiers
    noise: Mapping[str, float]


def is_strict(a: float, b: float, tie_gap: float) -> bool:
    """Whether two scores differ by the tie gap at least; equal ones never do."""
    return abs(a - b) >= max(tie_gap - _ROUNDING, _ROUNDING)


def gold_tiers(gold: Mapping[str, float], tie_gap: float) -> Tiers:
    """Ranks by gold, close ones tied.

    Args:
        gold: Score of each response.
        tie_gap: A tier ends before the first response whose gap to the tier's best reaches this,
            which makes ties transitive.

    Returns:
        Dense tiers, 1 = best, in order of the ids.
    """
    tiers: Tiers = {}
    tier, best = 0, float("inf")
    for response in sorted(gold, key=lambda it: (-gold[it], it)):
        if is_strict(best, gold[response], tie_gap):
            tier, best = tier + 1, gold[response]
        tiers[response] = tier
    return dict(sorted(tiers.items()))


def compare(ours: Mapping[str, int], theirs: Mapping[str, int]) -> Pairs:
    """Counts the pairs of responses that both tierings order strictly."""
    signs = [
        (ours[one] - ours[other]) * (theirs[one] - theirs[other])
        for one, other in combinations(sorted(ours), 2)
    ]
    return Pairs(alike=sum(sign > 0 for sign in signs), total=sum(sign != 0 for sign in signs))


def add_pairs(counts: Iterator[Pairs]) -> Pairs:
    """The sum over sets."""
    alike = total = 0
    for pairs in counts:
        alike, total = alike + pairs.alike, total + pairs.total
    return Pairs(alike=alike, total=total)


def form_opinion(
    gold: Mapping[str, float], config: RankConfig, *, seed: int, annotator: str, set_id: str
) -> Opinion:
    """Draws an annotator's noise for one set.

    Args:
        gold: Score of each response.
        config: Its tie_gap and common_noise.
        seed: The run's seed.
        annotator: Which annotator; a stable name other than "all".
        set_id: Which set.

    Returns:
        Gold, its tiers and the noise, which is drawn for the first id of each tier.
    """
    tiers = gold_tiers(gold, config.tie_gap)
    common, own = math.sqrt(config.common_noise), math.sqrt(1.0 - config.common_noise)
    first = {tier: response for response, tier in reversed(tiers.items())}
    noise = {
        response: common * _normal(f"noise|{seed}|all|{set_id}|{first[tier]}")
        + own * _normal(f"noise|{seed}|{annotator}|{set_id}|{first[tier]}")
        for response, tier in tiers.items()
    }
    return Opinion(gold=gold, tiers=tiers, noise=noise)


def rank(opinion: Opinion, sigma: float) -> Tiers:
    """The annotator's tiers: those of gold, in the order of their best gold + sigma * z."""
    best: dict[int, float] = {}
    for response, tier in opinion.tiers.items():
        best[tier] = max(best.get(tier, float("-inf")), opinion.gold[response])
    seen = {
        tier: best[tier] + sigma * opinion.noise[response]
        for response, tier in opinion.tiers.items()
    }
    place = {
        tier: index
        for index, tier in enumerate(sorted(seen, key=lambda tier: (-seen[tier], tier)), start=1)
    }
    return {response: place[tier] for response, tier in opinion.tiers.items()}


def agreement_with_gold(opinions: Sequence[Opinion], sigma: float) -> Pairs:
    """Strict pairs of gold that the annotator orders as gold does."""
    return add_pairs(compare(opinion.tiers, rank(opinion, sigma)) for opinion in opinions)


def calibrate(opinions: Sequence[Opinion], accuracy: float) -> float:
    """The noise with which an annotator agrees with gold as often as wanted.

    Args:
        opinions: The sets that the annotator will rank.
        accuracy: Wanted share of gold's strict pairs ordered alike, in (0.5, 1].

    Returns:
        Sigma >= 0, in units of gold; 0 where there is no strict pair.
    """

    def agreement(sigma: float) -> float:
        share = agreement_with_gold(opinions, sigma).agreement
        return 1.0 if share is None else share

    if accuracy >= 1.0 or agreement_with_gold(opinions, 0.0).total == 0:
        return 0.0
    low, high = 0.0, 1.0
    while agreement(high) > accuracy and high < _MAX_SIGMA:
        low, high = high, 2.0 * high
    low, high = _bisect(agreement, accuracy, low, high)
    return min((low, high), key=lambda sigma: abs(agreement(sigma) - accuracy))


def _bisect(
    agreement: Callable[[float], float], accuracy: float, low: float, high: float
) -> tuple[float, float]:
    """Narrows [low, high] around a crossing of the wanted accuracy."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if agreement(middle) > accuracy:
            low = middle
        else:
            high = middle
    return low, high


def _normal(key: str) -> float:
    """A standard normal number that depends on the key alone."""
    digest = hashlib.sha256(key.encode()).digest()
    # Half a step keeps the position inside (0, 1), where the quantile is finite.
    position = (int.from_bytes(digest[:6], "big") + 0.5) / 2**48
    return NormalDist().inv_cdf(position)
