"""LLaMA-Factory's ranking rows in ShareGPT form: conversations, chosen, rejected.

Omitted on purpose: its Alpaca form, tools, and images.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.fields import shorten
from data.formats.items import (
    UNKNOWN,
    Answer,
    Format,
    Item,
    ReadOptions,
    field_of,
    object_of,
    objects_of,
    read_items,
    text_of,
)
from data.formats.preferences import pair_answer
from data.formats.source import Record
from data.jsonl import RowError
from data.messages import Message

ANNOTATOR = "llama-factory"
_ROLES = {"system": "system", "human": "user", "gpt": "assistant"}


def _message(turn: Mapping[str, Any], path: str) -> Message:
    speaker = field_of(turn, "from", path)
    if not isinstance(speaker, str) or speaker not in _ROLES:
        message = f"unknown speaker {shorten(speaker)}; known: {', '.join(_ROLES)}"
        raise RowError("BAD_MESSAGES", f"{path}.from", message)
    return {"role": _ROLES[speaker], "content": text_of(turn, "value", path)}


def _reply(row: Mapping[str, Any], name: str) -> str:
    message = _message(object_of(field_of(row, name), name), name)
    if message["role"] != "assistant":
        raise RowError("BAD_DIALOGUE", f"{name}.from", f"{name} is not from gpt")
    return message["content"]


def _convert(row: Mapping[str, Any], annotator: str) -> Answer:
    turns = objects_of(row, "conversations")
    messages = [_message(turn, f"conversations.{i}") for i, turn in enumerate(turns)]
    if row.get("system"):
        messages.insert(0, {"role": "system", "content": text_of(row, "system")})
    return pair_answer(
        messages,
        _reply(row, "chosen"),
        _reply(row, "rejected"),
        annotator=annotator,
        generators=(UNKNOWN, UNKNOWN),
    )


def _matches(row: Mapping[str, Any]) -> bool:
    return {"conversations", "chosen", "rejected"} <= row.keys()


def _read(path: Path, options: ReadOptions) -> Iterator[Item]:
    def convert(record: Record) -> Iterator[Answer]:
        yield _convert(record.row, options.annotator or ANNOTATOR)

    return read_items(path, convert)


FORMAT = Format(
    "llama-factory", "LLaMA-Factory: ShareGPT pairs, JSON", _matches, _read, is_pairs=True
)
