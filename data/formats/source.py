"""Rows of a file that others wrote: JSON lines, one JSON array, or objects one after the other.

Exports of annotation tools are one array in one file, of any size. The bytes are cut into rows here
without holding more than one bounded row, then each row passes the strict parser of data.jsonl.

Omitted on purpose: CSV (data.formats.spreadsheet), compressed files, and what the rows mean.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from data.jsonl import Limits, RowError, open_bytes, parse_object, read_lines

# Trees and tasks hold many texts: the largest published trees pass the limits of our own rows.
SOURCE_LIMITS = Limits(line_bytes=16 * 2**20, depth=256)

_CHUNK = 2**20
_HEAD = 4096
_BOM = b"\xef\xbb\xbf"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# Whole strings and whatever is no bracket: between rows a comma stops too.
_BETWEEN = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+", re.DOTALL)
_WITHIN = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+", re.DOTALL)
_OPENING, _CLOSING = re.compile(rb"[\[{]++"), re.compile(rb"[\]}]++")
# Up to the quote that ends a string, to a backslash that ends the chunk, or to the chunk's end.
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_PRETTY = re.compile(rb"\{[ \t]*\r?\n")


class Place(NamedTuple):
    """Where a row stands: its first line in the file, and its number among the rows, from 1."""

    line: int
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of a source.

    Attributes:
        raw: The bytes of the row, cut just above the limit.
        row: The parsed object, empty if it is refused.
        error: Why it is refused.
    """

    place: Place
    raw: bytes
    row: dict[str, Any]
    error: RowError | None


class _Piece(NamedTuple):
    """Bytes of a row on their way to the parser."""

    line: int
    raw: bytes
    size: int
    error: RowError | None = None


def read_records(path: Path, *, limits: Limits = SOURCE_LIMITS) -> Iterator[Record]:
    """Yield the rows of a file, each parsed or with the reason against it.

    A file that begins with "[" is one array of rows; one whose first line is "{" alone holds
    objects over several lines; any other holds one row a line.

    Args:
        path: The file, UTF-8 with or without a byte order mark.
        limits: Size and depth beyond which a row is refused.

    Raises:
        InputError: If the file is missing, a directory or unreadable.
    """
    with open_bytes(path) as file:
        head = file.read(_HEAD).removeprefix(_BOM).lstrip()
        if head.startswith(b"["):
            pieces = _Splitter(file, limits, is_array=True).pieces()
        elif _PRETTY.match(head):
            pieces = _Splitter(file, limits, is_array=False).pieces()
        else:
            pieces = (
                _Piece(line.number, line.raw, line.size) for line in read_lines(path, limits=limits)
            )
        for number, piece in enumerate(pieces, start=1):
            yield _record(piece, number, limits)


def _record(piece: _Piece, number: int, limits: Limits) -> Record:
    row: dict[str, Any] = {}
    error = piece.error
    if error is None:
        try:
            row = parse_object(piece.raw, size=piece.size, limits=limits)
        except RowError as refused:
            error = refused
    return Record(place=Place(piece.line, number), raw=piece.raw, row=row, error=error)


def _end(pattern: re.Pattern[bytes], chunk: bytes, at: int) -> int:
    """Where a match at `at` ends; `at` itself without one."""
    match = pattern.match(chunk, at)
    return match.end() if match else at


class _Splitter:
    """Cuts an array, or objects one after the other, at the brackets and commas outside strings.

    It keeps count of brackets alone: whether a piece is JSON is for the parser to say.
    """

    def __init__(self, file: BinaryIO, limits: Limits, *, is_array: bool) -> None:
        self._file = file
        self._limit = limits.line_bytes
        self._is_array = is_array
        self._depth = 0
        self._in_string = False
        self._is_closed = False
        self._after_comma = False
        self._tail = 0
        self._line = 1
        self._kept = bytearray()
        self._size = 0
        self._newlines = 0

    def pieces(self) -> Iterator[_Piece]:
        """Yield the rows in order, then what is wrong with the end of the file."""
        self._seek_first()
        rest = b""
        while read := self._file.read(_CHUNK):
            chunk, begin = rest + read, 0
            for end, following in self._ends(chunk):
                self._keep(chunk[begin:end])
                piece = self._piece()
                if piece is not None:
                    yield piece
                begin = following
            self._keep(chunk[begin : self._tail])
            rest = chunk[self._tail :]
        self._keep(rest)
        if self._kept.strip() or (self._is_array and not self._is_closed):
            yield self._last()

    def _seek_first(self) -> None:
        """Go to where the first row may begin: behind a byte order mark and the bracket."""
        self._file.seek(0)
        head = self._file.read(_HEAD)
        start = len(_BOM) if head.startswith(_BOM) else 0
        if self._is_array:
            start = head.index(b"[", start) + 1
            self._line += head.count(b"\n", 0, start)
        self._file.seek(start)

    def _ends(self, chunk: bytes) -> Iterator[tuple[int, int]]:
        """Yield where a row ends and where the next one may begin; leaves the state at the end."""
        at, self._tail = 0, len(chunk)
        while at < len(chunk) and not self._is_closed:
            if self._in_string:
                at = _end(_IN_STRING, chunk, at)
                if chunk[at : at + 1] == b"\\":
                    # What it escapes is in the next chunk.
                    self._tail = at
                    return
                self._in_string = at == len(chunk)
                at += 1
                continue
            at = _end(_WITHIN if self._depth else _BETWEEN, chunk, at)
            byte = chunk[at : at + 1]
            if byte == b'"':
                self._in_string = True
                at += 1
            elif byte in (b"[", b"{"):
                opened = _end(_OPENING, chunk, at)
                self._depth += opened - at
                at = opened
            elif self._depth:
                closed = min(_end(_CLOSING, chunk, at), at + self._depth)
                self._depth -= closed - at
                at = closed
                if byte and not self._depth and not self._is_array:
                    yield at, at
            else:
                at += 1
                if self._is_array and byte in (b",", b"]"):
                    self._is_closed = byte == b"]"
                    yield at - 1, at

    def _keep(self, part: bytes) -> None:
        room = max(0, self._limit + 2 - len(self._kept))
        self._kept += part[:room]
        self._size += len(part)
        self._newlines += part.count(b"\n")

    def _piece(self) -> _Piece | None:
        """The row that ends here; None for the emptiness of an empty array."""
        whole = bytes(self._kept)
        raw = whole.strip()
        line = self._line + whole[: len(whole) - len(whole.lstrip())].count(b"\n")
        size = len(raw) if self._size == len(whole) else self._size
        self._line += self._newlines
        self._kept, self._size, self._newlines = bytearray(), 0, 0
        after_comma, self._after_comma = self._after_comma, not self._is_closed
        if raw:
            return _Piece(line, raw, size)
        if self._is_closed and not after_comma:
            return None
        return _Piece(line, raw, 0, RowError("NOT_JSON", "", "a comma without a row beside it"))

    def _last(self) -> _Piece:
        """What stands behind the last whole row."""
        message = "the file ends before its last row does"
        if self._is_closed:
            message = "there is text behind the end of the array"
        elif self._is_array:
            message = "the file ends before its array does"
        whole = bytes(self._kept)
        line = self._line + whole[: len(whole) - len(whole.lstrip())].count(b"\n")
        return _Piece(line, whole.strip(), self._size, RowError("NOT_JSON", "", message))
