"""Sets to be ranked elsewhere: in a spreadsheet, in Label Studio, in Argilla.

What wrote a response is never shown. The order of the responses is a hash of set and annotator, so
that it says nothing about them and every annotator sees another one.

Omitted on purpose: rankings in the forms of Label Studio and Argilla; both can import answers, but
neither keeps ties, revisions and flags.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data.formats.files import write_file
from data.formats.spreadsheet import COLUMNS
from data.identity import sha256_text
from data.messages import Message
from data.rankings import Ranking
from data.sets import Response, ResponseSet

LETTERS = "ABCDEFGHI"
# A spreadsheet runs a cell that begins with one of these; the apostrophe makes it text.
_GUARDED = ("=", "+", "-", "@", "\t", "\r", "'")
_SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant"}


class Written(NamedTuple):
    """What was written.

    Attributes:
        written: Tasks, rankings or pairs.
        left_out: What had no place in the format, with the reason.
        guarded: Cells of a CSV that would have run as a formula.
    """

    written: int
    left_out: tuple[str, ...] = ()
    guarded: tuple[str, ...] = ()


def shown_order(response_set: ResponseSet, annotator: str) -> list[Response]:
    """Return the responses as an annotator shall see them."""
    key = f"{response_set.set_id}|{annotator}"
    return sorted(
        response_set.responses, key=lambda it: sha256_text(f"shown|{key}|{it.response_id}")
    )


def prompt_text(messages: Sequence[Message]) -> str:
    """Return a dialogue as one text: of a single turn what it says, else with the speakers."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{_SPEAKERS[turn['role']]}: {turn['content']}" for turn in messages)


def write_csv(
    path: Path, sets: Sequence[ResponseSet], *, annotators: Sequence[str] = ("",)
) -> Written:
    """Write a spreadsheet to be filled in: the rows of each annotator and set, ranks empty."""
    sheet = _Sheet(path)
    for annotator in annotators:
        for response_set in sets:
            sheet.add(response_set, annotator, shown_order(response_set, annotator), None)
    write_file(path, sheet.parts())
    return Written(len(annotators) * len(sets), guarded=tuple(sheet.guarded))


def write_ranked_csv(
    path: Path, sets: Sequence[ResponseSet], rankings: Sequence[Ranking]
) -> Written:
    """Write rankings as a spreadsheet; those that are partial or skipped have no place in it."""
    by_id = {one.set_id: one for one in sets}
    sheet = _Sheet(path)
    left_out = []
    for ranking in rankings:
        if ranking.outcome != "ranked" or ranking.coverage != "full":
            what = ranking.coverage or ranking.outcome
            left_out.append(f"{ranking.event_id}: {what} has no place in a CSV")
            continue
        response_set = by_id[ranking.set_id]
        responses = {it.response_id: it for it in response_set.responses}
        shown = [responses[it] for it in ranking.display_order]
        sheet.add(response_set, ranking.annotator_id, shown, ranking)
    write_file(path, sheet.parts())
    count = len(rankings) - len(left_out)
    return Written(count, tuple(left_out), tuple(sheet.guarded))


def write_label_studio(
    path: Path, sets: Sequence[ResponseSet], *, annotators: Sequence[str] = ("",)
) -> Written:
    """Write tasks for a project with the Ranker of docs/formats.md: one copy an annotator."""
    tasks = [
        {
            "data": {
                "set_id": one.set_id,
                **({"annotator": annotator} if annotator else {}),
                "prompt": prompt_text(one.messages),
                "items": [
                    {"id": it.response_id, "title": f"Response {letter}", "body": it.text}
                    for letter, it in zip(LETTERS, shown_order(one, annotator), strict=False)
                ],
            }
        }
        for annotator in annotators
        for one in sets
    ]
    write_file(path, _json_array(tasks))
    return Written(len(tasks))


def write_argilla(folder: Path, sets: Sequence[ResponseSet]) -> Written:
    """Write records, one file for each number of responses: a dataset's options are fixed."""
    by_size: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in sets:
        named = {f"response_{i}": it for i, it in enumerate(shown_order(one, ""), start=1)}
        texts = {name: it.text for name, it in named.items()}
        ids = {name: it.response_id for name, it in named.items()}
        by_size[len(one.responses)].append(
            {
                "fields": {"prompt": prompt_text(one.messages), **texts},
                "metadata": {"set_id": one.set_id, **ids},
            }
        )
    for size, records in sorted(by_size.items()):
        write_file(folder / f"records_k{size}.json", _json_array(records))
    return Written(len(sets))


class _Sheet:
    """Rows of a CSV, and the cells that had to be guarded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text)
        self._writer.writerow(COLUMNS)
        self._row = 1
        self.guarded: list[str] = []

    def add(
        self,
        response_set: ResponseSet,
        annotator: str,
        shown: Sequence[Response],
        ranking: Ranking | None,
    ) -> None:
        """Add the rows of one annotator and set."""
        for letter, response in zip(LETTERS, shown, strict=False):
            self._row += 1
            name = response.response_id
            given = (
                ("", "", "")
                if ranking is None
                else (
                    str(ranking.tiers[name]),
                    str(ranking.quality.get(name, "")),
                    " ".join(ranking.flags.get(name, [])),
                )
            )
            prompt = prompt_text(response_set.messages)
            texts = (response_set.set_id, annotator, letter, name, prompt, response.text)
            self._writer.writerow([*map(self._guard, texts, COLUMNS), *given, ""])

    def parts(self) -> Iterator[str]:
        """Yield the text of the file: with a mark, so that spreadsheets read UTF-8."""
        yield "\ufeff"
        yield self._text.getvalue()

    def _guard(self, cell: str, column: str) -> str:
        if not cell.startswith(_GUARDED):
            return cell
        self.guarded.append(f"{self._path}: row {self._row}, {column}")
        return f"'{cell}"


def _json_array(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a JSON array with one row a line."""
    yield "["
    for index, row in enumerate(rows):
        yield ",\n" if index else "\n"
        yield json.dumps(row, ensure_ascii=False)
    yield "\n]\n"
