"""Rows cut out of arrays and objects: any size, any chunk, never more than one bounded row."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats import source
from data.formats.source import read_records
from data.jsonl import Limits

Found = list[tuple[int, dict[str, Any], str]]


def records(path: Path, raw: bytes, limits: Limits = source.SOURCE_LIMITS) -> Found:
    path.write_bytes(raw)
    return [
        (it.place.line, it.row, f"{it.error.code} {it.error.message}" if it.error else "")
        for it in read_records(path, limits=limits)
    ]


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"", []),
        (b" \n", []),
        (b"[]", []),
        (b"[ \n ]\n", []),
        (
            b'[{"a":1},{"b":"]},{"}\n,\n {"c":"\\"}"}]\n',
            [(1, {"a": 1}, ""), (1, {"b": "]},{"}, ""), (3, {"c": '"}'}, "")],
        ),
        (b'\xef\xbb\xbf\n[{"a":1}]', [(2, {"a": 1}, "")]),
        (b'{"a":1}\n\n{"b":2}', [(1, {"a": 1}, ""), (3, {"b": 2}, "")]),
        (b'{\n "a": 1\n}\n{\n "b": 2\n}\n', [(1, {"a": 1}, ""), (4, {"b": 2}, "")]),
        (b'[{"a":1},]', [(1, {"a": 1}, ""), (1, {}, "NOT_JSON a comma without a row beside it")]),
        (b'[{"a":1}', [(1, {}, "NOT_JSON the file ends before its array does")]),
        (
            b'[{"a":1}] {"b":2}',
            [(1, {"a": 1}, ""), (1, {}, "NOT_JSON there is text behind the end of the array")],
        ),
        (b'{\n "a": {', [(1, {}, "NOT_JSON the file ends before its last row does")]),
        (b'[1,{"a":1}]', [(1, {}, "NOT_OBJECT expected an object, found int"), (1, {"a": 1}, "")]),
        (
            b'[{"a":1,"a":2},{"b":NaN},{"c":3}]',
            [
                (1, {}, "DUPLICATE_KEY JSON key 'a' appears twice"),
                (1, {}, "NOT_JSON NaN is not a JSON number"),
                (1, {"c": 3}, ""),
            ],
        ),
        (b'[{"a":"\xff"},{"b":1}]', [(1, {}, "NOT_UTF8 byte 6 is not UTF-8"), (1, {"b": 1}, "")]),
    ],
)
def test_rows(tmp_path: Path, raw: bytes, found: Found) -> None:
    assert records(tmp_path / "rows", raw) == found


def test_a_row_beyond_the_limits_is_skipped_whole(tmp_path: Path) -> None:
    raw = b'[{"a":"' + b"x],{\\\\" * 5000 + b'"}, ' + b"[" * 40 + b"]" * 40 + b', {"b":1}]'
    found = records(tmp_path / "rows", raw, Limits(line_bytes=1000, depth=32))
    assert [message for _, _, message in found] == [
        "TOO_LARGE 30008 bytes; the limit is 1000",
        "NOT_OBJECT expected an object, found list",
        "",
    ]


def test_a_bomb_of_brackets_is_refused(tmp_path: Path) -> None:
    raw = b"[" + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b',{"b":1}]'
    assert [message for _, _, message in records(tmp_path / "rows", raw)] == [
        "TOO_DEEP nested deeper than 256 levels",
        "",
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\[]{},é\n😀', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.dictionaries(st.text('k"]}', max_size=3), VALUES, max_size=3), max_size=6),
    st.sampled_from([1, 2, 3, 7, 64]),
    st.sampled_from([None, 1]),
)
def test_rows_do_not_depend_on_where_chunks_end(
    rows: list[dict[str, Any]], size: int, indent: int | None
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "_CHUNK", size)
        raw = json.dumps(rows, indent=indent, ensure_ascii=False).encode("utf-8", "replace")
        expected = json.loads(raw)
        found = records(Path(folder) / "rows", raw)
    assert [row for _, row, message in found if not message] == [
        row for row, (_, _, message) in zip(expected, found, strict=True) if not message
    ]
    assert all(message.startswith("BAD_TEXT") for _, _, message in found if message)
