"""Our CSV for spreadsheets: one row per response, ranks to be filled in. UTF-8 with a mark.

A cell that a spreadsheet would run as a formula is written with a leading apostrophe, and so is one
that begins with an apostrophe; reading takes it off again. The column comment is for people: it is
not read. Texts are not read either but compared with the stored ones.

Omitted on purpose: other separators and encodings, which spreadsheets guess differently, and
skipped or partial rankings, for which this form has no place.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from data.fields import shorten
from data.formats.items import Answer, Candidate, Content, Format, Item, ReadOptions, unanswered
from data.formats.source import Place
from data.jsonl import RowError, open_bytes

COLUMNS = (
    "set_id",
    "annotator_id",
    "shown",
    "response_id",
    "prompt",
    "response",
    "rank",
    "quality",
    "flags",
    "comment",
)
RECORD_BYTES = 2**20

_REQUIRED = frozenset({"set_id", "annotator_id", "response_id", "rank"})
_IDS = ("set_id", "annotator_id", "response_id")
_MANGLED = re.compile(r"[-+]?[0-9]+(?:[.,][0-9]+)?E[-+]?[0-9]+", re.IGNORECASE | re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

_Row = dict[str, str]


@dataclass(slots=True, kw_only=True)
class _Group:
    """The rows of one annotator and one set."""

    rows: list[tuple[Place, _Row]] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)


class _Lines:
    """The lines of a file as text, and the bytes of the record that is being read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.record = b""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(RECORD_BYTES + 2)
        if not line:
            raise StopIteration
        self.number += 1
        size = len(line)
        while not line.endswith(b"\n") and (rest := self._file.readline(RECORD_BYTES)):
            size, line = size + len(rest), line if not rest.endswith(b"\n") else line + b"\n"
        self.record = self.record[:RECORD_BYTES] + line
        if size > RECORD_BYTES or len(self.record) > RECORD_BYTES:
            message = f"more than {RECORD_BYTES} bytes, or a quoted cell is not closed"
            raise RowError("TOO_LARGE", "", message)
        if self.number == 1:
            line = line.removeprefix(_BOM)
        return line.decode("utf-8", "surrogateescape")


def _records(file: BinaryIO) -> Iterator[tuple[Place, bytes, list[str] | RowError]]:
    """Yield each record that is not blank: its cells, or why it has none."""
    csv.field_size_limit(max(csv.field_size_limit(), RECORD_BYTES))
    lines = _Lines(file)
    reader = csv.reader(lines, strict=True)
    row = 0
    while True:
        lines.record, first = b"", lines.number + 1
        cells: list[str] | RowError
        try:
            cells = next(reader)
        except StopIteration:
            return
        except RowError as error:
            cells = error
        except csv.Error as error:
            why = str(error)
            if "universal-newline" in why:
                why = "its lines end with CR alone; save it as CSV UTF-8"
            cells = RowError("CSV_FIELDS", "", f"row {row + 1} is not CSV: {why}")
        if isinstance(cells, list) and not any(cell.strip() for cell in cells):
            continue
        row += 1
        yield Place(first, row), lines.record, _checked(cells, lines.record)


def _checked(cells: list[str] | RowError, raw: bytes) -> list[str] | RowError:
    text = "" if isinstance(cells, RowError) else "".join(cells)
    if raw.startswith(_UTF_16) or any("\udc80" <= character <= "\udcff" for character in text):
        return RowError("NOT_UTF8", "", 'this is not UTF-8; save as "CSV UTF-8"')
    if "\x00" in text:
        return RowError("BAD_TEXT", "", "character U+0000 cannot be stored")
    return cells


def _read(path: Path, options: ReadOptions) -> Iterator[Item]:
    groups: dict[tuple[str, str], _Group] = {}
    with open_bytes(path) as file:
        records = _records(file)
        place, raw, header = next(records, (Place(1, 1), b"", [*COLUMNS]))
        error = header if isinstance(header, RowError) else _header_error(header)
        if error is not None:
            # Nothing in the file can be read without it.
            places = (place, *(place for place, _, _ in records))
            yield Item(places=places, raw=raw, content=error)
            return
        names = _names(header)
        for place, raw, cells in records:
            row = _row(cells, names, place, options)
            if isinstance(row, RowError):
                yield Item(places=(place,), raw=raw, content=row)
                continue
            group = groups.setdefault((row["set_id"], row["annotator_id"]), _Group())
            group.rows.append((place, row))
            group.raws.append(raw)
    for (set_id, annotator), group in groups.items():
        yield Item(
            places=tuple(place for place, _ in group.rows),
            raw=b"".join(group.raws),
            content=_content(set_id, annotator, group.rows, options),
        )


def _names(header: Sequence[str] | RowError) -> list[str]:
    cells = [] if isinstance(header, RowError) else header
    return [name.strip().casefold() for name in cells]


def _header_error(header: Sequence[str]) -> RowError | None:
    names = _names(header)
    missing = sorted(_REQUIRED - set(names))
    unknown = [name for name in names if name not in COLUMNS]
    if len(names) == 1 and (mark := next((it for it in ";\t" if it in names[0]), None)):
        message = f"one column found; is the separator {mark!r}? Save with commas"
    elif "" in names:
        message = f"column {names.index('') + 1} has no name; delete it"
    elif len(set(names)) != len(names):
        message = f"repeated column {next(it for it in names if names.count(it) > 1)}"
    elif missing:
        message = f"missing column {', '.join(missing)}"
        message += f"; found {', '.join(shorten(it) for it in unknown)}" if unknown else ""
    elif unknown:
        message = f"unknown column {', '.join(shorten(it) for it in unknown)}"
    else:
        return None
    return RowError("CSV_HEADER", "", message)


def _row(
    cells: list[str] | RowError, names: list[str], place: Place, options: ReadOptions
) -> _Row | RowError:
    """Return the cells by column, ids without their guard."""
    if isinstance(cells, RowError):
        return cells
    if len(cells) != len(names):
        message = f"row {place.row} has {len(cells)} fields; expected {len(names)}"
        return RowError("CSV_FIELDS", "", message)
    row = dict(zip(names, cells, strict=True))
    for name in _IDS:
        row[name] = row[name].strip().removeprefix("'")
        if _MANGLED.fullmatch(row[name]):
            message = f"{name} {row[name][:40]} looks rewritten by a spreadsheet; ids here start"
            message += " with a letter"
            return RowError("CSV_MANGLED_ID", name, message)
    row["annotator_id"] = row["annotator_id"] or options.annotator
    if not row["annotator_id"]:
        message = f"row {place.row}: annotator_id is empty; fill it in, or say --annotator"
        return RowError("MISSING_FIELD", "annotator_id", message)
    return row


def _content(
    set_id: str, annotator: str, rows: list[tuple[Place, _Row]], options: ReadOptions
) -> Content:
    try:
        _refuse_repeats(rows)
        tiers = _integers(rows, "rank")
        quality = _integers(rows, "quality")
        flags = {
            row["response_id"]: words
            for _, row in rows
            if (words := re.split(r"[\s,;]+", row.get("flags", "").strip())) != [""]
        }
    except RowError as error:
        return error
    if not tiers and not quality and not flags:
        return unanswered("no rank is filled in yet")
    letters = [row.get("shown", "").strip() for _, row in rows]
    is_lettered = all(letters) and len(set(letters)) == len(letters)
    shown = sorted(rows, key=lambda it: it[1]["shown"].strip()) if is_lettered else rows
    return Answer(
        annotator=annotator,
        set_id=set_id,
        candidates=tuple(
            Candidate(row["response_id"], row.get("response") or None, "") for _, row in shown
        ),
        tiers=tiers,
        coverage=options.coverage if len(tiers) < len(rows) else "full",
        quality=quality,
        flags=flags,
        foreign_id="csv",
        may_revise=True,
    )


def _refuse_repeats(rows: list[tuple[Place, _Row]]) -> None:
    first: dict[str, int] = {}
    for place, row in rows:
        earlier = first.setdefault(row["response_id"], place.row)
        if earlier != place.row:
            name = shorten(row["response_id"])
            message = f"rows {earlier} and {place.row} rank {name} twice"
            raise RowError("DUPLICATE_ROW", "response_id", message)


def _integers(rows: list[tuple[Place, _Row]], column: str) -> dict[str, int]:
    """Response id -> whole number in a column, of the cells that are not empty."""
    numbers = {}
    for place, row in rows:
        cell = row.get(column, "").strip()
        if not cell:
            continue
        found = f"row {place.row}: {column} must be an integer, found {shorten(cell)}"
        if _INTEGER.fullmatch(cell) is None and column == "rank":
            message = f"{found} (empty = not ranked, only with coverage top/subset)"
            raise RowError("TIER_TYPE", "rank", message)
        if _INTEGER.fullmatch(cell) is None:
            raise RowError("QUALITY_RANGE", "quality", found)
        numbers[row["response_id"]] = int(cell)
    return numbers


def _matches(_: Mapping[str, Any]) -> bool:
    return False


FORMAT = Format("csv", "Ours: CSV for spreadsheets, one row a response", _matches, _read)
