"""A form as an answer: gaps, odd values, times."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.annotation.answers import Answer, close_gaps
from data.annotation.pages import decimal, shown


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"A": 1, "B": 3, "C": 3}, {"A": 1, "B": 2, "C": 2}),
        ({"A": 4, "B": 2}, {"A": 2, "B": 1}),
        ({"A": 2, "B": 2}, {"A": 1, "B": 1}),
        ({}, {}),
    ],
)
def test_gaps_are_closed_and_the_order_stays(sent: dict[str, int], kept: dict[str, int]) -> None:
    assert close_gaps(sent) == kept


@given(st.dictionaries(st.sampled_from("ABCDEFGHI"), st.integers(1, 9), min_size=1))
def test_closing_gaps_keeps_every_comparison(tiers: dict[str, int]) -> None:
    dense = close_gaps(tiers)
    assert set(dense.values()) == set(range(1, len(set(tiers.values())) + 1))
    for a, b in product(tiers, repeat=2):
        assert (tiers[a] < tiers[b]) == (dense[a] < dense[b])


def test_values_that_no_form_of_ours_sends_are_as_if_not_sent() -> None:
    form = {
        "tier.A": ["1"],
        "tier.B": ["5"],
        "tier.C": ["0"],
        "tier.D": ["²"],
        "tier.Z": ["1"],
        "quality.A": ["8"],
        "quality.B": ["-1"],
        "active_ms": ["99999999999999"],
    }
    answer = Answer.of_form(form, 4)
    assert answer == Answer(tiers={"A": 1})


def test_hidden_characters_of_a_text_are_shown_and_markup_is_text() -> None:
    assert shown("a\u202eb\x07") == (
        'a<span class="control">U+202E</span>b<span class="control">U+0007</span>'
    )
    assert shown("\n <b>x</b>\t&\r\n\n") == "&lt;b&gt;x&lt;/b&gt;\t&amp;"
    assert shown("👩‍🔬 é 中文 می\u200cروم") == "👩‍🔬 é 中文 می\u200cروم"


@pytest.mark.parametrize(
    "hidden",
    "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2060\u2066\ufeff\U000e0041\U000e007f",
)
def test_a_character_without_width_is_shown(hidden: str) -> None:
    mark = f'<span class="control">U+{ord(hidden):04X}</span>'
    assert shown(f"pay{hidden}pal") == f"pay{mark}pal"


@pytest.mark.parametrize(("value", "text"), [(0.726, "0.73"), (1.0, "1.00"), (51.26, "51.3")])
def test_figures_have_as_many_digits_as_matter(value: float, text: str) -> None:
    assert decimal(value) == text
