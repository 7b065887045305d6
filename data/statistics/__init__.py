"""What the rankings of a run say of the people who made them: agreement, bias, quality.

`measure` reads a snapshot and gives every figure with its 95 % interval.
"""

from data.statistics.figures import Figure, RankingStatistics
from data.statistics.measurement import measure

__all__ = ["Figure", "RankingStatistics", "measure"]
