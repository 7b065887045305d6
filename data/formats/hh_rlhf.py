r"""HH-RLHF: a pair of whole transcripts a line, "\n\nHuman: ...\n\nAssistant: ...".

The prompt is what both transcripts have in common up to the last "\n\nAssistant:". One space behind
a colon belongs to the form, every other character to the text. No ids, no annotator, no ties.

Omitted on purpose: a repair of rows whose dialogues differ earlier; they are refused.

References:
    Bai et al. 2022, Training a Helpful and Harmless Assistant with RLHF, arXiv:2204.05862.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from data.formats.items import UNKNOWN, Answer, Format, Item, ReadOptions, read_items, text_of
from data.formats.preferences import pair_answer
from data.formats.source import Record
from data.jsonl import RowError
from data.messages import Message

ANNOTATOR = "hh-rlhf"
_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}
_SPEAKERS = {role: speaker for speaker, role in _ROLES.items()}


def is_transcript(value: object) -> bool:
    """Whether a text is a transcript in this form."""
    return isinstance(value, str) and value.startswith("\n\nHuman:")


def parse_transcript(text: str, field: str) -> list[Message]:
    """Return the turns of a transcript.

    Raises:
        RowError: BAD_DIALOGUE unless a person and the assistant take turns, the assistant last.
    """
    if not is_transcript(text):
        raise RowError("BAD_DIALOGUE", field, r"it does not start with \n\nHuman:")
    _, *parts = _TURN.split(text)
    speakers, contents = parts[::2], parts[1::2]
    for number, (earlier, later) in enumerate(pairwise(speakers), start=2):
        if earlier == later:
            message = f"turn {number} is {later} after {earlier}"
            raise RowError("BAD_DIALOGUE", field, message)
    if speakers[-1] != "Assistant":
        raise RowError("BAD_DIALOGUE", field, "the last turn is Human, not Assistant")
    return [
        {"role": _ROLES[speaker], "content": content.removeprefix(" ")}
        for speaker, content in zip(speakers, contents, strict=True)
    ]


def split_pair(chosen: Sequence[Message], rejected: Sequence[Message]) -> list[Message]:
    """Return the prompt of two dialogues that may differ in their last turn alone.

    Raises:
        RowError: NO_COMMON_PROMPT if they differ before it.
    """
    prompt = list(chosen[:-1])
    if prompt != list(rejected[:-1]):
        message = "the two dialogues differ before the last assistant turn"
        raise RowError("NO_COMMON_PROMPT", "rejected", message)
    return prompt


def render_transcript(messages: Sequence[Mapping[str, str]], response: str) -> str | None:
    """Write a dialogue in this form; None if reading it again would give another dialogue."""
    turns = [*messages, {"role": "assistant", "content": response}]
    if any(turn["role"] not in _SPEAKERS for turn in turns):
        return None
    text = "".join(f"\n\n{_SPEAKERS[turn['role']]}: {turn['content']}" for turn in turns)
    try:
        return text if parse_transcript(text, "") == turns else None
    except RowError:
        return None


def _matches(row: Mapping[str, Any]) -> bool:
    return is_transcript(row.get("chosen")) and "rejected" in row


def _read(path: Path, options: ReadOptions) -> Iterator[Item]:
    def convert(record: Record) -> Iterator[Answer]:
        chosen = parse_transcript(text_of(record.row, "chosen"), "chosen")
        rejected = parse_transcript(text_of(record.row, "rejected"), "rejected")
        yield pair_answer(
            split_pair(chosen, rejected),
            chosen[-1]["content"],
            rejected[-1]["content"],
            annotator=options.annotator or ANNOTATOR,
            generators=(UNKNOWN, UNKNOWN),
        )

    return read_items(path, convert)


FORMAT = Format(
    "hh-rlhf", "HH-RLHF: pairs of transcripts, JSON lines", _matches, _read, is_pairs=True
)
