"""Rows of prompts and SFT pairs that a user brings."""

from typing import Any

import pytest

from data.jsonl import RowError
from data.messages import check_messages, parse_prompt_row, parse_sft_row

USER = {"role": "user", "content": "Hi"}
REPLY = {"role": "assistant", "content": "Hello"}


@pytest.mark.parametrize(
    ("messages", "field", "message"),
    [
        ([USER, REPLY], "messages", "last message must be from the user"),
        ([REPLY], "messages", "there is no user turn"),
        ([], "messages", "there is no user turn"),
        ([{"role": "bot", "content": "x"}], "messages.0",
         "unknown role 'bot'; known: system, user, assistant"),
        ([{"role": ["user"], "content": "x"}], "messages.0",
         "unknown role ['user']; known: system, user, assistant"),
        ([{"role": "user", "content": " "}], "messages.0",
         "the content of a message must be text, not empty"),
        ([{"role": "user"}], "messages.0",
         "a message must be an object with role and content, found {'role': 'user'}"),
        (["Hi"], "messages.0", "a message must be an object with role and content, found 'Hi'"),
    ],
)  # fmt: skip
def test_bad_messages(messages: list[Any], field: str, message: str) -> None:
    with pytest.raises(RowError) as caught:
        check_messages(messages)
    error = caught.value
    assert (error.code, error.field, error.message) == ("BAD_MESSAGES", field, message)


def test_prompt_row_is_a_text_or_messages() -> None:
    assert parse_prompt_row({"prompt": "Hi"}) == [USER]
    row = {"messages": [USER, REPLY, USER], "prompt_id": "p7", "family": "tree/1"}
    assert parse_prompt_row(row) == [USER, REPLY, USER]


def test_sft_row_adds_a_response() -> None:
    assert parse_sft_row({"prompt": "Hi", "response": "Hello"}) == ([USER], "Hello")


@pytest.mark.parametrize(
    ("row", "code", "field"),
    [
        ({}, "MISSING_FIELD", "prompt"),
        ({"prompt": "Hi", "messages": [USER]}, "MISSING_FIELD", "prompt"),
        ({"prompt": "Hi", "text": "x"}, "UNKNOWN_FIELD", "text"),
        ({"prompt": 5}, "BAD_TYPE", "prompt"),
        ({"prompt": "\n"}, "EMPTY_TEXT", "prompt"),
        ({"messages": "Hi"}, "BAD_TYPE", "messages"),
        ({"prompt": "Hi", "family": ""}, "BAD_ID", "family"),
        ({"prompt": "Hi", "prompt_id": "a b"}, "BAD_ID", "prompt_id"),
    ],
)
def test_bad_prompt_rows(row: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(RowError) as caught:
        parse_prompt_row(row)
    assert (caught.value.code, caught.value.field) == (code, field)


@pytest.mark.parametrize(
    ("row", "code"),
    [({"prompt": "Hi"}, "MISSING_FIELD"), ({"prompt": "Hi", "response": " "}, "EMPTY_TEXT")],
)
def test_bad_sft_rows(row: dict[str, Any], code: str) -> None:
    with pytest.raises(RowError) as caught:
        parse_sft_row(row)
    assert (caught.value.code, caught.value.field) == (code, "response")
