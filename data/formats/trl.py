"""TRL preference rows: prompt, chosen and rejected, in their four shapes.

Plain text or message lists, the prompt apart or as what both begin with. Of plain text without a
prompt column, the prompt ends where the first word begins that is not the same; the space before
that word belongs to the response, so that prompt + response is the text that was given. A column
`system`, which is not TRL's but common, is a turn before the prompt.

Omitted on purpose: unpaired rows (prompt, completion, label), which compare nothing, and columns
that TRL does not know.

References:
    TRL, docs/source/dataset_formats.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.fields import shorten, wrong_type
from data.formats.hh_rlhf import is_transcript, split_pair
from data.formats.items import (
    UNKNOWN,
    Answer,
    Format,
    Item,
    ReadOptions,
    field_of,
    objects_of,
    read_items,
)
from data.formats.preferences import pair_answer
from data.formats.source import Record
from data.jsonl import RowError
from data.messages import Message

ANNOTATOR = "trl"
# What other tools call the prompt: what two replies begin with is none where one of these is.
_PROMPTS = ("question", "instruction", "input", "query", "problem", "context")
_LAST_LATIN = "\u024f"


def prompt_and_pair(row: Mapping[str, Any]) -> tuple[list[Message], str, str]:
    """Return the dialogue, the chosen and the rejected text of a row of any of the four shapes.

    Raises:
        RowError: UNPAIRED, NO_COMMON_PROMPT, or the code of a field of another type.
    """
    if "completion" in row and "chosen" not in row:
        message = "prompt, completion and label judge one completion; a comparison needs two"
        raise RowError("UNPAIRED", "completion", message)
    chosen, rejected = field_of(row, "chosen"), field_of(row, "rejected")
    prompt, better, worse = (
        _plain(row, chosen, rejected) if isinstance(chosen, str) else _conversational(row)
    )
    system = row.get("system")
    if isinstance(system, str) and system.strip() and prompt[:1] != [_system(system)]:
        prompt = [_system(system), *prompt]
    return prompt, better, worse


def _system(text: str) -> Message:
    return {"role": "system", "content": text}


def _plain(row: Mapping[str, Any], chosen: str, rejected: object) -> tuple[list[Message], str, str]:
    if not isinstance(rejected, str):
        raise wrong_type("rejected", "a string, as chosen is", rejected)
    if "prompt" not in row:
        other = next((name for name in _PROMPTS if row.get(name)), None)
        if other is not None:
            message = f"there is no column prompt, and there is {other!r}; rename it to prompt"
            raise RowError("NO_COMMON_PROMPT", "prompt", message)
        cut = _common_prompt(chosen, rejected)
        if not chosen[:cut].strip():
            message = "chosen and rejected do not begin alike, and there is no column prompt"
            raise RowError("NO_COMMON_PROMPT", "prompt", message)
        return [{"role": "user", "content": chosen[:cut]}], chosen[cut:], rejected[cut:]
    if not isinstance(row["prompt"], str):
        raise wrong_type("prompt", "a string, as chosen is", row["prompt"])
    return [{"role": "user", "content": row["prompt"]}], chosen, rejected


def _common_prompt(chosen: str, rejected: str) -> int:
    """Where the prompt of two texts ends: before the first word that differs."""
    pairs = enumerate(zip(chosen, rejected, strict=False))
    end = next((at for at, (a, b) in pairs if a != b), min(len(chosen), len(rejected)))
    # Scripts beyond Latin are cut at the character: many of them write no spaces.
    while end and chosen[end - 1].isalnum() and chosen[end - 1] <= _LAST_LATIN:
        end -= 1
    return end - 1 if end and chosen[end - 1].isspace() else end


def _conversational(row: Mapping[str, Any]) -> tuple[list[Message], str, str]:
    chosen, rejected = objects_of(row, "chosen"), objects_of(row, "rejected")
    if "prompt" in row:
        prompt = objects_of(row, "prompt")
        for name, turns in (("chosen", chosen), ("rejected", rejected)):
            if len(turns) != 1:
                message = f"{len(turns)} turns beside a prompt; one assistant turn is wanted"
                raise RowError("BAD_DIALOGUE", name, message)
    else:
        prompt = split_pair(chosen, rejected)
    texts = [
        last_reply(turns, name) for name, turns in (("chosen", chosen), ("rejected", rejected))
    ]
    return prompt, texts[0], texts[1]


def last_reply(turns: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return the text of the assistant turn that ends a list of messages.

    Raises:
        RowError: BAD_DIALOGUE if it does not end so.
    """
    last = turns[-1] if turns else {}
    is_message = last.keys() == {"role", "content"} and isinstance(last["content"], str)
    if not is_message or last["role"] != "assistant":
        message = f"the last turn must be the assistant's role and content, found {shorten(last)}"
        raise RowError("BAD_DIALOGUE", name, message)
    return str(last["content"])


def _matches(row: Mapping[str, Any]) -> bool:
    if "label" in row:
        return "completion" in row
    kinds = {type(row.get("chosen")), type(row.get("rejected"))}
    is_other = is_transcript(row.get("chosen")) or {"score_chosen", "conversations"} & row.keys()
    return len(kinds) == 1 and kinds <= {str, list} and not is_other


def _read(path: Path, options: ReadOptions) -> Iterator[Item]:
    def convert(record: Record) -> Iterator[Answer]:
        messages, chosen, rejected = prompt_and_pair(record.row)
        named = record.row.get("annotator")
        yield pair_answer(
            messages,
            chosen,
            rejected,
            annotator=named if isinstance(named, str) and named else options.annotator or ANNOTATOR,
            generators=(UNKNOWN, UNKNOWN),
        )

    return read_items(path, convert)


FORMAT = Format(
    "trl", "TRL preference: prompt, chosen, rejected, JSON lines", _matches, _read, is_pairs=True
)
