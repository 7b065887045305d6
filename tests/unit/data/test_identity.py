"""Identities: the ids of the contract, independent of order and spelling where they should be."""

import hashlib
import json

from data import identity

MESSAGES = [{"role": "user", "content": "请解释递归。"}]


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


def test_normalised_hash_folds_case_space_and_form() -> None:
    twin = [{"role": "user", "content": "  \uff21  e\u0301\n"}]
    assert identity.normalised_sha256(twin) == identity.normalised_sha256(
        [{"role": "user", "content": "a é"}]
    )
    assert identity.normalised_sha256(MESSAGES) != identity.normalised_sha256(twin)
