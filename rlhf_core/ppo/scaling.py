"""Running mean and deviation of all scores seen, to bring them to one scale.

Source: CarperAI/trlx, trlx/utils/modeling.py, RunningMoments (scale_reward = "running"): scores are
divided by the deviation and not shifted. Its deviation is unbiased, this one biased.

Reference:
    [1] Chan, Golub and LeVeque 1979, updating formulae for computing sample variances.
"""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(slots=True)
class RunningMoments:
    """Count, mean and sum of squared differences from the mean, in float64."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, values: Tensor) -> None:
        """Take in `values` (n,) [1]; what is not finite would spoil all that comes after."""
        values = values[values.isfinite()].double()
        if not len(values):
            return
        count, mean = len(values), float(values.mean())
        squares = float(((values - mean) ** 2).sum())
        total, delta = self.count + count, mean - self.mean
        self.squares += squares + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count = total

    @property
    def std(self) -> float:
        """Biased standard deviation; 1 where nothing varied yet."""
        return math.sqrt(self.squares / self.count) if self.squares > 0 else 1.0
