"""Finds the training texts that quote a prompt which training must not see.

A text quotes a prompt when every user turn of the prompt stands in it, both normalised. A turn
stands in a text as whole words only: "Write a poem about love" is not in "... about lovely cats".
Han, kana, Thai, Lao, Burmese and Khmer are written without spaces, so a turn that begins or ends
with such a letter may touch any letter there.

Omitted on purpose: paraphrases. Families are the unit of alikeness, and whoever assigns them says
which prompts are alike.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from data.families import normalise

# A prompt with less in its user turns ("hello") stands in innocent text too often to be a leak.
MIN_QUOTE_CHARACTERS = 20

_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
_INSIDE_WORD = re.compile(rf"[^\W{_UNSPACED}]{{2}}")

_Prompt = tuple[str, Sequence[Mapping[str, str]]]


class Quote(NamedTuple):
    """A prompt that a text quotes, and the longest of its user turns, normalised."""

    prompt_id: str
    turn: str


def find_quotes(prompts: Iterable[_Prompt], texts: Iterable[str]) -> dict[int, Quote]:
    """Looks for prompts in texts.

    Args:
        prompts: Id and messages of each prompt; those with less than MIN_QUOTE_CHARACTERS in
            their user turns are not looked for.
        texts: Where to look.

    Returns:
        Index of a text -> the first prompt that it quotes; texts that quote none are absent.
    """
    by_longest: dict[str, list[tuple[str, list[str]]]] = {}
    for prompt_id, messages in prompts:
        users = (normalise(turn["content"]) for turn in messages if turn["role"] == "user")
        turns = sorted(filter(None, users), key=len, reverse=True)
        if sum(map(len, turns)) >= MIN_QUOTE_CHARACTERS:
            by_longest.setdefault(turns[0], []).append((prompt_id, turns))
    if not by_longest:
        return {}
    normal = pl.Series("text", [normalise(text) for text in texts], pl.String)
    # One pass for the longest turns of all prompts at once; few texts remain to be read closely.
    found = normal.str.extract_many(list(by_longest), overlapping=True)
    quotes: dict[int, Quote] = {}
    for index in (found.list.len() > 0).arg_true():
        for longest in found[index].unique(maintain_order=True):
            for prompt_id, turns in by_longest[longest]:
                if all(_stands_in(turn, normal[index]) for turn in turns):
                    quotes.setdefault(index, Quote(prompt_id, longest))
    return quotes


def _stands_in(turn: str, text: str) -> bool:
    """Whether a turn stands in a text as whole words; both are normalised."""
    start = text.find(turn)
    while start >= 0:
        cuts_first = start > 0 and _INSIDE_WORD.match(text, start - 1)
        if not (cuts_first or _INSIDE_WORD.match(text, start + len(turn) - 1)):
            return True
        start = text.find(turn, start + 1)
    return False
