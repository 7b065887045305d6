"""Is the model really better? Intervals over clusters, win rate, diversity."""
