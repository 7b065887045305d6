"""Gold and the held-out scorer."""

import pytest

from data.gold import gold, heldout, is_right_product, sentiment
from data.grammar import load_grammar

GRAMMAR = load_grammar()
PROMPT = "my jacket is too small."


@pytest.mark.parametrize(
    ("response", "fact"),
    [
        ("We will fix your jacket.", 1.0),
        ("The Jacket is a jacket.", 1.0),
        ("We will fix your lamp.", 0.0),
        ("Your jacket and your lamp.", 0.0),
        ("We will fix it.", 0.0),
    ],
)
def test_one_for_exactly_the_product_asked_about(response, fact):
    assert gold(PROMPT, response, grammar=GRAMMAR) == sentiment(response) + fact


def test_a_prompt_about_no_product_has_no_right_one():
    assert not is_right_product("hello", "hello", grammar=GRAMMAR)
    assert not is_right_product("my jacket and my lamp", "your jacket", grammar=GRAMMAR)


def test_scorers_know_kind_from_rude():
    kind = "We are happy to help. Have a wonderful day."
    rude = "This is a stupid, useless, terrible note."
    assert sentiment(kind) > 0.7
    assert sentiment(rude) < -0.5
    assert heldout(kind) > 0.5
    assert heldout(rude) < -0.5
