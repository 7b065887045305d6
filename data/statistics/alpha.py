"""Krippendorff's alpha of mid-ranks, with the ordinal metric, and its interval over families.

A unit is a response of a shared set, a rating the mid-rank that an annotator gave it. Alpha is 1
less the disagreement within units over that between any two ratings [1]. Ranks of one set have a
fixed sum, so alpha of ranks only compares runs of one K; with several K it is computed for each,
and the mean by number of ratings is given.

References:
    [1] Krippendorff 2011, Computing Krippendorff's alpha-reliability, University of Pennsylvania.
"""

import numpy as np

from data.statistics.figures import Figure
from data.statistics.intervals import Floats, Resamples, interval
from data.statistics.tables import Columns


def krippendorff_alpha(ratings: Columns, resamples: Resamples) -> Figure:
    """Alpha over all shared sets; n counts ratings.

    Args:
        ratings: Pairs of ratings of a unit, see data/sql/statistics/ratings.sql.
        resamples: Of the families.
    """
    if not ratings["family_number"].size:
        return Figure()
    # A unit of m raters has m (m - 1) ordered pairs and stands for m ratings.
    weight = ratings["times"] / (ratings["count_raters"] - 1)
    width = int(max(ratings["first_rank"].max(), ratings["second_rank"].max())) + 1
    cell = ratings["first_rank"] * width + ratings["second_rank"]
    total, value = 0.0, 0.0
    resampled_total, resampled = np.zeros((2, len(resamples.weights)))
    weights = np.zeros(resamples.num_groups)
    for count_responses in np.unique(ratings["count_responses"]):
        mine = ratings["count_responses"] == count_responses
        family = ratings["family_number"][mine]
        sums = resamples.by_group(family, cell[mine], width**2, weight[mine])
        whole = sums.sum(0).reshape(width, width)
        if np.isnan(ordinal_alpha(whole)):
            continue
        drawn = (resamples.weights @ sums).reshape(-1, width, width)
        total += whole.sum()
        value += whole.sum() * ordinal_alpha(whole)
        resampled_total += drawn.sum((1, 2))
        resampled += drawn.sum((1, 2)) * ordinal_alpha(drawn)
        weights += sums.sum(1)
    if not total:
        return Figure()
    return interval(
        float(value / total),
        resampled / resampled_total,
        clusters=int(np.count_nonzero(weights)),
        n=round(total),
        bounds=(-1.0, 1.0),
    )


def ordinal_alpha(coincidences: Floats) -> Floats:
    """Alpha of matrices of coincidences, (..., values, values), values in their order.

    The ordinal distance of two values is the number of ratings between them, half of their own
    included. NaN where all ratings are the same.
    """
    counts = coincidences.sum(-1)
    total = counts.sum(-1)
    middle = counts.cumsum(-1) - counts / 2.0
    distance = (middle[..., :, None] - middle[..., None, :]) ** 2
    observed = (coincidences * distance).sum((-2, -1))
    expected = (counts[..., :, None] * counts[..., None, :] * distance).sum((-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1.0 - (total - 1.0) * observed / expected
