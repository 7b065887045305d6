"""Identities: the ids of the contract, independent of order and spelling where they should be."""

import hashlib
import json
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from data import identity

MESSAGES = [{"role": "user", "content": "请解释递归。"}]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS
TREES = st.recursive(SCALARS, lambda one: st.lists(one) | st.dictionaries(TEXTS, one))


def test_prompt_id_is_the_hash_of_canonical_messages() -> None:
    canonical = '[{"content":"请解释递归。","role":"user"}]'
    expected = "p_" + hashlib.sha256(canonical.encode()).hexdigest()[:16]
    assert identity.prompt_id(MESSAGES) == expected
    assert identity.prompt_id([{"content": "请解释递归。", "role": "user"}]) == expected


def test_response_id_hashes_prompt_and_text() -> None:
    expected = "r_" + hashlib.sha256("p_1\nGrün".encode()).hexdigest()[:16]
    assert identity.response_id("p_1", "Grün") == expected


def test_set_id_ignores_the_order_of_responses() -> None:
    expected = "s_" + hashlib.sha256(b"p_1\nr_1\nr_2").hexdigest()[:16]
    assert (
        identity.set_id("p_1", ["r_2", "r_1"]) == expected == identity.set_id("p_1", ["r_1", "r_2"])
    )


def test_canonical_json_is_one_form() -> None:
    value = {"b": [1, 2.5, None], "a": "é"}
    assert identity.canonical_json(value) == '{"a":"é","b":[1,2.5,null]}'
    assert json.loads(identity.canonical_json(value)) == value


def in_the_standard_library(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@given(TREES)
def test_canonical_json_without_fractions_is_what_anyones_python_writes(value: Any) -> None:
    assert identity.canonical_json(value) == in_the_standard_library(value)


def test_every_character_is_written_and_sorted_as_anyones_python_does() -> None:
    characters = [chr(i) for i in range(sys.maxunicode + 1) if not 0xD800 <= i < 0xE000]
    named = dict.fromkeys(reversed(characters))
    assert len(named) == 0x110000 - 0x800
    assert identity.canonical_json(named) == in_the_standard_library(named)


def test_normalised_hash_folds_case_space_and_form() -> None:
    twin = [{"role": "user", "content": "  \uff21  e\u0301\n"}]
    assert identity.normalised_sha256(twin) == identity.normalised_sha256(
        [{"role": "user", "content": "a é"}]
    )
    assert identity.normalised_sha256(MESSAGES) != identity.normalised_sha256(twin)
