"""set/1 rows: each kind of bad row with its exact code, field and message."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.identity import sha256_text
from data.jsonl import RowError
from data.sets import KnownSets, ResponseSet, RunPrompts, check_set, parse_set, run_prompt

MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]


def response(name: str, text: str) -> dict[str, str]:
    return {"response_id": name, "text": text, "generator": "sft"}


def good(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "schema": "set/1",
        "set_id": "s1",
        "prompt_id": "p7",
        "messages": MESSAGES,
        "responses": [response("r1", "Light."), response("r2", "Air."), response("r3", "Magic.")],
        "guideline_version": "1",
        "campaign": "pilot",
    }
    return {**row, **changes}


def knowing() -> KnownSets:
    prompt = run_prompt("p7", "f7", "train", MESSAGES)
    twin = run_prompt("p3", "f3", "test", [{"role": "user", "content": "WHAT is  it?"}])
    same = run_prompt("p4", "f4", "train", [{"role": "user", "content": "What is it?"}])
    by_id = {one.prompt_id: one for one in (prompt, twin, same)}
    by_norm = {prompt.norm_sha256: prompt, twin.norm_sha256: twin}
    return KnownSets(prompts=RunPrompts(by_id=by_id, by_norm=by_norm))


def check(row: dict[str, Any], known: KnownSets) -> ResponseSet:
    response_set = parse_set(row)
    check_set(response_set, known)
    return response_set


BAD = [
    (good(schema="set/2"), "SCHEMA_VERSION", "schema",
     "schema is 'set/2'; this reader knows 'set/1'"),
    (good(k=3), "UNKNOWN_FIELD", "k", "unknown: k"),
    (good(set_id="a b"), "BAD_ID", "set_id",
     "set_id must be 1 to 128 letters, digits or _.:@/+-, found 'a b'"),
    (good(responses=[response("r1", " \n"), response("r2", "x")]), "EMPTY_TEXT",
     "responses.0.text", "response r1 is empty"),
    (good(responses=[response("r1", "x"), response("r2", "y"), response("r3", "x")]),
     "DUPLICATE_RESPONSE", "responses",
     "r1 and r3 have the same text; a rank between them means nothing"),
    (good(responses=[response("r1", "e\u0301"), response("r2", "y"), response("r3", "é")]),
     "DUPLICATE_RESPONSE", "responses",
     "r1 and r3 have the same text; a rank between them means nothing"),
    (good(responses=[response("r1", "x"), response("r1", "y")]), "DUPLICATE_RESPONSE",
     "responses", "response_id r1 appears twice"),
    (good(responses=[response("r1", "x"), response("r2", "x")]), "K_RANGE", "responses",
     "1 distinct response; a set needs 2 to 9"),
    (good(responses=[response("r1", "x")]), "K_RANGE", "responses",
     "1 distinct response; a set needs 2 to 9"),
    (good(responses=[]), "K_RANGE", "responses", "0 distinct responses; a set needs 2 to 9"),
    (good(responses=[response(f"r{i}", f"x{i}") for i in range(10)]), "K_RANGE", "responses",
     "10 distinct responses; a set needs 2 to 9"),
    (good(responses=["x", "y"]), "BAD_TYPE", "responses.0",
     "responses.0 must be an object, found 'x'"),
    (good(messages=[*MESSAGES, {"role": "assistant", "content": "x"}]), "BAD_MESSAGES",
     "messages", "last message must be from the user"),
    (good(purpose="fun"), "BAD_PURPOSE", "purpose",
     "purpose is 'fun'; known: main, overlap, gold, retest, calibration"),
    (good(purpose="retest"), "BAD_PURPOSE", "retest_of",
     "a retest, and only a retest, names retest_of"),
    (good(prompt_id="p9"), "UNKNOWN_PROMPT", "prompt_id", "no prompt 'p9' in this run"),
    (good(messages=[{"role": "user", "content": "Other"}]), "PROMPT_CHANGED", "messages",
     "prompt p7 was stored with other text"),
    (good(prompt_id="p4", messages=[{"role": "user", "content": "What is it?"}]),
     "FAMILY_CONFLICT", "messages", "same text as p3 (split test)"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "code", "field", "message"), BAD)
def test_bad_rows(row: dict[str, Any], code: str, field: str, message: str) -> None:
    with pytest.raises(RowError) as caught:
        check(row, knowing())
    error = caught.value
    assert (error.code, error.field, error.message) == (code, field, message)


def test_ledger_knows_another_text_for_the_prompt() -> None:
    known = knowing()
    known.stored_prompts["p7"] = sha256_text("other")
    with pytest.raises(RowError, match="prompt p7 was stored with other text"):
        check(good(), known)


def test_same_set_from_another_generator_is_a_duplicate() -> None:
    known = knowing()
    known.add(check(good(), known))
    again = [{**one, "generator": "ppo"} for one in reversed(good()["responses"])]
    with pytest.raises(RowError) as caught:
        check(good(responses=again, campaign="other"), known)
    assert caught.value.code == "DUPLICATE"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"purpose": "gold"}, "IDEMPOTENCY_CONFLICT"),
        ({"responses": good()["responses"][:2]}, "IDEMPOTENCY_CONFLICT"),
        ({"set_id": "s2", "responses": [response("r1", "New"), response("r9", "x")]},
         "RESPONSE_CHANGED"),
    ],
)  # fmt: skip
def test_other_content_under_a_known_id(changes: dict[str, Any], code: str) -> None:
    known = knowing()
    known.add(check(good(), known))
    with pytest.raises(RowError) as caught:
        check(good(**changes), known)
    assert caught.value.code == code


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(good(purpose=1, retest_of=1))),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["role", "text", "response_id"]), inner)
        ),
        max_leaves=5,
    ),
)
def test_any_value_in_any_field_never_crashes(field: str, value: Any) -> None:
    with contextlib.suppress(RowError):
        check(good(**{field: value}), knowing())
