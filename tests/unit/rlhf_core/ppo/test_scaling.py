"""Running moments against numpy on all that was seen."""

import math

import numpy as np
import pytest
import torch

from rlhf_core.ppo.scaling import RunningMoments
from tests.unit.rlhf_core.builders import random


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1e4, 0.1), (-7.0, 30.0)])
def test_moments_are_those_of_all_scores_together(shift: float, scale: float) -> None:
    # Guards: batches of unlike size weighed alike, a lost mean difference, cancellation.
    batches = [shift + scale * (i + random(i, size)) for i, size in enumerate([5, 1, 64, 2])]
    moments = RunningMoments()
    for seen in range(len(batches)):
        moments.update(batches[seen])
        whole = np.concatenate([batch.numpy() for batch in batches[: seen + 1]])
        assert moments.count == whole.size
        assert moments.mean == pytest.approx(whole.mean(), rel=1e-12)
        assert moments.std == pytest.approx(whole.std(ddof=0), rel=1e-9)


def test_float32_scores_are_summed_in_float64() -> None:
    # Guards: a deviation lost to rounding after many batches.
    scores = 1000 + random(0, 4096, dtype=torch.float32)
    moments = RunningMoments()
    for batch in scores.split(64):
        moments.update(batch)
    assert moments.std == pytest.approx(scores.double().numpy().std(), rel=1e-9)


def test_nothing_that_varied_leaves_scores_alone() -> None:
    # Guards: a division by zero at the first rollout.
    moments = RunningMoments()
    assert moments.std == 1.0
    moments.update(torch.full((4,), 3.0))
    assert (moments.mean, moments.std) == (3.0, 1.0)
    moments.update(torch.tensor([5.0, 1.0, 3.0, 3.0]))
    assert moments.std == pytest.approx(math.sqrt(8 / 8))


def test_one_broken_score_does_not_switch_scaling_off() -> None:
    # Guards: a NaN in the running sums, after which nothing is scaled and nobody is told.
    moments = RunningMoments()
    for scores in ([0.0, 20.0], [math.nan, math.inf], [0.0, 20.0]):
        moments.update(torch.tensor(scores))
    assert (moments.count, moments.std) == (4, 10.0)
