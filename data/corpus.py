"""Renders the demo corpus from its grammar: prompts, SFT pairs and pretraining dialogues.

Every choice is a hash of what it is about, not a draw from a generator: the corpus is the same on
every machine, in every order, for every seed of a run.

Omitted on purpose: parsing replies back (see grammar.py) and the user's own files (see
corpus_files.py).
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from data.corpus_config import CorpusConfig
from data.corpus_files import read_corpus
from data.corpus_frames import (
    PRETRAIN_SCHEMA,
    PROMPTS_SCHEMA,
    SFT_SCHEMA,
    CorpusFrames,
    check_test_prompts,
    encode_messages,
    frame,
    shares_of,
)
from data.dialogue import render_dialogue
from data.families import split_of
from data.grammar import PROBLEM, PRODUCT, Grammar, Style, load_grammar
from data.identity import prompt_id

Messages = list[dict[str, str]]


class Family(NamedTuple):
    """A product with a problem, by its short name."""

    product: str
    problem: str

    @property
    def family_id(self) -> str:
        """Readable and unique: product/problem."""
        return f"{self.product}/{self.problem}"


def build_corpus(config: CorpusConfig) -> CorpusFrames:
    """The corpus that a config names.

    Args:
        config: Source, files and shares.

    Returns:
        Its three tables.

    Raises:
        InputError: A file of the user is missing or wrong, or the test split is too small.
    """
    if config.source == "files":
        return read_corpus(config)
    return render_corpus(config, load_grammar())


def render_corpus(config: CorpusConfig, grammar: Grammar) -> CorpusFrames:
    """Renders the grammar.

    Args:
        config: Shares, salt and rows per family.
        grammar: What to render.

    Returns:
        Prompts of all families; SFT and pretraining rows of train families, of which every style
        has the same number in each family.

    Raises:
        InputError: The test split is too small.
    """
    families = [
        Family(product, problem) for product in grammar.products for problem in grammar.problems
    ]
    split = {it: split_of(it.family_id, shares_of(config), config.split_salt) for it in families}
    train = [it for it in families if split[it] == "train"]
    prompts = [
        {
            "prompt_id": prompt_id(messages),
            "family_id": it.family_id,
            "split": split[it],
            "messages": encode_messages(messages),
            "stratum": it.product,
        }
        for it in families
        for messages in render_prompts(grammar, it)
    ]
    sft = [
        {"family_id": it.family_id, "messages": encode_messages(messages), "response": response}
        for it in train
        for messages, response in _examples(grammar, it, config.replies_per_family, "sft")
    ]
    pretrain = [
        {"family_id": it.family_id, "text": render_dialogue(messages, response)}
        for it in train
        for messages, response in _examples(grammar, it, config.dialogues_per_family, "pretrain")
    ]
    frames = CorpusFrames(
        prompts=frame(prompts, PROMPTS_SCHEMA).sort("family_id", "prompt_id"),
        sft=frame(sft, SFT_SCHEMA),
        pretrain=frame(pretrain, PRETRAIN_SCHEMA),
    )
    check_test_prompts(frames.prompts, config)
    return frames


def render_prompts(grammar: Grammar, family: Family) -> list[Messages]:
    """Every phrasing of a family's prompt, each as one user turn."""
    return [
        [{"role": "user", "content": _fill(phrasing, grammar, family)}]
        for phrasing in grammar.prompts
    ]


def render_reply(grammar: Grammar, style: Style, family: Family, key: str) -> str:
    """One reply.

    Args:
        grammar: Its products, from which an off-topic reply may take another.
        style: How to reply.
        family: What was asked about.
        key: Names the draw: the same key gives the same reply.

    Returns:
        A phrasing of each slot. A style that may name any product names the one asked about in
        half of the draws.
    """
    product = family.product
    if style.names == "any" and _draw(2, key, "topic"):
        others = [other for other in grammar.products if other != product]
        product = others[_draw(len(others), key, "other")]
    phrasings = (slot[_draw(len(slot), key, str(place))] for place, slot in enumerate(style.slots))
    return " ".join(phrasings).replace(PRODUCT, product)


def _examples(
    grammar: Grammar, family: Family, count: int, purpose: str
) -> Iterator[tuple[Messages, str]]:
    """Prompts in turn, each answered in every style before it comes again."""
    prompts = render_prompts(grammar, family)
    for index in range(count):
        turn, place = divmod(index, len(grammar.styles))
        style = grammar.styles[place]
        key = f"{purpose}|{family.family_id}|{turn}|{style.name}"
        yield prompts[turn % len(prompts)], render_reply(grammar, style, family, key)


def _fill(phrasing: str, grammar: Grammar, family: Family) -> str:
    """A prompt's phrasing with the family's product and problem."""
    problem = grammar.problems[family.problem]
    return phrasing.replace(PRODUCT, family.product).replace(PROBLEM, problem)


def _draw(count: int, *key: str) -> int:
    """A number in [0, count) that depends on the key alone."""
    digest = hashlib.sha256("|".join(key).encode()).digest()
    return int.from_bytes(digest[:8], "big") % count
