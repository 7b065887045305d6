"""Dialogues: the messages of a prompt, from a prompt row, an SFT row or a set.

A prompt row is {"prompt": "text"} or {"messages": [{"role", "content"}, ...]}, with optional
"prompt_id" and "family"; an SFT row adds "response". Splitting by family is done elsewhere.
"""

from typing import Any

from data.fields import check_keys, require_id, require_list, require_text, shorten
from data.jsonl import RowError

ROLES = ("system", "user", "assistant")
_MESSAGE_KEYS = frozenset({"role", "content"})
_OPTIONAL = frozenset({"prompt", "messages", "prompt_id", "family"})

Message = dict[str, str]


def check_messages(messages: list[Any], *, field: str = "messages") -> list[Message]:
    """Check a dialogue that waits for a reply.

    Returns:
        The messages, each with exactly role and content.

    Raises:
        RowError: BAD_MESSAGES unless every role is known, no content is blank and the last
            message is the user's.
    """
    for index, message in enumerate(messages):
        _check_message(message, f"{field}.{index}")
    if not any(message["role"] == "user" for message in messages):
        raise RowError("BAD_MESSAGES", field, "there is no user turn")
    if messages[-1]["role"] != "user":
        raise RowError("BAD_MESSAGES", field, "last message must be from the user")
    return messages


def parse_prompt_row(row: dict[str, Any]) -> list[Message]:
    """Return the dialogue of a user's prompt row, its other fields checked too.

    Raises:
        RowError: Naming the field at fault.
    """
    check_keys(row, frozenset(), _OPTIONAL)
    return _dialogue(row)


def parse_sft_row(row: dict[str, Any]) -> tuple[list[Message], str]:
    """Return dialogue and response of a user's SFT row, its other fields checked too.

    Raises:
        RowError: Naming the field at fault.
    """
    check_keys(row, frozenset({"response"}), _OPTIONAL)
    response = require_text(row, "response")
    if not response.strip():
        raise RowError("EMPTY_TEXT", "response", "response is empty")
    return _dialogue(row), response


def _dialogue(row: dict[str, Any]) -> list[Message]:
    for field in ("prompt_id", "family"):
        if field in row:
            require_id(row, field)
    if ("prompt" in row) == ("messages" in row):
        raise RowError("MISSING_FIELD", "prompt", "give one of: prompt, messages")
    if "messages" in row:
        return check_messages(require_list(row, "messages"))
    text = require_text(row, "prompt")
    if not text.strip():
        raise RowError("EMPTY_TEXT", "prompt", "prompt is empty")
    return [{"role": "user", "content": text}]


def _check_message(message: object, field: str) -> None:
    if not isinstance(message, dict) or message.keys() != _MESSAGE_KEYS:
        wanted = "a message must be an object with role and content"
        raise RowError("BAD_MESSAGES", field, f"{wanted}, found {shorten(message)}")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        known = ", ".join(ROLES)
        raise RowError("BAD_MESSAGES", field, f"unknown role {shorten(role)}; known: {known}")
    if not isinstance(content, str) or not content.strip():
        raise RowError("BAD_MESSAGES", field, "the content of a message must be text, not empty")
