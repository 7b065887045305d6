"""Best-of-n against enumeration, published values and simulation."""

import math
from collections.abc import Sequence
from itertools import combinations, product

import pytest
import torch

from rlhf_core.evaluation.best_of_n import best_of_n_kl, best_of_n_kl_bound, expected_best
from rlhf_core.seeding import generator_for
from tests.unit.rlhf_core.builders import random

# Mass, proxy and worth of the replies of a reference; two of them are tied without being equal.
REPLIES = [(2, 0.0, 5.0), (4, 1.0, -1.0), (3, 1.0, 2.0), (2, 2.5, 0.0), (5, 4.0, 1.0)]


def chosen_shares(masses: Sequence[float], proxy: Sequence[float], n: int) -> list[float]:
    """Probability that best-of-n gives each reply: every draw of n, the tied drawn ones alike."""
    shares = [0.0] * len(masses)
    for draw in product(range(len(masses)), repeat=n):
        probability = math.prod(masses[i] for i in draw)
        best = max(proxy[i] for i in draw)
        winners = [i for i in draw if proxy[i] == best]
        for i in winners:
            shares[i] += probability / len(winners)
    return shares


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_kl_of_repeated_replies_is_that_of_all_draws(n: int) -> None:
    # Guards: a wrong mass of a tie; ties that count as an order.
    counts, proxy = [c for c, _, _ in REPLIES], [s for _, s, _ in REPLIES]
    masses = [count / sum(counts) for count in counts]
    shares = chosen_shares(masses, proxy, n)
    expected = sum(q * math.log(q / p) for q, p in zip(shares, masses, strict=True))
    sample = [score for count, score, _ in REPLIES for _ in range(count)]
    assert best_of_n_kl(sample, n) == pytest.approx(expected, abs=1e-12)
    assert best_of_n_kl(sample[::-1], n) == pytest.approx(expected, abs=1e-12)
    if n > 1:
        assert expected < best_of_n_kl_bound(n)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_expectation_is_the_mean_over_all_subsets(n: int) -> None:
    # Guards: subsets with replacement, a tie that the first or last reply wins.
    proxy, values = [3.0, 1.0, 3.0, 2.0, 1.0, 3.0, 0.0], [1.0, 9.0, 4.0, 2.0, 6.0, -8.0, 7.0]
    found = []
    for subset in combinations(range(len(proxy)), n):
        best = max(proxy[i] for i in subset)
        tied = [values[i] for i in subset if proxy[i] == best]
        found.append(sum(tied) / len(tied))
    assert expected_best(proxy, values, n) == pytest.approx(sum(found) / len(found), abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_expectation_is_unbiased(n: int) -> None:
    # Guards: an estimator that is right on its sample and wrong of the policy.
    masses, proxy, values = [0.5, 0.2, 0.3], [1.0, 2.0, 2.0], [10.0, -3.0, 4.0]
    shares = chosen_shares(masses, proxy, n)
    expected = sum(q * v for q, v in zip(shares, values, strict=True))
    mean = sum(
        math.prod(masses[i] for i in draw)
        * expected_best([proxy[i] for i in draw], [values[i] for i in draw], n)
        for draw in product(range(3), repeat=4)
    )
    assert mean == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "published"), [(1, 0.0), (4, 0.636), (16, 1.835), (64, 3.175)])
def test_without_repeats_it_is_the_published_value(n: int, published: float) -> None:
    # Guards: an integral with a wrong end, log2 for ln. Values: arXiv:2009.01325, arXiv:2210.10760.
    assert best_of_n_kl_bound(n) == pytest.approx(published, abs=5e-4)
    scores = random(0, 50).tolist()
    assert best_of_n_kl(scores, n) == pytest.approx(best_of_n_kl_bound(n), abs=1e-12)
    assert best_of_n_kl(scores[:1], n) == pytest.approx(best_of_n_kl_bound(n), abs=1e-12)


def test_a_policy_of_one_reply_cannot_move() -> None:
    # Guards: the bound reported for a policy that has collapsed.
    assert best_of_n_kl([0.3] * 8, 8) == 0.0


@pytest.mark.parametrize("n", [2, 8])
def test_an_atom_amid_a_continuum(n: int) -> None:
    # Guards: an atom that shifts the ranks above it. Half the mass on one score, in the middle.
    sample = [-1.0 - i for i in range(10)] + [0.0] * 20 + [1.0 + i for i in range(10)]
    grid = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000
    density = n * grid ** (n - 1)
    is_atom = (grid > 0.25) & (grid < 0.75)
    density[is_atom] = density[is_atom].mean()
    expected = float(torch.special.xlogy(density, density).mean())
    assert best_of_n_kl(sample, n) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n", [4, 16])
def test_a_sample_says_what_simulated_choices_do(n: int) -> None:
    # Guards: all of it at once, on 100 replies of very unequal mass whose scores are no order.
    generator = generator_for(0, "zipf")
    masses = 1 / torch.arange(1, 101, dtype=torch.float64) ** 2
    masses /= masses.sum()
    scores = torch.randn(100, generator=generator, dtype=torch.float64)
    draws = torch.multinomial(masses, 400_000 * n, replacement=True, generator=generator)
    draws = draws.view(-1, n)
    best = draws.gather(1, scores[draws].argmax(1, keepdim=True)).squeeze(1)
    shares = torch.bincount(best, minlength=100) / len(best)
    simulated = float((torch.special.xlogy(shares, shares / masses)).sum())
    sample = torch.multinomial(masses, 20_000, replacement=True, generator=generator)
    found = best_of_n_kl(scores[sample].tolist(), n)
    assert found == pytest.approx(simulated, abs=0.005)
    assert found < best_of_n_kl_bound(n) - 0.05


@pytest.mark.parametrize("n", [0, 4])
def test_more_replies_than_there_are_is_an_error(n: int) -> None:
    # Guards: a curve that goes on where nothing was measured.
    with pytest.raises(ValueError, match=f"best of {n} .* from 3 replies"):
        expected_best([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], n)
