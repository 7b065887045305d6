"""Reads the user's own corpus: prompts.jsonl, sft.jsonl and, if there is one, pretrain.jsonl.

Prompt and SFT rows are those of messages.py; a pretrain row is {"text": "..."} with an optional
"family". A row that names no family belongs to that of the same text elsewhere, or else to one of
its own (see families.family_id). SFT rows and texts that belong to a held-out family, or quote a
prompt of one (see quotes.py), are left out.

Omitted on purpose: the fields of a row (see messages.py) and rankings (see rankings.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from data.corpus_config import CorpusConfig
from data.corpus_frames import (
    PRETRAIN_SCHEMA,
    PROMPTS_SCHEMA,
    SFT_SCHEMA,
    CorpusFrames,
    check_test_prompts,
    encode_messages,
    frame,
    shares_of,
)
from data.dialogue import render_dialogue, turn_text
from data.errors import InputError
from data.families import family_id, normalised_dialogue, split_of
from data.fields import check_keys, require_id, require_text
from data.identity import prompt_id
from data.jsonl import RowError, input_error, read_objects
from data.messages import Message, parse_prompt_row, parse_sft_row
from data.quotes import find_quotes

# Strata by characters of the whole prompt: up to the first bound, up to the second, beyond.
LENGTH_BOUNDS = (200, 1000)

_T = TypeVar("_T")
_Record = dict[str, str]
_Prompt = tuple[str, list[Message]]


class _Place(NamedTuple):
    """A line of a file."""

    path: Path
    line: int

    def error(self, code: str, field: str, message: str) -> InputError:
        """The error to raise for a field of this line."""
        return input_error(self.path, self.line, RowError(code, field, message))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A prompt as the user gave it; `response` is None in a prompts file."""

    messages: list[Message]
    response: str | None
    prompt_id: str
    family: str | None
    place: _Place


class _Wall:
    """Which family and split each text belongs to, told from all rows of all files."""

    def __init__(self, rows: Sequence[_Row], config: CorpusConfig) -> None:
        self._families = _families(rows)
        self._config = config

    def family(self, row: _Row) -> str:
        """The family of a row's prompt."""
        return self._families[normalised_dialogue(row.messages)]

    def split(self, family: str) -> str:
        """The split of a family."""
        return split_of(family, shares_of(self._config), self._config.split_salt)


def read_corpus(config: CorpusConfig) -> CorpusFrames:
    """Reads the user's files.

    Args:
        config: Paths, shares and salt; source "files".

    Returns:
        The three tables; SFT and pretraining rows of train families only.

    Raises:
        InputError: A file is missing, empty or wrong; the message says where and how to mend it.
    """
    prompts, repeats = _distinct(_read_rows(Path(config.prompts), has_response=False))
    _require_some(prompts, config.prompts, "no prompt")
    sft = list(_read_rows(Path(config.sft), has_response=True))
    wall = _Wall([*prompts, *sft], config)
    held_out = _held_out([*prompts, *sft], wall)
    train = _drop_quoting(
        [row for row in sft if wall.split(wall.family(row)) == "train"], _dialogue, held_out
    )
    _require_some(train, config.sft, "no row of a train family")
    if config.pretrain:
        pretrain, withheld = _read_texts(Path(config.pretrain), held_out, wall)
        _require_some(pretrain, config.pretrain, "no text of a train family")
    else:
        pretrain, withheld = [_dialogue_record(row, wall) for row in train], 0
    frames = CorpusFrames(
        prompts=frame([_prompt_record(row, wall) for row in prompts], PROMPTS_SCHEMA).sort(
            "family_id", "prompt_id"
        ),
        sft=frame([_sft_record(row, wall) for row in train], SFT_SCHEMA),
        pretrain=frame(pretrain, PRETRAIN_SCHEMA),
        notes=_notes(repeats, len(sft) - len(train), withheld),
    )
    check_test_prompts(frames.prompts, config)
    return frames


def _read_rows(path: Path, *, has_response: bool) -> Iterator[_Row]:
    """The rows of prompts.jsonl or sft.jsonl."""
    for line, row in read_objects(path):
        try:
            messages, response = _parse_row(row, has_response=has_response)
        except RowError as error:
            raise input_error(path, line, error) from None
        yield _Row(
            messages=messages,
            response=response,
            prompt_id=row.get("prompt_id") or prompt_id(messages),
            family=row.get("family"),
            place=_Place(path, line),
        )


def _parse_row(row: dict[str, Any], *, has_response: bool) -> tuple[list[Message], str | None]:
    """Dialogue and response of a row; a prompts row has no response."""
    return parse_sft_row(row) if has_response else (parse_prompt_row(row), None)


def _distinct(rows: Iterable[_Row]) -> tuple[list[_Row], int]:
    """Folds repeated prompts into one; returns the rest and how many were folded."""
    seen: dict[str, _Row] = {}
    repeats = 0
    for row in rows:
        first = seen.setdefault(row.prompt_id, row)
        if first is row:
            continue
        if first.messages != row.messages:
            raise row.place.error(
                "PROMPT_CHANGED",
                "prompt_id",
                f"PROMPT_CHANGED: {row.prompt_id} has other text in line {first.place.line};"
                " give this prompt another id",
            )
        if first.family != row.family:
            raise _family_conflict(row, first)
        repeats += 1
    return list(seen.values()), repeats


def _families(rows: Sequence[_Row]) -> dict[str, str]:
    """The family of each normalised dialogue; a named one counts for every row of that text."""
    named: dict[str, _Row] = {}
    families: dict[str, str] = {}
    for row in rows:
        if row.family is None:
            continue
        text = normalised_dialogue(row.messages)
        first = named.setdefault(text, row)
        if first.family != row.family:
            raise _family_conflict(row, first)
        families[text] = row.family
    for row in rows:
        families.setdefault(normalised_dialogue(row.messages), family_id(row.messages))
    return families


def _family_conflict(row: _Row, first: _Row) -> InputError:
    """One text in two families would stand on both sides of the wall."""
    return row.place.error(
        "FAMILY_CONFLICT",
        "family",
        f"FAMILY_CONFLICT: family is {row.family!r}, but {first.place.path}:{first.place.line} puts"
        f" the same text in {first.family!r}; give both rows one family",
    )


def _prompt_record(row: _Row, wall: _Wall) -> _Record:
    family = wall.family(row)
    return {
        "prompt_id": row.prompt_id,
        "family_id": family,
        "split": wall.split(family),
        "messages": encode_messages(row.messages),
        "stratum": _length_stratum(row.messages),
    }


def _sft_record(row: _Row, wall: _Wall) -> _Record:
    return {
        "family_id": wall.family(row),
        "messages": encode_messages(row.messages),
        "response": turn_text(row.response or ""),
    }


def _dialogue_record(row: _Row, wall: _Wall) -> _Record:
    return {"family_id": wall.family(row), "text": _dialogue(row)}


def _dialogue(row: _Row) -> str:
    return render_dialogue(row.messages, turn_text(row.response or ""))


def _length_stratum(messages: Sequence[Mapping[str, str]]) -> str:
    """short, medium or long, by the characters of all turns."""
    length = sum(len(turn["content"]) for turn in messages)
    return ("short", "medium", "long")[sum(length > bound for bound in LENGTH_BOUNDS)]


def _read_texts(path: Path, held_out: list[_Prompt], wall: _Wall) -> tuple[list[_Record], int]:
    """Texts of pretrain.jsonl that training may see, and the number of those it may not."""
    read = 0
    texts: list[_Record] = []
    for line, row in read_objects(path):
        read += 1
        text, family = _parse_text(row, _Place(path, line))
        if family is None or wall.split(family) == "train":
            own = family_id([{"role": "user", "content": text}])
            texts.append({"family_id": family or own, "text": text})
    kept = _drop_quoting(texts, lambda record: record["text"], held_out)
    return kept, read - len(kept)


def _parse_text(row: dict[str, Any], place: _Place) -> tuple[str, str | None]:
    """Text and family of a pretrain row."""
    try:
        check_keys(row, frozenset({"text"}), frozenset({"family"}))
        text = require_text(row, "text")
        family = require_id(row, "family") if "family" in row else None
    except RowError as error:
        raise input_error(place.path, place.line, error) from None
    if not text.strip():
        raise place.error("EMPTY_TEXT", "text", "text is empty; write some or delete the row")
    return text, family


def _held_out(rows: Sequence[_Row], wall: _Wall) -> list[_Prompt]:
    """Id and messages of the prompts of validation and test families."""
    return [
        (row.prompt_id, row.messages) for row in rows if wall.split(wall.family(row)) != "train"
    ]


def _drop_quoting(
    rows: list[_T], text_of: Callable[[_T], str], held_out: list[_Prompt]
) -> list[_T]:
    """The rows whose text quotes no held-out prompt."""
    quotes = find_quotes(held_out, map(text_of, rows))
    return [row for index, row in enumerate(rows) if index not in quotes]


def _require_some(rows: Sequence[object], path: str, missing: str) -> None:
    """Refuses a file that leaves nothing to work on."""
    if not rows:
        raise InputError(f"{path}: {missing}; add rows, or raise corpus.train")


def _notes(repeats: int, held_out_rows: int, held_out_texts: int) -> tuple[str, ...]:
    """What was left out, for the run's summary."""
    counted = (
        (repeats, "repeated prompts folded into one"),
        (held_out_rows, "SFT rows of held-out families, or quoting them, left out"),
        (held_out_texts, "pretraining texts of held-out families, or quoting them, left out"),
    )
    return tuple(f"{count} {what}" for count, what in counted if count)
