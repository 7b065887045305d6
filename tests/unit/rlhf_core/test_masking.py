"""Masked statistics by their properties, never by their formula."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.masking import masked_mean, masked_variance, rescale, whiten
from tests.unit.rlhf_core.builders import random

MASK = torch.tensor([[True, True, False, False], [True, True, True, True], [True] + [False] * 3])


def scattered(seed: int, *, garbage: float = 0.0) -> Tensor:
    """Values far from mean 0 and variance 1."""
    return (3 + 5 * random(seed, 3, 4)).masked_fill(~MASK, garbage)


@pytest.mark.parametrize("seed", range(3))
def test_whitened_values_have_mean_0_and_variance_1(seed: int) -> None:
    # Guards: whitening that keeps the mean (a known inversion), or counts padding.
    inside = whiten(scattered(seed), MASK)[MASK]
    assert_close(inside.mean(), torch.tensor(0.0, dtype=torch.float64), atol=1e-9, rtol=0)
    assert float(inside.var(correction=0)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_rescaled_values_have_variance_1_and_their_own_mean(seed: int) -> None:
    # Guards: rewards whose sign is lost by centring.
    values = scattered(seed)
    inside = rescale(values, MASK)[MASK]
    assert_close(inside.mean(), values[MASK].mean(), atol=1e-9, rtol=0)
    assert float(inside.var(correction=0)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("unbiased", "variance", "whitened"), [(False, 0.25, 1.0), (True, 0.5, 0.5**0.5)]
)
def test_two_values_tell_the_variances_apart(
    unbiased: bool, variance: float, whitened: float
) -> None:
    # Guards: division by n - 1 where OpenAI divides by n, or the other way round.
    two = torch.tensor([[2.0, 3.0, 9.0]])
    both = torch.tensor([[True, True, False]])
    expected = torch.tensor([[-whitened, whitened, 0.0]])
    assert float(masked_variance(two, both, unbiased=unbiased)) == pytest.approx(variance)
    assert_close(whiten(two, both, unbiased=unbiased), expected, atol=1e-5, rtol=0)
    kept = (expected + 2.5).masked_fill(~both, 0.0)
    assert_close(rescale(two, both, unbiased=unbiased), kept, atol=1e-5, rtol=0)


def test_variance_is_biased_by_default() -> None:
    # Guards: TRL's variance where nobody asked for it.
    values = scattered(0)
    inside = values[MASK]
    found = masked_variance(values, MASK)
    assert_close(found, inside.var(correction=0), atol=1e-12, rtol=0)
    unbiased = masked_variance(values, MASK, unbiased=True)
    assert_close(unbiased, inside.var(correction=1), atol=1e-12, rtol=0)
    assert torch.equal(whiten(values, MASK), whiten(values, MASK, unbiased=False))
    assert torch.equal(rescale(values, MASK), rescale(values, MASK, unbiased=False))


@pytest.mark.parametrize("statistic", [masked_mean, masked_variance, whiten, rescale])
@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, 1e30])
def test_padding_is_inert(statistic: object, garbage: float) -> None:
    # Guards: 0 * NaN.
    assert callable(statistic)
    expected = statistic(scattered(0), MASK)
    assert torch.equal(statistic(scattered(0, garbage=garbage), MASK), expected)


@pytest.mark.parametrize("statistic", [whiten, rescale])
def test_padding_comes_out_zero(statistic: object) -> None:
    # Guards: the added mean leaking into padding.
    assert callable(statistic)
    assert not statistic(scattered(0, garbage=9.0), MASK)[~MASK].any()


def test_equal_values_do_not_divide_by_zero() -> None:
    # Guards: NaN advantages where all rewards are equal.
    values = torch.full((3, 4), 7.0)
    assert not whiten(values, MASK).any()
    assert_close(rescale(values, MASK)[MASK], values[MASK])


def test_inputs_are_not_written_to() -> None:
    # Guards: in-place masking.
    values = scattered(0, garbage=3.0)
    before = values.clone()
    whiten(values, MASK)
    rescale(values, MASK)
    assert torch.equal(values, before)
