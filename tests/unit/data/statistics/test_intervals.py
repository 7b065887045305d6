"""Intervals cover what they promise, also with few families; extremes are not certainties."""

from statistics import NormalDist

import numpy as np
import pytest

from data.statistics import intervals
from data.statistics.figures import Figure
from data.statistics.intervals import Resamples, interval

TRUTH = (
    2.0 / 3.0
)  # Two raters, each with as much noise as the truth has spread: 1/2 + asin(1/2) / pi.


def rankings(prompts: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs ordered alike by each two of three raters, (prompts, 3), and their prompts."""
    generator = np.random.default_rng([prompts, size, seed])
    truth = generator.normal(size=(prompts, 1, size))
    seen = truth + generator.normal(size=(prompts, 3, size))
    i, j = np.triu_indices(size, 1)
    signs = np.sign(seen[:, :, i] - seen[:, :, j])
    alike = np.stack([(signs[:, a] * signs[:, b] > 0).sum(-1) for a, b in ((0, 1), (0, 2), (1, 2))])
    return alike.T, np.repeat(np.arange(prompts)[:, None], 3, axis=1)


def covers(figure: Figure) -> bool:
    return figure.low is not None and figure.high is not None and figure.low <= TRUTH <= figure.high


def coverage(prompts: int, size: int, times: int = 300) -> tuple[float, float]:
    """How often 95 % intervals hold the truth: ours, and one that takes pairs as independent."""
    ours = naive = 0
    count_pairs = size * (size - 1) // 2
    for seed in range(times):
        alike, family = rankings(prompts, size, seed)
        every = np.full(alike.size, count_pairs)
        resamples = Resamples(prompts, seed=seed, num_resamples=1000)
        ours += covers(resamples.ratio(family.ravel(), alike.ravel(), every))
        p, n = alike.mean() / count_pairs, every.sum()
        half = 1.96 * (p * (1 - p) / n) ** 0.5
        naive += p - half <= TRUTH <= p + half
    return ours / times, naive / times


def test_the_truth_of_the_simulation() -> None:
    alike, _ = rankings(20_000, 4, 0)
    assert alike.mean() / 6 == pytest.approx(TRUTH, abs=0.004)


@pytest.mark.parametrize(("size", "naive_at_most"), [(4, 0.88), (6, 0.82), (9, 0.72)])
def test_intervals_cover_95_percent_and_pairs_one_by_one_do_not(
    size: int, naive_at_most: float
) -> None:
    """Bounds are three standard errors of a share of 300 around 0.95."""
    ours, naive = coverage(50, size)
    assert 0.912 <= ours <= 0.988
    assert naive <= naive_at_most


def test_ten_families_are_covered_because_the_tails_are_wider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide, _ = coverage(10, 6)
    assert wide >= 0.912
    monkeypatch.setattr(intervals, "_tails", lambda _clusters: (0.025, 0.975))
    plain, _ = coverage(10, 6)
    assert plain <= wide - 0.03


def test_medians_are_covered() -> None:
    """Times of one family are alike; the median of all is 1."""
    held = 0
    for seed in range(300):
        generator = np.random.default_rng(seed)
        family = np.repeat(np.arange(40), 5)
        logs = generator.normal(size=40)[family] + generator.normal(size=200)
        figure = Resamples(40, seed=seed, num_resamples=1000).median(family, np.exp(logs))
        assert figure.low is not None
        assert figure.high is not None
        held += figure.low <= 1.0 <= figure.high
    assert 0.912 <= held / 300 <= 0.988


def test_tails_make_the_interval_of_a_mean_that_of_student() -> None:
    """t of 9 degrees is 2.262157; resamples of 10 vary 9 / 11 as much as the mean."""
    low, high = intervals._tails(10)
    assert low == pytest.approx(NormalDist().cdf(-2.262157 * (11 / 9) ** 0.5))
    assert high == pytest.approx(1 - low)


def test_a_median_that_many_share_has_a_narrow_interval() -> None:
    """70 of 100 are at most 2, yet its interval is that of the middle, not of the 70th."""
    values = np.repeat([1.0, 2.0, 3.0], [30, 40, 30])
    figure = Resamples(100, seed=0).median(np.arange(100), values)
    assert figure == Figure(value=2.0, low=2.0, high=2.0, n=100)


def test_many_families_in_groups_give_the_interval_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    alike, family = rankings(3000, 4, 0)
    columns = (family.ravel(), alike.ravel(), np.full(alike.size, 6))
    grouped = Resamples(3000, seed=0).ratio(*columns)
    monkeypatch.setattr(intervals, "MAX_GROUPS", 3000)
    whole = Resamples(3000, seed=0).ratio(*columns)
    assert (grouped.value, grouped.n) == (whole.value, whole.n)
    widths = [it.high - it.low for it in (grouped, whole) if it.high is not None and it.low]
    assert widths[0] == pytest.approx(widths[1], rel=0.1)


def test_each_owner_is_resampled_over_its_own_families_alone() -> None:
    """What another annotator does changes nothing, and more families than fit one chunk work."""
    generator = np.random.default_rng(0)
    family, owner = generator.integers(40, size=4000), generator.integers(300, size=4000)
    top = generator.integers(2, size=4000)
    resamples = Resamples(40, seed=0)
    figures = resamples.ratios(family, owner, 301, top, np.ones(4000))
    mine = owner == 299
    alone = resamples.ratio(family[mine], top[mine], np.ones(mine.sum()))
    ends = [figures[299].value, figures[299].low, figures[299].high]
    assert ends == pytest.approx([alone.value, alone.low, alone.high])
    assert alone.n == mine.sum()
    assert figures[300] == Figure()
    mean = resamples.mean_of_ratios(family, owner, 301, top, np.ones(4000))
    values = [it.value for it in figures if it.value is not None]
    assert mean.value == pytest.approx(np.mean(values))
    assert mean.n == 4000


def test_equal_seeds_give_equal_intervals() -> None:
    alike, family = rankings(20, 4, 0)
    columns = (family.ravel(), alike.ravel(), np.full(alike.size, 6))
    first, again, other = (Resamples(20, seed=seed).ratio(*columns) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(("clusters", "low"), [(1, 0.025), (12, 0.025 ** (1 / 12))])
def test_all_right_is_no_certainty(clusters: int, low: float) -> None:
    """Twelve of twelve gold sets: an annotator of 74 % does that in one of forty cases."""
    ones, zeros = np.ones(100), np.zeros(100)
    assert interval(1.0, ones, clusters=clusters, n=12) == Figure(
        value=1.0, low=low, high=1.0, n=12
    )
    assert interval(0.0, zeros, clusters=clusters, n=12) == Figure(
        value=0.0, low=0.0, high=1.0 - low, n=12
    )
    assert interval(-1.0, -ones, clusters=clusters, n=1, bounds=(-1.0, 1.0)).high == pytest.approx(
        1.0 - 2.0 * low
    )


def test_few_families_or_no_spread_give_no_interval() -> None:
    spread = np.linspace(0.2, 0.8, 100)
    assert interval(0.5, spread, clusters=4, n=8) == Figure(value=0.5, n=8)
    assert interval(0.5, spread, clusters=5, n=8).low is not None
    assert interval(0.5, np.full(100, 0.5), clusters=9, n=8) == Figure(value=0.5, n=8)
    assert Resamples(0, seed=0).median(np.zeros(0, int), np.zeros(0)) == Figure()
