"""Alpha against Krippendorff's own example, the package of that name, and its edges."""

import math
from collections import Counter
from pathlib import Path

import krippendorff
import numpy as np
import pytest

from data.statistics import measure
from data.statistics.alpha import ordinal_alpha
from tests.oracles.ranking_statistics import alpha_of
from tests.snapshots import Snapshot
from tests.unit.data.statistics.raters import simulate

# Krippendorff 2011, Computing Krippendorff's alpha-reliability, section C: four observers, twelve
# units; 0 is a rating that is missing.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]


def coincidences(table: list[list[int]], size: int) -> np.ndarray:
    """Both orders of each two ratings of a unit of m, weighted 1 / (m - 1); values from 1."""
    matrix = np.zeros((size, size))
    for unit in zip(*table, strict=True):
        ratings = [value for value in unit if value]
        for i, one in enumerate(ratings):
            for other in ratings[:i] + ratings[i + 1 :]:
                matrix[one - 1, other - 1] += 1 / (len(ratings) - 1)
    return matrix


def test_the_published_example() -> None:
    matrix = coincidences(OBSERVERS, 5)
    assert matrix.sum() == pytest.approx(40)
    assert float(ordinal_alpha(matrix)) == pytest.approx(0.815, abs=0.0005)


def test_many_matrices_at_once() -> None:
    matrix = coincidences(OBSERVERS, 5)
    both = ordinal_alpha(np.stack([matrix, matrix.T[::-1, ::-1]]))
    assert both.tolist() == pytest.approx([float(ordinal_alpha(matrix))] * 2)


def test_random_tables_against_the_package() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        table = generator.integers(0, 5, size=(3, 9)).tolist()
        known = [[value or math.nan for value in row] for row in table]
        expected = krippendorff.alpha(reliability_data=known, level_of_measurement="ordinal")
        assert float(ordinal_alpha(coincidences(table, 4))) == pytest.approx(expected)


def test_a_snapshot_against_the_package(tmp_path: Path, snapshot: Snapshot) -> None:
    habits = {"a": 0.5, "b": 1.0, "c": "random", "d": 0.8}
    generator = np.random.default_rng(1)
    for p in range(12):
        ids = [f"p{p}_{i}" for i in range(4)]
        snapshot.prompt(f"p{p}")
        snapshot.set(f"s{p}", f"p{p}", " ".join(ids))
        for name in list(habits)[: 1 + p % 4]:
            tiers = generator.integers(1, 5, size=4)
            dense = sorted(set(tiers.tolist()))
            named = {one: dense.index(t) + 1 for one, t in zip(ids, tiers.tolist(), strict=True)}
            snapshot.rank(f"k{p}{name}", f"s{p}", named, annotator=name)
    figure = measure(snapshot.write()).figures["alpha"]
    assert figure.value == pytest.approx(alpha_of(snapshot))
    assert figure.n == sum(4 * (1 + p % 4) for p in range(12) if p % 4)


def test_several_k_are_averaged_by_their_ratings(snapshot: Snapshot) -> None:
    """Two of K = 2 disagree, one of K = 3 agrees: each K by itself, not on one scale."""
    for p, (size, ours, theirs) in enumerate([(2, "12", "21"), (2, "12", "12"), (3, "123", "123")]):
        ids = [f"p{p}_{i}" for i in range(size)]
        snapshot.prompt(f"p{p}")
        snapshot.set(f"s{p}", f"p{p}", " ".join(ids))
        for name, digits in (("a", ours), ("b", theirs)):
            tiers = dict(zip(ids, map(int, digits), strict=True))
            snapshot.rank(f"k{p}{name}", f"s{p}", tiers, annotator=name)
    pairs = [[1, 2], [2, 1], [1, 1], [2, 2]]
    two = krippendorff.alpha(
        reliability_data=np.array(pairs, float).T, level_of_measurement="ordinal"
    )
    figure = measure(snapshot.write()).figures["alpha"]
    assert figure.n == 14
    assert figure.value == pytest.approx((8 * two + 6 * 1.0) / 14)


def test_total_agreement_is_one_and_equal_ratings_are_nothing(snapshot: Snapshot) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c")
    for name in ("x", "y"):
        snapshot.rank(f"k{name}", "s", {"a": 1, "b": 2, "c": 3}, annotator=name)
    figure = measure(snapshot.write()).figures["alpha"]
    assert (figure.value, figure.high, figure.n) == (1.0, 1.0, 6)
    assert figure.low == pytest.approx(-0.95)
    tied = Snapshot(snapshot.path.parent / "tied")
    tied.prompt("p")
    tied.set("s", "p", "a b")
    for name in ("x", "y"):
        tied.rank(f"k{name}", "s", {"a": 1, "b": 1}, annotator=name)
    assert measure(tied.write()).figures["alpha"].value is None
    assert Counter(row[2] for row in tied.tables["ranking_item"]) == {1: 4}


def test_raters_at_random_have_none(tmp_path: Path) -> None:
    path = simulate(tmp_path / "s", dict.fromkeys("abc", "random"), prompts=60, size=4)
    figure = measure(path).figures["alpha"]
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < 0 < figure.high
