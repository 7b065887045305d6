"""Win rate and diversity."""

import pytest

from rlhf_core.evaluation.comparison import distinct_share, win_rate


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1.0], [0.0], 1.0),
        ([0.0], [1.0], 0.0),
        ([1.0], [1.0], 0.5),
        ([2.0, 0.0], [1.0], 0.5),
        ([1.0, 3.0], [1.0, 2.0, 3.0], (0.5 + 1 + 1 + 0.5) / 6),
    ],
)
def test_win_rate_by_hand(ours: list[float], theirs: list[float], expected: float) -> None:
    # Guards: ties as wins, replies paired by position.
    assert win_rate(ours, theirs) == pytest.approx(expected)
    assert win_rate(theirs, ours) == pytest.approx(1 - expected)


@pytest.mark.parametrize(
    ("texts", "share"),
    [
        (["a"], 1.0),
        (["a", "a", "a", "a"], 0.25),
        (["a b", "a  b", " a\tb\n"], 1 / 3),
        (["a", "A"], 1.0),
    ],
)
def test_distinct_share_folds_white_space(texts: list[str], share: float) -> None:
    # Guards: a collapsed policy that varies its spaces.
    assert distinct_share(texts) == pytest.approx(share)
