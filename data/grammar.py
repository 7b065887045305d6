"""The grammar of the demo corpus: load it, and say what a text is in its terms.

A reply is one phrasing of each slot of one style, joined by single spaces. Parsing is exact: a
reply is in the grammar as a whole or not at all, so that "well formed" is a plain fact.

Omitted on purpose: rendering (see corpus.py) and any judgement of a reply (see gold.py).
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, Literal

PRODUCT = "{product}"
PROBLEM = "{problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A manner of replying.

    Attributes:
        name: kind, neutral, rude or off_topic.
        names: "asked" if a reply names the product asked about, "any" if it may name another.
        slots: Phrasings of each slot, in the order of the slots.
    """

    name: str
    names: Literal["asked", "any"]
    slots: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """The whole grammar.

    Attributes:
        products: Single nouns.
        problems: Predicates said of a product, by their short name.
        prompts: Phrasings of a prompt with {product} and {problem}.
        styles: The manners of replying.
    """

    products: tuple[str, ...]
    problems: Mapping[str, str]
    prompts: tuple[str, ...]
    styles: tuple[Style, ...]

    @cached_property
    def _product_pattern(self) -> re.Pattern[str]:
        return re.compile(rf"\b(?:{_one_of(self.products)})\b", re.IGNORECASE)

    @cached_property
    def _reply_patterns(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        return tuple((style.name, _style_pattern(style, self.products)) for style in self.styles)

    def products_named(self, text: str) -> tuple[str, ...]:
        """Products that stand in a text as whole words in any case, each once, in our order."""
        found = {match.lower() for match in self._product_pattern.findall(text)}
        return tuple(product for product in self.products if product in found)

    def product_asked(self, prompt: str) -> str | None:
        """The product that a prompt is about, or None where it names none or several."""
        named = self.products_named(prompt)
        return named[0] if len(named) == 1 else None

    def parse_reply(self, text: str) -> str | None:
        """Parses a reply, without the space that follows "Assistant:".

        Args:
            text: The reply.

        Returns:
            The name of its style, or None unless the whole text is one phrasing of each slot of
            one style, in order, joined by single spaces, all about one product.
        """
        for name, pattern in self._reply_patterns:
            if pattern.fullmatch(text):
                return name if len(self.products_named(text)) == 1 else None
        return None


def load_grammar() -> Grammar:
    """Reads the shipped grammar, seeds/support_desk.toml."""
    text = (files("data") / "seeds" / "support_desk.toml").read_text(encoding="utf-8")
    return grammar_from(tomllib.loads(text))


def grammar_from(table: Mapping[str, Any]) -> Grammar:
    """Builds a grammar from its parsed TOML.

    Args:
        table: Keys products, prompts, problems, styles as in seeds/support_desk.toml.

    Returns:
        The grammar.

    Raises:
        ValueError: Styles differ in their numbers of slots or phrasings, or share a phrasing.
    """
    styles = tuple(
        Style(name=name, names=style["names"], slots=tuple(tuple(slot) for slot in style["slots"]))
        for name, style in table["styles"].items()
    )
    sizes = {tuple(len(slot) for slot in style.slots) for style in styles}
    if len(sizes) != 1:
        raise ValueError(f"styles have unequal numbers of phrasings: {sorted(sizes)}")
    phrasings = [phrasing for style in styles for slot in style.slots for phrasing in slot]
    if len(set(phrasings)) != len(phrasings):
        raise ValueError("a phrasing stands twice; each must belong to one slot of one style")
    return Grammar(
        products=tuple(table["products"]),
        problems=dict(table["problems"]),
        prompts=tuple(table["prompts"]),
        styles=styles,
    )


def _style_pattern(style: Style, products: Sequence[str]) -> re.Pattern[str]:
    """Matches exactly the replies of a style, with any product in each place of one."""
    product = f"(?:{_one_of(products)})"
    slots = [
        "|".join(re.escape(phrasing).replace(re.escape(PRODUCT), product) for phrasing in slot)
        for slot in style.slots
    ]
    return re.compile(" ".join(f"(?:{slot})" for slot in slots))


def _one_of(words: Sequence[str]) -> str:
    """Alternatives of a regular expression, longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))
