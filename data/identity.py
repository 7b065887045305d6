"""Identities: ids derived from content, and the hashes that stand for content.

Ids made here are stable over runs and machines, so that a thing made twice is stored once. A
user's files may bring their own ids; hashes then tell whether the content behind an id changed.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from data.families import normalised_dialogue

_SLOW = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def canonical_json(value: Any) -> str:
    """Write a JSON value in its one canonical form: sorted keys, no spaces, no escapes.

    A fraction is written as orjson writes it, 1e-7 where Python has 1e-07. No id of a prompt, set
    or ranking holds one.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        # An integer beyond 64 bits: no row may have one, but a refusal has to name it first.
        return _SLOW.encode(value)


def sha256_bytes(raw: bytes) -> str:
    """Return the sha256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(raw).hexdigest()


def sha256_text(text: str) -> str:
    """Return the sha256 of the UTF-8 bytes of a text, 64 hexadecimal digits."""
    return sha256_bytes(text.encode("utf-8"))


def prompt_id(messages: Sequence[Mapping[str, str]]) -> str:
    """Return ``p_`` + the first 16 digits of the hash of the canonical messages."""
    return "p_" + sha256_text(canonical_json(list(messages)))[:16]


def response_id(prompt_id: str, text: str) -> str:
    """Return ``r_`` + the first 16 digits of the hash of prompt id and text."""
    return "r_" + sha256_text(f"{prompt_id}\n{text}")[:16]


def set_id(prompt_id: str, response_ids: Iterable[str]) -> str:
    """Return ``s_`` + the first 16 digits of the hash of prompt id and sorted response ids."""
    return "s_" + sha256_text("\n".join([prompt_id, *sorted(response_ids)]))[:16]


def normalised_sha256(messages: Sequence[Mapping[str, str]]) -> str:
    """Return the hash of a whole dialogue after normalisation: equal means the same text."""
    return sha256_text(normalised_dialogue(messages))


def shown_sha256(messages: Sequence[Mapping[str, str]], texts: Mapping[str, str]) -> str:
    """Return the hash of what an annotator saw.

    Args:
        messages: The dialogue.
        texts: Response id -> text, of the whole set, in any order.

    Returns:
        The hash that a ranking may carry as ``shown_sha256``.
    """
    return sha256_text(canonical_json({"messages": list(messages), "responses": dict(texts)}))
