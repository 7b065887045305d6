"""Dawid and Skene: against maximisation of the likelihood itself, and on raters of known habits."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_array

from data.statistics import measure
from data.statistics.intervals import Resamples
from data.statistics.quality import annotator_quality, fit
from tests.snapshots import Snapshot
from tests.unit.data.statistics.raters import simulate

HABITS = {
    "g1": 0.5,
    "g2": 0.5,
    "g3": 0.6,
    "g4": 0.6,
    "rnd": "random",
    "rev": "reversed",
    "1st": "first",
}
ROGUES = ("rnd", "rev", "1st")


def votes_of(quality: list[float], items: int, seed: int) -> np.ndarray:
    """(items, annotators): 1, -1 or 0; the truth of every item is 1 or -1."""
    generator = np.random.default_rng(seed)
    truth = generator.choice([-1.0, 1.0], size=(items, 1))
    right = generator.random((items, len(quality))) < np.array(quality)
    given = generator.random((items, len(quality))) < 0.7
    votes = np.where(right, truth, -truth) * given
    return votes[(votes != 0).sum(1) >= 2]


def log_posterior(quality: np.ndarray, votes: np.ndarray) -> float:
    """Of q: the sum over both truths of each item, written out, and the Beta(2, 2) prior."""
    total = float(np.log(quality * (1 - quality)).sum())
    for row in votes:
        likelihood = 0.0
        for truth in (-1, 1):
            factors = [
                q if vote == truth else 1 - q for q, vote in zip(quality, row, strict=True) if vote
            ]
            likelihood += 0.5 * float(np.prod(factors))
        total += float(np.log(likelihood))
    return total


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_em_finds_the_maximum_of_the_posterior(seed: int) -> None:
    votes = votes_of([0.9, 0.75, 0.6, 0.3], 60, seed)
    found = fit(csr_array(votes), np.ones((len(votes), 1)))[:, 0]
    best = minimize(
        lambda x: -log_posterior(1 / (1 + np.exp(-x)), votes),
        x0=np.array([1.5, 1.0, 0.5, -0.5]),
        method="BFGS",
        options={"gtol": 1e-6},
    )
    best_quality = 1 / (1 + np.exp(-best.x))
    # With every truth turned round, 1 - q is as likely as q; EM begins at the majority's side.
    if (found[0] > 0.5) != (best_quality[0] > 0.5):
        best_quality = 1 - best_quality
    assert found == pytest.approx(best_quality, abs=2e-3)
    assert log_posterior(found, votes) == pytest.approx(-best.fun, abs=1e-4)


def test_an_items_weight_is_its_number_of_copies() -> None:
    votes = votes_of([0.9, 0.7, 0.6], 40, 0)
    copies = np.arange(len(votes)) % 3 + 1
    weighted = fit(csr_array(votes), np.stack([np.ones(len(votes)), copies], axis=1))
    repeated = np.repeat(votes, copies, axis=0)
    for column, table in ((0, votes), (1, repeated)):
        alone = fit(csr_array(table), np.ones((len(table), 1)))[:, 0]
        assert weighted[:, column] == pytest.approx(alone, abs=1e-4)


def test_two_raters_get_the_accuracy_that_their_agreement_implies() -> None:
    """Nothing tells them apart; p = a^2 + (1 - a)^2, but for the prior."""
    votes = np.ones((4000, 2))
    votes[:1000, 1] = -1
    found = fit(csr_array(votes), np.ones((4000, 1)))[:, 0]
    assert found == pytest.approx([(1 + 0.5**0.5) / 2] * 2, abs=1e-3)


def test_good_raters_stand_above_rogues(tmp_path: Path) -> None:
    """The note's setting: 4 good ones, one at random, one reversed, one that takes the first."""
    separated = 0
    for seed in range(5):
        path = tmp_path / str(seed)
        rows = measure(simulate(path, HABITS, prompts=40, seed=seed), seed=seed).annotators
        quality = {row.annotator_id: row.figures["quality"] for row in rows}
        values = {name: figure.value or 0.0 for name, figure in quality.items()}
        separated += min(values[g] for g in HABITS if g not in ROGUES) > max(
            values[r] for r in ROGUES
        )
        assert values["rev"] < 0.4
        position = {row.annotator_id: row.figures["earlier_wins"] for row in rows}
        assert position["1st"].value == 1.0
        assert all(0.3 < (position[g].value or 0) < 0.7 for g in HABITS if g != "1st")
    assert separated >= 4


def test_ties_are_no_votes_and_lonely_votes_do_not_count(snapshot: Snapshot) -> None:
    """a > b by both; c is tied with b by one, so that b and c have one vote only."""
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c")
    snapshot.rank("k1", "s", {"a": 1, "b": 2, "c": 2}, annotator="x")
    snapshot.rank("k2", "s", {"a": 1, "b": 2, "c": 3}, annotator="y")
    snapshot.set("t", "p", "d e")
    snapshot.rank("k3", "t", {"d": 1, "e": 2}, annotator="z")
    rows = {
        row.annotator_id: row.figures["quality"] for row in measure(snapshot.write()).annotators
    }
    assert (rows["x"].n, rows["y"].n, rows["z"].n) == (2, 2, 0)
    assert rows["z"].value is None
    assert rows["x"].value == rows["y"].value


def test_without_votes_all_are_empty() -> None:
    nothing = {
        name: np.zeros(0, int) for name in ("item", "vote", "annotator_number", "family_number")
    }
    figures = annotator_quality(nothing, 2, Resamples(1, seed=0))
    assert [it.value for it in figures] == [None, None]
