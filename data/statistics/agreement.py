"""How far annotators who ranked the same sets agree.

Pair agreement counts the pairs of responses that both annotators order strictly; a tie is no
opinion. Beside it stands tau-b, which punishes ties against strict orders, and a share that counts
such a pair half [1].

References:
    [1] Kendall 1945, The treatment of ties in ranking problems, Biometrika 33(3): tau-b.
    [2] Ouyang et al. 2022, Training language models to follow instructions with human feedback,
        arXiv:2203.02155, section 3.4: labellers agree 72.6 % of the time.
"""

import numpy as np

from data.statistics.figures import AnnotatorPair, Figure
from data.statistics.intervals import Integers, Resamples
from data.statistics.tables import Columns


def overall_agreement(shared: Columns, annotators: int, resamples: Resamples) -> dict[str, Figure]:
    """Agreement of all annotators with one another.

    Args:
        shared: One row per set and two annotators, see data/sql/statistics/agreement.sql.
        annotators: How many there are.
        resamples: Of the families.
    """
    family = shared["family_number"]
    owners, owner = _two_annotators(shared, annotators)
    alike, strict = shared["alike"], shared["ordered"]
    mean = resamples.mean_of_ratios(family, owner, len(owners), alike, strict)
    return {
        "mutual_agreement": mean,
        "mutual_agreement_pooled": resamples.ratio(family, alike, strict),
        "implied_accuracy": implied_accuracy(mean),
        "tie_aware_agreement": resamples.ratio(family, shared["score"], shared["compared"]),
        "tau_b": _tau_b(shared, resamples),
    }


def agreement_of_pairs(
    shared: Columns, annotator_ids: list[str], resamples: Resamples
) -> list[AnnotatorPair]:
    """Agreement of each two annotators who share strict pairs."""
    owners, owner = _two_annotators(shared, len(annotator_ids))
    figures = resamples.ratios(
        shared["family_number"], owner, len(owners), shared["alike"], shared["ordered"]
    )
    return [
        AnnotatorPair(first=annotator_ids[first], second=annotator_ids[second], agreement=figure)
        for (first, second), figure in zip(owners, figures, strict=True)
        if figure.n
    ]


def agreement_of_each(shared: Columns, annotators: int, resamples: Resamples) -> list[Figure]:
    """Agreement of each annotator with all who ranked the same sets, all pairs together."""
    columns = {
        name: np.concatenate([shared[name], shared[name]])
        for name in ("family_number", "alike", "ordered")
    }
    owner = np.concatenate([shared["first_annotator"], shared["second_annotator"]])
    return resamples.ratios(
        columns["family_number"], owner, annotators, columns["alike"], columns["ordered"]
    )


def implied_accuracy(agreement: Figure) -> Figure:
    """How often each rater is right, if all are equally good and err independently.

    Two such raters agree when both are right or both are wrong: p = a^2 + (1 - a)^2. Below p = 1/2
    no a fits; 1/2 is given.
    """

    def accuracy(p: float | None) -> float | None:
        return None if p is None else (1.0 + max(2.0 * p - 1.0, 0.0) ** 0.5) / 2.0

    return Figure(
        value=accuracy(agreement.value),
        low=accuracy(agreement.low),
        high=accuracy(agreement.high),
        n=agreement.n,
    )


def _two_annotators(shared: Columns, annotators: int) -> tuple[list[tuple[int, int]], Integers]:
    """Each two annotators who share a set, and which of these a row is about."""
    code = shared["first_annotator"] * annotators + shared["second_annotator"]
    codes, owner = np.unique(code, return_inverse=True)
    return [divmod(it, annotators) for it in codes.tolist()], owner


def _tau_b(shared: Columns, resamples: Resamples) -> Figure:
    """Mean over sets and two annotators, where neither ties everything."""
    concordant_less_discordant = 2.0 * shared["alike"] - shared["ordered"]
    root = np.sqrt(shared["first_ordered"] * shared["second_ordered"])
    known = root > 0
    tau = concordant_less_discordant[known] / root[known]
    # A share in [0, 1] for the resamples, and back.
    half = resamples.ratio(shared["family_number"][known], (tau + 1.0) / 2.0, np.ones_like(tau))
    ends = [None if end is None else 2.0 * end - 1.0 for end in (half.value, half.low, half.high)]
    return Figure(value=ends[0], low=ends[1], high=ends[2], n=half.n)
