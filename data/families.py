"""Prompt families and their splits: the wall between what is trained on and what is tested.

A family holds the prompts that must not be separated. A split belongs to a family, never to a
prompt or a pair, so that everything derived from a family inherits the split and no leak can be
written. The rule is a hash: stable when data grows, with no state to keep.

Omitted on purpose: finding near-duplicates. Prompts that differ by more than spacing, case or
Unicode form are different families unless the user's file says otherwise.
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Split = Literal["train", "validation", "test"]


class Shares(NamedTuple):
    """Shares of the families, each in [0, 1], adding up to 1."""

    train: float
    validation: float
    test: float


def normalise(text: str) -> str:
    """NFKC, runs of white space to one space, casefold: two texts with one value are one text."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def normalised_dialogue(messages: Sequence[Mapping[str, str]]) -> str:
    """The whole conversation, normalised, one `role: content` a line."""
    return "\n".join(f"{turn['role']}: {normalise(turn['content'])}" for turn in messages)


def family_id(messages: Sequence[Mapping[str, str]]) -> str:
    """The family of a prompt that names none: "f_" + 16 digits of its normalised text's hash."""
    digest = hashlib.sha256(normalised_dialogue(messages).encode()).hexdigest()
    return f"f_{digest[:16]}"


def split_of(family: str, shares: Shares, salt: str) -> Split:
    """Maps a family to its split by u = sha256(salt | family)[:8] / 2^64.

    Args:
        family: The family's id.
        shares: Shares of the splits.
        salt: Changes the whole assignment; the same in every run that is to be compared.

    Returns:
        "test" for u < test, "validation" for the next share, else "train".
    """
    digest = hashlib.sha256(f"{salt}|{family}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < shares.test:
        return "test"
    if position < shares.test + shares.validation:
        return "validation"
    return "train"
