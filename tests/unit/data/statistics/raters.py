"""Simulated raters of known habits, and snapshots of what they say."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.snapshots import Snapshot


def scores(
    habit: float | str, truth: np.ndarray, shown: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """How a rater scores the responses of a set.

    Args:
        habit: Standard deviation of honest noise, or "random", "reversed", "first".
        truth: Score of each response.
        shown: Place of each response on the page.
    """
    if habit == "random":
        return generator.normal(size=truth.size)
    if habit == "first":
        return -shown.astype(float)
    noise = generator.normal(size=truth.size)
    return -truth + 0.8 * noise if habit == "reversed" else truth + float(habit) * noise


def simulate(
    path: Path,
    habits: Mapping[str, float | str],
    *,
    prompts: int,
    size: int = 5,
    raters: int = 3,
    seed: int = 0,
) -> Path:
    """A snapshot in which `raters` of the raters, chosen at random, rank each prompt."""
    generator = np.random.default_rng(seed)
    snapshot, names = Snapshot(path), list(habits)
    for p in range(prompts):
        ids = [f"p{p}_r{i}" for i in range(size)]
        truth = generator.normal(size=size)
        snapshot.prompt(f"p{p}")
        snapshot.set(f"s{p}", f"p{p}", " ".join(ids))
        for name in generator.choice(names, raters, replace=False):
            shown = generator.permutation(size)
            seen = scores(habits[str(name)], truth, shown, generator)
            tiers = {ids[i]: place for place, i in enumerate(np.argsort(-seen), start=1)}
            page = " ".join(ids[i] for i in np.argsort(shown))
            snapshot.rank(f"k{p}_{name}", f"s{p}", tiers, annotator=str(name), shown=page)
    return snapshot.write()
