"""The demo grammar: fair between styles, and parsed exactly."""

import copy
import itertools
import logging
import re
import statistics
import tomllib
from importlib.resources import files

import pytest

from data.corpus import Family, render_prompts, render_reply
from data.gold import heldout, sentiment
from data.grammar import PRODUCT, Grammar, Style, grammar_from, load_grammar

GRAMMAR = load_grammar()
LOG = logging.getLogger(__name__)  # figures: --log-cli-level=INFO
STYLES = {style.name: style for style in GRAMMAR.styles}


def replies(style: Style, product: str = "jacket") -> list[str]:
    """Every reply of a style about one product."""
    return [" ".join(slots).replace(PRODUCT, product) for slots in itertools.product(*style.slots)]


def means(measure) -> dict[str, float]:
    """A measure's mean over all replies of each style; every tenth reply would do as well."""
    return {
        name: statistics.mean(measure(text) for text in replies(style)[::7])
        for name, style in STYLES.items()
    }


def spread(values: dict[str, float]) -> float:
    return max(values.values()) / min(values.values())


def test_size():
    assert len(GRAMMAR.products) * len(GRAMMAR.problems) == 320
    assert len(GRAMMAR.prompts) >= 4
    assert list(STYLES) == ["kind", "neutral", "rude", "off_topic"]
    assert {tuple(len(slot) for slot in style.slots) for style in GRAMMAR.styles} == {(10, 10, 10)}


def test_mean_lengths_within_ten_percent():
    characters = {
        name: statistics.mean(len(text) for text in replies(style))
        for name, style in STYLES.items()
    }
    words = {
        name: statistics.mean(len(text.split()) for text in replies(style))
        for name, style in STYLES.items()
    }
    LOG.info("characters %s words %s", characters, words)
    assert spread(characters) <= 1.10
    assert spread(words) <= 1.10
    lengths = [len(text.split()) for style in GRAMMAR.styles for text in replies(style)]
    assert min(lengths) >= 14
    assert max(lengths) <= 22


def test_vocabulary_is_small():
    texts = [*GRAMMAR.products, *GRAMMAR.problems.values(), *GRAMMAR.prompts]
    texts += [phrasing for style in GRAMMAR.styles for slot in style.slots for phrasing in slot]
    words = {word for text in texts for word in re.findall(r"[A-Za-z]+", text)}
    LOG.info("different words: %d", len(words))
    assert len(words) <= 420
    assert all(text.isascii() for text in texts)


def test_sentiment_separates_styles():
    vader, blob = means(sentiment), means(heldout)
    LOG.info("VADER %s TextBlob %s", vader, blob)
    assert vader["kind"] > 0.7
    assert abs(vader["neutral"]) < 0.1
    assert vader["rude"] < -0.4
    assert 0.0 <= vader["off_topic"] < 0.2
    assert blob["kind"] - 0.2 > blob["neutral"] > blob["rude"] + 0.2
    assert statistics.pstdev(sentiment(text) for text in replies(STYLES["kind"])[::7]) > 0.1


def test_products_and_problems_are_neutral_words():
    assert [word for word in GRAMMAR.products if sentiment(word) or heldout(word)] == []
    assert [text for text in GRAMMAR.problems.values() if sentiment(text)] == []


def test_product_words_stand_nowhere_else():
    texts = [*GRAMMAR.problems.values(), *GRAMMAR.prompts]
    texts += [phrasing for style in GRAMMAR.styles for slot in style.slots for phrasing in slot]
    assert [text for text in texts if GRAMMAR.products_named(text)] == []
    assert not {word[0] for word in GRAMMAR.products} & set("aeiou")  # "a {product}" is right


@pytest.mark.parametrize("style", GRAMMAR.styles, ids=lambda style: style.name)
def test_every_phrasing_of_the_middle_names_a_product_once(style):
    assert all(text.count(PRODUCT) == 1 for text in style.slots[1])
    assert all(PRODUCT not in text for slot in (style.slots[0], style.slots[2]) for text in slot)


@pytest.mark.parametrize("product", GRAMMAR.products)
def test_every_rendered_reply_parses(product):
    family = Family(product, "late")
    for style in GRAMMAR.styles:
        for number in range(40):
            text = render_reply(GRAMMAR, style, family, f"test|{number}")
            assert GRAMMAR.parse_reply(text) == style.name
            assert len(GRAMMAR.products_named(text)) == 1
            assert style.names == "any" or GRAMMAR.products_named(text) == (product,)


def test_off_topic_names_the_product_asked_about_half_of_the_time():
    family = Family("tent", "small")
    texts = [render_reply(GRAMMAR, STYLES["off_topic"], family, str(n)) for n in range(1000)]
    share = statistics.mean(GRAMMAR.products_named(text) == ("tent",) for text in texts)
    assert 0.45 < share < 0.55


def test_mutated_replies_do_not_parse():
    slots = [slot[0].replace(PRODUCT, "tent") for slot in STYLES["kind"].slots]
    rude = [slot[0].replace(PRODUCT, "tent") for slot in STYLES["rude"].slots]
    whole = " ".join(slots)
    assert GRAMMAR.parse_reply(whole) is not None
    mutants = [
        "",
        " " + whole,
        whole + " ",
        whole + "\n",
        whole[:-1],
        whole.lower(),
        whole.replace(" ", "  ", 1),
        whole.replace("tent", "boat"),
        whole.replace("tent", "tents"),
        whole.replace("tent", "tent lamp"),
        whole.replace("tent", PRODUCT),
        " ".join(slots[:2]),
        " ".join([slots[1], slots[0], slots[2]]),
        " ".join([*slots, slots[2]]),
        " ".join([rude[0], *slots[1:]]),
        " ".join([*slots[:2], rude[2]]),
        f"{whole} {whole}",
    ]
    assert [text for text in mutants if GRAMMAR.parse_reply(text) is not None] == []


def test_no_reply_loses_a_character_and_still_parses():
    for style in GRAMMAR.styles:
        text = replies(style, "sofa")[123]
        shorter = [text[:at] + text[at + 1 :] for at in range(len(text))]
        assert [it for it in shorter if GRAMMAR.parse_reply(it) is not None] == []


def test_two_products_in_one_reply_do_not_parse():
    style = Style(
        name="kind", names="asked", slots=(("A {product}.",), ("The {product}.",), ("End.",))
    )
    grammar = Grammar(products=("tent", "lamp"), problems={}, prompts=(), styles=(style,))
    assert grammar.parse_reply("A tent. The tent. End.") is not None
    assert grammar.parse_reply("A tent. The lamp. End.") is None


def test_products_are_named_by_whole_words():
    assert GRAMMAR.products_named("A Tent, a lamp and a tent.") == ("lamp", "tent")
    assert GRAMMAR.products_named("The tents, the lamppost, my_tent") == ()
    assert GRAMMAR.product_asked("my tent is late") == "tent"
    assert GRAMMAR.product_asked("my tent and my lamp are late") is None
    assert GRAMMAR.product_asked("hello") is None


def test_every_prompt_names_its_product():
    for product, problem in itertools.product(GRAMMAR.products, GRAMMAR.problems):
        for messages in render_prompts(GRAMMAR, Family(product, problem)):
            assert GRAMMAR.product_asked(messages[0]["content"]) == product


def test_unequal_styles_are_refused():
    text = (files("data") / "seeds" / "support_desk.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    unequal = copy.deepcopy(table)
    unequal["styles"]["kind"]["slots"][0].pop()
    with pytest.raises(ValueError, match="unequal numbers of phrasings"):
        grammar_from(unequal)
    table["styles"]["kind"]["slots"][0][0] = table["styles"]["rude"]["slots"][0][0]
    with pytest.raises(ValueError, match="stands twice"):
        grammar_from(table)
