"""The two outside scorers of the demo: gold, which ranks, and a held-out one, which only reports.

Both are sentiment lexicons of other people, and gold adds a plain fact about the text. Neither is
ever the opinion of a model of ours. They are not fully independent of each other: a policy that
learns VADER's words learns some of TextBlob's.

Omitted on purpose: noise and ties (see rankers/simulated.py).

References:
    Hutto and Gilbert 2014, VADER: a parsimonious rule-based model for sentiment analysis.
    TextBlob, PatternAnalyzer, https://textblob.readthedocs.io.
"""

from collections.abc import Sequence
from functools import cache

from textblob import TextBlob
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from data.grammar import Grammar
from data.sets import ResponseSet


def gold(prompt: str, response: str, *, grammar: Grammar) -> float:
    """VADER compound of the response, + 1 if exactly the product asked about is named.

    Args:
        prompt: What was asked, as plain text.
        response: The reply's text.
        grammar: Knows the products.

    Returns:
        A number in [-1, 2]; in [-1, 1] where the prompt is about no product of the grammar.
    """
    return sentiment(response) + float(is_right_product(prompt, response, grammar=grammar))


def score_sets(sets: Sequence[ResponseSet], *, grammar: Grammar) -> dict[str, float]:
    """Gold of every response, by its id; what is asked is the last turn.

    Args:
        sets: Prompts with their responses.
        grammar: Knows the products.

    Returns:
        Response id -> gold, in the order of the sets.
    """
    return {
        response.response_id: gold(it.messages[-1]["content"], response.text, grammar=grammar)
        for it in sets
        for response in it.responses
    }


def is_right_product(prompt: str, response: str, *, grammar: Grammar) -> bool:
    """True if the response names the product asked about and no other.

    Args:
        prompt: What was asked, as plain text.
        response: The reply's text.
        grammar: Knows the products.

    Returns:
        False where the prompt names no product, or several.
    """
    asked = grammar.product_asked(prompt)
    return asked is not None and grammar.products_named(response) == (asked,)


def sentiment(text: str) -> float:
    """VADER's compound score in [-1, 1]."""
    return float(_vader().polarity_scores(text)["compound"])


def heldout(text: str) -> float:
    """TextBlob's polarity in [-1, 1]; never used in ranking."""
    return float(TextBlob(text).sentiment.polarity)


@cache
def _vader() -> SentimentIntensityAnalyzer:
    """The analyser, whose lexicon takes a tenth of a second to read."""
    return SentimentIntensityAnalyzer()
