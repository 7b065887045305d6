"""Lines of sets and rankings on their way to the ledger: bytes, and where a person finds them.

A file and a batch of the inbox both become SourceLines, so that there is one ingest for both.

Omitted on purpose: what stands in a line (data.sets, data.rankings).
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from data.errors import InputError
from data.jsonl import open_bytes, read_lines


class SourceLine(NamedTuple):
    """One row as it came.

    Attributes:
        seq: Its place in the source; no other line of the source has it.
        raw: The bytes, cut just above the limit of a line.
        size: Number of bytes before the cut.
        origin: Where a person finds it, such as "mine/rankings.jsonl:12".
        decision_id: The id by which a lead's decision names it; None if that is the row's own id.
    """

    seq: int
    raw: bytes
    size: int
    origin: str
    decision_id: str | None = None


class SourceLines(NamedTuple):
    """The lines of one source.

    Attributes:
        source: Names the source by what it is, so that a file moved or renamed is the same.
        lines: The lines in order, to be read once.
    """

    source: str
    lines: Iterable[SourceLine]


def lines_of_file(path: Path) -> SourceLines:
    """Return the lines of a file that are not blank; seq is the line number.

    Raises:
        InputError: If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    return SourceLines(source=f"file:{digest}", lines=_lines(path))


def count_lines(path: Path) -> int:
    """Return how many lines a file has, blank ones too: for a progress bar."""
    with open_bytes(path) as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))


def _lines(path: Path) -> Iterator[SourceLine]:
    name = str(path)
    for number, raw, size in read_lines(path):
        yield SourceLine(number, raw, size, f"{name}:{number}")
