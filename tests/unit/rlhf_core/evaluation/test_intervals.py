"""Intervals over clusters."""

import math

import pytest
import torch

from rlhf_core.evaluation.intervals import Estimate, cluster_bootstrap
from rlhf_core.seeding import generator_for
from tests.unit.rlhf_core.builders import random


def interval(
    values: list[float], clusters: list[str], *, num_resamples: int = 2000, seed: int = 0
) -> Estimate:
    return cluster_bootstrap(
        values, clusters, num_resamples=num_resamples, generator=generator_for(seed, "bootstrap")
    )


def test_two_clusters_by_hand() -> None:
    # Guards: a mean of cluster means, clusters of unequal size resampled by item.
    # Draws of 2 clusters: aa 1/4 -> 0, bb 1/4 -> 1, ab or ba 1/2 -> 3 / 4.
    estimate = interval([0.0, 1.0, 1.0, 1.0], ["a", "b", "b", "b"])
    assert estimate == Estimate(0.75, 0.0, 1.0, 4)


def test_one_cluster_has_no_width() -> None:
    # Guards: items drawn apart from their cluster.
    assert interval([0.0, 1.0, 1.0, 0.0], ["a"] * 4) == Estimate(0.5, 0.5, 0.5, 4)


def test_clusters_that_agree_make_a_wide_interval() -> None:
    # Guards: 1000 replies to 10 prompts read as 1000 independent facts.
    values = [float(x) for x in random(0, 10) for _ in range(100)]
    clustered = interval(values, [str(i // 100) for i in range(1000)])
    itemwise = interval(values, [str(i) for i in range(1000)], num_resamples=500)
    ratio = (clustered.high - clustered.low) / (itemwise.high - itemwise.low)
    assert ratio == pytest.approx(10, rel=0.2)


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    # Guards: an interval of another level (one-sided, or a standard error).
    covered = 0
    for trial in range(200):
        levels = random(trial, 30)
        values = (levels.repeat_interleave(3) + random(trial + 500, 90)).tolist()
        estimate = interval(values, [str(i // 3) for i in range(90)], num_resamples=300, seed=trial)
        covered += estimate.low <= 0 <= estimate.high
    assert 0.88 <= covered / 200 <= 0.98


def test_width_is_that_of_the_normal_approximation() -> None:
    # Guards: 90 % quantiles sold as 95 %.
    values = random(1, 400).tolist()
    estimate = interval(values, [str(i) for i in range(400)])
    expected = 2 * 1.96 * float(torch.tensor(values).std()) / math.sqrt(400)
    assert estimate.high - estimate.low == pytest.approx(expected, rel=0.1)
    assert estimate.value == pytest.approx(sum(values) / 400)


def test_names_and_order_of_clusters_do_not_matter_to_the_mean() -> None:
    # Guards: clusters matched by position.
    values, clusters = [1.0, 2.0, 3.0, 4.0], ["a", "b", "a", "b"]
    assert interval(values, clusters).value == 2.5
    assert interval(values, clusters) == interval(values, ["x", "y", "x", "y"])


def test_no_value_is_an_error() -> None:
    # Guards: NaN with an interval.
    with pytest.raises(ValueError, match="at least one value"):
        interval([], [])
