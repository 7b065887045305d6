"""The parser at the door: what it takes, and the exact words with which it refuses the rest."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import InputError
from data.jsonl import ROW_LIMITS, RowError, parse_object, read_lines, read_objects


@pytest.mark.parametrize(
    ("raw", "code", "field", "message"),
    [
        (b'{"event_id": "0190a7c2-5b1e-7c3a-9f', "NOT_JSON", "",
         "Unterminated string starting at at column 14"),
        ('{"a":"é"}'.encode("latin-1"), "NOT_UTF8", "", "byte 6 is not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "NOT_UTF8", "", "byte 0 is not UTF-8"),
        ('{"a":1}'.encode("utf-16-le"), "NOT_UTF8", "", "this looks like UTF-16, not UTF-8"),
        (b'{"a":"' + b"x" * 300_000 + b'"}', "TOO_LARGE", "", "300008 bytes; the limit is 262144"),
        (b"[1]", "NOT_OBJECT", "", "expected an object, found list"),
        (b"null", "NOT_OBJECT", "", "expected an object, found NoneType"),
        (b'{"schema":1,"schema":1}', "DUPLICATE_KEY", "schema", "JSON key 'schema' appears twice"),
        (b'{"a":{"b":1,"b":2}}', "DUPLICATE_KEY", "b", "JSON key 'b' appears twice"),
        (b'{"a":NaN}', "NOT_JSON", "", "NaN is not a JSON number"),
        (b'{"a":-Infinity}', "NOT_JSON", "", "-Infinity is not a JSON number"),
        (b'{"a":1e999}', "BAD_NUMBER", "", "1e999 is too large for a number"),
        (b'{"a":9223372036854775808}', "BAD_NUMBER", "",
         "an integer of 19 characters is too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "BAD_NUMBER", "",
         "an integer of 5000 characters is too large"),
        (b'{"a":"0123456789abcdefg\\ud800"}', "BAD_TEXT", "a",
         "character U+D800 at 17 cannot be stored"),
        (b'{"a":[{"b":"\\u0000"}]}', "BAD_TEXT", "a.0.b", "character U+0000 at 0 cannot be stored"),
        (b'{"\\udc00":1}', "BAD_TEXT", "?", "character U+DC00 at 0 cannot be stored"),
        (b'{"a":"\x00"}', "NOT_JSON", "", "Invalid control character at at column 7"),
        (b'{"a":1} {"b":2}', "NOT_JSON", "", "Extra data at column 9"),
        (b'{"a":' + b"[" * 33 + b"]" * 33 + b"}", "TOO_DEEP", "", "nested deeper than 32 levels"),
        (b'{"a":' * 20_000, "TOO_DEEP", "", "nested deeper than 32 levels"),
    ],
)  # fmt: skip
def test_refused(raw: bytes, code: str, field: str, message: str) -> None:
    with pytest.raises(RowError) as caught:
        parse_object(raw)
    error = caught.value
    assert (error.code, error.field, error.message) == (code, field, message)


@pytest.mark.parametrize(
    "text",
    [
        "请解释递归。",
        "👩‍👩‍👧‍👦 🇩🇪",
        "abc \u202e dcba \u2066x\u2069",
        "e\u0301",
        "\U0001f600",
        'a\\"b\n',
    ],
)
def test_text_comes_through_unchanged(text: str) -> None:
    for is_ascii in (True, False):
        raw = json.dumps({"a": text}, ensure_ascii=is_ascii).encode()
        assert parse_object(raw) == {"a": text}


def test_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"a":1}\r\n\r\n{"a":2}')
    assert list(read_objects(file)) == [(1, {"a": 1}), (3, {"a": 2})]


def test_first_bad_line_names_file_line_field_and_mend(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"a":1}\n{"a":1,"a":2}\n')
    rows = read_objects(file)
    next(rows)
    expected = f"{file}:2: field 'a': JSON key 'a' appears twice; keep one of the two"
    with pytest.raises(InputError) as caught:
        next(rows)
    assert str(caught.value) == expected


def test_missing_file_and_directory_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; check the path"):
        list(read_objects(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="this is a directory"):
        list(read_objects(tmp_path))


def test_empty_file_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"")
    assert list(read_objects(tmp_path / "rows.jsonl")) == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_size_of_a_long_line_is_told_without_holding_it(tmp_path: Path, end: bytes) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"x" * 3_000_000 + b"\n" + b"y" * ROW_LIMITS.line_bytes + end)
    first, second = read_lines(file)
    assert first.size == 3_000_000
    assert len(first.raw) <= ROW_LIMITS.line_bytes + 2
    assert second.size == ROW_LIMITS.line_bytes


NUMBERS = ("0", "-0", "1.0", "0.1", "1e5", "1E400", "NaN", "-Infinity")
LARGE_INTEGERS = (2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64 - 1, 2**64)
STRINGS = st.text(st.sampled_from('a"\\\n\x00\x1f\x7fé请\ud800\ufeff😀'), max_size=4)


def values(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """JSON texts of values; each comma and colon is followed by ~. Keys may repeat."""
    keys = st.sampled_from(['"a"', '"b"', '"\\u0061"', '"é"'])
    pairs = st.tuples(keys, inner).map(":~".join)
    return st.one_of(
        st.lists(pairs, max_size=3).map(lambda each: "{" + ",~".join(each) + "}"),
        st.lists(inner, max_size=3).map(lambda each: "[" + ",~".join(each) + "]"),
    )


@settings(max_examples=1000, deadline=None)
@given(
    st.recursive(
        st.one_of(
            st.sampled_from([*NUMBERS, *map(str, LARGE_INTEGERS), "true", "null"]),
            STRINGS.map(lambda text: json.dumps(text, ensure_ascii="\ud800" in text)),
            STRINGS.map(json.dumps),
        ),
        values,
        max_leaves=8,
    ).map('{{"k":~{}}}'.format)
)
def test_a_line_without_spaces_is_read_like_the_same_line_with_spaces(text: str) -> None:
    """orjson reads only lines without spaces between tokens; json reads the others."""
    assert outcome(text.replace("~", "")) == outcome(text.replace("~", " "))


def outcome(text: str) -> str | tuple[str, str]:
    """The value, where 1.0 is not 1, or the reason and the field."""
    try:
        return repr(parse_object(text.encode()))
    except RowError as error:
        return error.code, error.field


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_taken_or_refused(raw: bytes) -> None:
    with contextlib.suppress(RowError):
        assert isinstance(parse_object(raw), dict)
