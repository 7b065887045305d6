"""The one strict JSON parser at the door: bytes of a line in, a plain dictionary out.

The same line can mean three things to three readers: of a repeated key one keeps the first, one
the last, one fails; a lone surrogate is kept, refused or turned into NUL. So everything a user or
an annotator sends passes here once, and later layers read typed frames only.

Omitted on purpose: what the fields mean (data.sets, data.rankings), and compressed files.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import orjson

from data.errors import InputError

MAX_INTEGER = 2**63 - 1

# NUL and lone surrogates.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_MENDS = {
    "NOT_UTF8": "save the file as UTF-8",
    "TOO_LARGE": "split or shorten the row",
    "NOT_JSON": "write one JSON object per line",
    "NOT_OBJECT": "write one JSON object per line",
    "DUPLICATE_KEY": "keep one of the two",
    "MISSING_FIELD": "add the field",
    "UNKNOWN_FIELD": "remove or rename the field",
    "BAD_TEXT": "remove the character",
}


class Limits(NamedTuple):
    """What a line may be at most: bytes without the line end, and levels of nesting."""

    line_bytes: int
    depth: int


ROW_LIMITS = Limits(line_bytes=262_144, depth=32)


class RowError(ValueError):
    """Why one row is refused.

    Attributes:
        code: The reason, a stable word in capitals such as ``NOT_JSON``.
        field: Dotted path of the field at fault, empty when the whole row is.
        message: One line for the person who mends the row.
    """

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.message = message


class RawLine(NamedTuple):
    """One line of a file that is not blank.

    Attributes:
        number: Line number in the file, from 1.
        raw: The bytes without the line end, cut just above the limit.
        size: Number of bytes before the cut.
    """

    number: int
    raw: bytes
    size: int


def parse_object(
    raw: bytes, *, size: int | None = None, limits: Limits = ROW_LIMITS
) -> dict[str, Any]:
    """Parse one line as a JSON object.

    Args:
        raw: UTF-8 bytes, with or without a byte order mark.
        size: Bytes of the line before it was cut, if it was.
        limits: Size and depth beyond which the line is refused.

    Returns:
        The object: no repeated key, no NaN or infinity, no NUL or lone surrogate, integers within
        64 bits.

    Raises:
        RowError: If any of that does not hold.
    """
    size = len(raw) if size is None else size
    if size > limits.line_bytes:
        raise RowError("TOO_LARGE", "", f"{size} bytes; the limit is {limits.line_bytes}")
    plain = _parse_plain(raw, limits.depth)
    if plain is not None:
        return plain
    try:
        text = raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise RowError("NOT_UTF8", "", f"byte {error.start} is not UTF-8") from None
    if "\x00" in text[:2]:
        raise RowError("NOT_UTF8", "", "this looks like UTF-16, not UTF-8")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise RowError("NOT_JSON", "", f"{error.msg} at column {error.colno}") from None
    except RecursionError:
        raise _too_deep(limits.depth) from None
    if not isinstance(value, dict):
        raise RowError("NOT_OBJECT", "", f"expected an object, found {type(value).__name__}")
    # As in _parse_plain: nothing else can bring these past the decoder.
    if "\\u" in text or text.count("{") + text.count("[") > limits.depth:
        _check_tree(value, limits.depth)
    return value


def read_lines(path: Path, *, limits: Limits = ROW_LIMITS) -> Iterator[RawLine]:
    """Yield the lines of a file that are not blank, holding one bounded line at a time.

    Raises:
        InputError: If the file is missing, a directory or unreadable.
    """
    with open_bytes(path) as file:
        number = 0
        while piece := file.readline(limits.line_bytes + 2):
            number += 1
            size, is_terminated = len(piece), piece.endswith(b"\n")
            while not is_terminated and (rest := file.readline(limits.line_bytes)):
                size, is_terminated = size + len(rest), rest.endswith(b"\n")
            raw = piece.rstrip(b"\r\n")
            if raw.strip() not in (b"", b"\xef\xbb\xbf"):
                whole = len(raw) if len(piece) == size else size - is_terminated
                yield RawLine(number=number, raw=raw, size=whole)


def read_objects(
    path: Path, *, limits: Limits = ROW_LIMITS
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) for each row of a user's JSONL file.

    Raises:
        InputError: At the first bad line, naming file, line, field and the mend.
    """
    for line in read_lines(path, limits=limits):
        try:
            row = parse_object(line.raw, size=line.size, limits=limits)
        except RowError as error:
            raise input_error(path, line.number, error) from None
        yield line.number, row


def input_error(path: Path, number: int, error: RowError) -> InputError:
    """Put a refused row into words for the command line: file, line, field, reason, mend."""
    field = f" field {error.field!r}:" if error.field else ""
    mend = _MENDS.get(error.code)
    return InputError(f"{path}:{number}:{field} {error.message}" + (f"; {mend}" if mend else ""))


def open_bytes(path: Path) -> BinaryIO:
    """Open a user's file to read its bytes.

    Raises:
        InputError: If the file is missing, a directory or unreadable.
    """
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path}: this is a directory; name a JSONL file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _parse_plain(raw: bytes, depth: int) -> dict[str, Any] | None:
    """The object of a line that orjson writes back to the byte; None for any other line.

    In such a line nothing is said twice and nothing is read otherwise than it stands: a repeated
    key or a NaN would not come back. Reading it so takes half of the time. Our own files are such
    lines, and any others without spaces between the tokens and without escapes of characters.
    """
    # Only an escape can bring a surrogate or a NUL past the decoder, and only brackets depth.
    if b"\\u" in raw or b'": ' in raw or raw.count(b"{") + raw.count(b"[") > depth:
        return None
    try:
        value = orjson.loads(raw)
        # The option leaves integers beyond 53 bits to the slow path, which refuses some.
        is_same = orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER) == raw
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return value if is_same and isinstance(value, dict) else None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise RowError("DUPLICATE_KEY", _storable(twice), f"JSON key {twice!r} appears twice")
    return row


def _refuse_constant(word: str) -> NoReturn:
    raise RowError("NOT_JSON", "", f"{word} is not a JSON number")


def _integer(digits: str) -> int:
    # The length is looked at first: turning a megabyte of digits into an int is quadratic.
    if len(digits) > 20 or abs(value := int(digits)) > MAX_INTEGER:
        raise RowError("BAD_NUMBER", "", f"an integer of {len(digits)} characters is too large")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise RowError("BAD_NUMBER", "", f"{digits[:20]} is too large for a number")
    return value


def _too_deep(depth: int) -> RowError:
    return RowError("TOO_DEEP", "", f"nested deeper than {depth} levels")


def _check_tree(value: dict[str, Any], max_depth: int) -> None:
    stack: list[tuple[str, Any, int]] = [("", value, 1)]
    while stack:
        path, node, depth = stack.pop()
        if isinstance(node, str):
            _check_text(path, node)
            continue
        if depth > max_depth:
            raise _too_deep(max_depth)
        prefix = f"{path}." if path else ""
        if isinstance(node, dict):
            for key in node:
                _check_text(_storable(prefix + key), key)
            stack.extend((prefix + key, child, depth + 1) for key, child in node.items())
        elif isinstance(node, list):
            stack.extend((f"{prefix}{i}", child, depth + 1) for i, child in enumerate(node))


def _check_text(path: str, text: str) -> None:
    found = _UNSTORABLE.search(text)
    if found is not None:
        message = f"character U+{ord(found.group()):04X} at {found.start()} cannot be stored"
        raise RowError("BAD_TEXT", path, message)


def _storable(text: str) -> str:
    """Text of an error must itself survive the store."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "?")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_constant=_refuse_constant,
    parse_int=_integer,
    parse_float=_float,
)
