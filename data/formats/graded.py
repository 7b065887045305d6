"""Graded feedback: a grade or a number for each response, as chat programs collect it.

One row a response, {"prompt", "response", "grade"}, or one row a prompt, {"prompt", "responses":
[{"text", "grade"}, ...]}; "messages" may stand in place of "prompt". All responses that one
annotator graded for one prompt are one ranking: the better grade is above, equal grades are a tie.
Words have an order of their own (good, fine, fair, poor; 好, 不错, 一般, 差), numbers need a
direction.

Omitted on purpose: the size of the difference between two grades: how far good is from fair differs
between people.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.fields import require_list, shorten
from data.formats.items import (
    UNKNOWN,
    Answer,
    Candidate,
    Content,
    Format,
    Item,
    ReadOptions,
    dense_tiers,
    field_of,
    objects_of,
    text_of,
)
from data.formats.scores import grade_places, read_grade, read_score
from data.formats.source import Place, read_records
from data.identity import canonical_json
from data.jsonl import RowError
from data.messages import Message

ANNOTATOR = "graded"


@dataclass(slots=True, kw_only=True)
class _Group:
    """What one annotator graded for one prompt."""

    messages: list[Message]
    annotator: str
    places: list[Place] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    candidates: dict[str, Candidate] = field(default_factory=dict)
    grades: dict[str, float] = field(default_factory=dict)

    def add(self, text: str, generator: str, grade: float) -> None:
        """Take in a response."""
        if text in self.candidates:
            code = "DUPLICATE_ROW" if self.grades[text] == grade else "CONTRADICTION"
            message = "this response has that grade from this annotator already"
            if code == "CONTRADICTION":
                message = "this response has another grade from the same annotator"
            raise RowError(code, "grade", message)
        self.candidates[text] = Candidate(text, text, generator)
        self.grades[text] = grade

    def content(self, *, is_higher_better: bool) -> Content:
        """Return the ranking that the grades are."""
        if len(self.candidates) < 2:
            message = f"{len(self.candidates)} graded response to this prompt; a set needs 2 to 9"
            return RowError("K_RANGE", "response", message)
        return Answer(
            annotator=self.annotator,
            messages=self.messages,
            candidates=tuple(self.candidates.values()),
            tiers=dense_tiers(self.grades, is_higher_better=is_higher_better),
            is_order_known=False,
        )


class _Grades:
    """Grades of one file, which must all be words or all be numbers."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._options = options
        self._places = grade_places(options.order)
        self.is_higher_better = False
        self._kind: type | None = None

    def read(self, row: Mapping[str, Any], path: str = "") -> float:
        """Return a row's grade: a number as it is, the place of a word."""
        value = field_of(row, "grade", path)
        name = f"{path}.grade" if path else "grade"
        kind = str if isinstance(value, str) else float
        if self._kind not in (None, kind):
            message = f"grade is {shorten(value)}; words and numbers do not mix in one file"
            raise RowError("BAD_SCORE", name, message)
        if isinstance(value, str):
            grade: float = read_grade(value, name, self._places)
        else:
            self.is_higher_better = self._options.is_higher_better(self._path)
            grade = read_score(value, name, self._options.score_range)
        self._kind = kind
        return grade


def _messages(row: Mapping[str, Any]) -> list[Message]:
    if "messages" in row:
        return require_list(row, "messages")
    return [{"role": "user", "content": text_of(row, "prompt")}]


def _generator(row: Mapping[str, Any]) -> str:
    value = row.get("generator")
    return value if isinstance(value, str) and value else UNKNOWN


def _annotator(row: Mapping[str, Any], options: ReadOptions) -> str:
    value = row.get("annotator")
    return value if isinstance(value, str) and value else options.annotator or ANNOTATOR


def _matches(row: Mapping[str, Any]) -> bool:
    if not {"prompt", "messages"} & row.keys():
        return False
    responses = row.get("responses")
    first = responses[0] if isinstance(responses, list) and responses else {}
    return ("grade" in row and "response" in row) or (isinstance(first, dict) and "grade" in first)


def _read(path: Path, options: ReadOptions) -> Iterator[Item]:
    grades = _Grades(path, options)
    groups: dict[str, _Group] = {}
    for record in read_records(path):
        try:
            if record.error is not None:
                raise record.error
            row = record.row
            messages, annotator = _messages(row), _annotator(row, options)
            group = _Group(messages=messages, annotator=annotator)
            if "responses" in row:
                for index, one in enumerate(objects_of(row, "responses")):
                    at = f"responses.{index}"
                    group.add(text_of(one, "text", at), _generator(one), grades.read(one, at))
            else:
                group = groups.setdefault(canonical_json([annotator, messages]), group)
                group.add(text_of(row, "response"), _generator(row), grades.read(row))
        except RowError as error:
            yield Item(places=(record.place,), raw=record.raw, content=error)
            continue
        group.places.append(record.place)
        group.raws.append(record.raw)
        if "responses" in row:
            yield _item(group, grades)
    for group in groups.values():
        if group.places:
            yield _item(group, grades)


def _item(group: _Group, grades: _Grades) -> Item:
    content = group.content(is_higher_better=grades.is_higher_better)
    return Item(places=tuple(group.places), raw=b"\n".join(group.raws), content=content)


FORMAT = Format(
    "graded",
    "Grades of single responses: good, fair, poor, or numbers (needs --direction); JSON lines",
    _matches,
    _read,
)
