"""Generated and mutated rows of every format: no crash, no silent change, every row accounted for.

5,000 rows in the normal run; RLHF_FUZZ_ROWS=50000 for more. The same rows every time.
"""

import csv
import io
import json
import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats.folder import open_folder
from data.formats.importing import Importer, ImportReport
from data.formats.items import Answer, Item, ReadOptions
from data.formats.registry import FORMATS
from data.jsonl import RowError, parse_object
from data.rankings import read_ranking
from data.sets import parse_set
from tests.unit.data.formats.conftest import NOW
from tests.unit.data.formats.fuzz_rows import OUR_SET, ROWS, csv_of, line_of

ROWS_WANTED = int(os.environ.get("RLHF_FUZZ_ROWS", "5000"))
ROWS_A_FILE = 20
OPTIONS = ReadOptions(direction="higher-is-better")
SEEDS = st.lists(
    st.tuples(st.integers(0, 2**32), st.integers(0, 3)), min_size=ROWS_A_FILE, max_size=ROWS_A_FILE
)
FILES = ROWS_WANTED // ROWS_A_FILE // (len(ROWS) + 1) + 1
SAME_EVERY_TIME = settings(
    max_examples=FILES, deadline=None, derandomize=True, database=None, print_blob=False
)
SEEN: Counter[str] = Counter()


@pytest.fixture(autouse=True, scope="module")
def no_disk() -> Any:
    """Flushing to the disk is another test's matter, and slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def take(path: Path, form: str, out: Path) -> ImportReport:
    with open_folder(out, NOW) as folder:
        report = Importer(folder).take(path, FORMATS[form], OPTIONS)
        folder.add_best_responses()
        folder.commit()
    return report


def check(path: Path, form: str, out: Path) -> list[Item]:
    """Import a file twice; all that must hold of any file."""
    report = take(path, form, out)
    outcomes = (report.accepted, report.duplicate, report.held, report.quarantined)
    items = list(FORMATS[form].read(path, OPTIONS))
    assert sum(outcomes) == report.read == len(items)
    assert sum(report.reasons.values()) == report.read - report.accepted
    rows = {place.row for item in items for place in item.places}
    first = 2 if form == "csv" and rows and 1 not in rows else 1
    assert rows == set(range(first, first + len(rows)))
    assert report.rows == len(rows)
    before = {it.name: it.read_bytes() for it in out.iterdir()}
    again = take(path, form, out)
    assert again.read == report.read
    assert again.accepted == 0
    assert {it.name: it.read_bytes() for it in out.iterdir()} == before
    SEEN["rows"] += report.rows
    SEEN.update(dict(zip(("accepted", "duplicate", "held", "quarantined"), outcomes, strict=True)))
    check_files(out)
    return items


def check_files(out: Path) -> None:
    """What was written is what our own strict readers accept."""
    from data.formats.door import new_rankings
    from data.formats.folder import facts_of

    known = new_rankings(NOW)
    sets = [parse_set(parse_object(line)) for line in lines_of(out, "sets")]
    known.sets = {one.set_id: facts_of(one) for one in sets}
    for line in lines_of(out, "rankings"):
        known.add(read_ranking(parse_object(line), known))


def lines_of(out: Path, name: str) -> list[bytes]:
    path = out / f"{name}.jsonl"
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def strings_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    children = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    return [text for child in children for text in strings_in(child)]


def check_texts(form: str, item: Item) -> None:
    """Every text of an answer stands in its row, byte for byte, as the plain parser reads it."""
    answer = item.content
    if not isinstance(answer, Answer):
        return
    given = [text for line in item.raw.split(b"\n") for text in strings_in(json.loads(line))]
    is_part = form in ("hh-rlhf", "trl")
    for candidate in answer.candidates:
        text = candidate.text
        assert text is not None
        assert text in given or (is_part and any(it.endswith(text) for it in given))
    for message in answer.messages if isinstance(answer.messages, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str) and form == "openai-comparisons":
            assert any(it in content for it in given)
        elif isinstance(content, str):
            assert content in given or (is_part and any(content in it for it in given))


def is_document(raw: bytes) -> bool:
    head = raw.lstrip()
    return head.startswith(b"[") or re.match(rb"\{[ \t]*\r?\n", head) is not None


@pytest.mark.parametrize("form", ROWS)
@SAME_EVERY_TIME
@given(seeds=SEEDS)
def test_any_file_of_rows(form: str, seeds: list[tuple[int, int]]) -> None:
    lines = [line_of(form, *it) for it in seeds]
    raw = b"\n".join(lines)
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "rows.jsonl", Path(folder) / "out"
        out.mkdir()
        if form == "ranking/1":
            raw = json.dumps(OUR_SET).encode() + b"\n" + raw
        path.write_bytes(raw)
        items = check(path, form, out)
        stored = [json.loads(line) for line in lines_of(out, "sets")]
    if not is_document(raw):
        wanted = [it for it in raw.split(b"\n") if it.strip() not in (b"", b"\xef\xbb\xbf")]
        assert len({place.row for item in items for place in item.places}) == len(wanted)
    texts = set()
    for item in items:
        check_texts(form, item)
        if isinstance(item.content, Answer):
            texts |= {it.text for it in item.content.candidates}
    if form != "ranking/1":
        assert {it["text"] for row in stored for it in row["responses"]} <= texts


@SAME_EVERY_TIME
@given(seeds=SEEDS, as_array=st.booleans())
def test_rows_of_ours_are_stored_as_they_are(seeds: list[tuple[int, int]], as_array: bool) -> None:
    rows = [json.dumps(OUR_SET).encode(), *(line_of("ranking/1", seed, 0) for seed, _ in seeds)]
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "rows.jsonl", Path(folder) / "out"
        out.mkdir()
        path.write_bytes(b"[" + b",\n".join(rows) + b"]" if as_array else b"\n".join(rows))
        check(path, "ranking/1", out)
        stored = [json.loads(it) for name in ("sets", "rankings") for it in lines_of(out, name)]
    given_rows = [json.loads(row) for row in rows]
    assert all(row in given_rows for row in stored)


@SAME_EVERY_TIME
@given(seeds=SEEDS)
def test_any_spreadsheet(seeds: list[tuple[int, int]]) -> None:
    raw = csv_of(seeds[: ROWS_A_FILE // 4])
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "sheet.csv", Path(folder) / "out"
        out.mkdir()
        (out / "sets.jsonl").write_text(json.dumps(OUR_SET) + "\n")
        path.write_bytes(raw)
        check(path, "csv", out)
        stored = [json.loads(line) for line in lines_of(out, "rankings")]
    table = list(csv.DictReader(io.StringIO(raw.decode("utf-8", "replace"), newline="")))
    for row in stored:
        own = [it for it in table if it["annotator_id"] == row["annotator_id"]]
        assert row["tiers"] == {it["response_id"]: int(it["rank"]) for it in own}


def test_enough_rows_were_read_and_of_every_outcome() -> None:
    """Runs after the others; each of them alone reads its share."""
    if len(SEEN) == 0:
        pytest.skip("run the whole file")
    sys.stdout.write(f"{dict(SEEN)}\n")
    assert SEEN["rows"] >= 0.9 * ROWS_WANTED
    assert min(SEEN[name] for name in ("accepted", "duplicate", "held", "quarantined")) > 0
    assert SEEN["accepted"] > 0.2 * SEEN["rows"]


STRICTER = {
    "DUPLICATE_KEY",
    "BAD_NUMBER",
    "BAD_TEXT",
    "TOO_DEEP",
    "TOO_LARGE",
    "NOT_OBJECT",
    "NOT_UTF8",
}
CONSTANT = re.compile(r"NaN|-?Infinity")


@settings(max_examples=ROWS_WANTED // 8, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 2**32),
    form=st.sampled_from(sorted(ROWS)),
    mutation=st.integers(0, 3),
    noise=st.binary(max_size=3),
)
def test_the_strict_parser_agrees_with_the_plain_one(
    seed: int, form: str, mutation: int, noise: bytes
) -> None:
    """It takes nothing that json does not take, to the same value; what it refuses has a reason."""
    raw = line_of(form, seed, mutation)
    raw = raw + noise if seed % 3 == 0 else raw
    try:
        expected = json.loads(raw.decode("utf-8").removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        with pytest.raises(RowError):
            parse_object(raw)
        return
    try:
        found = parse_object(raw)
    except RowError as error:
        is_stricter = error.code in STRICTER or CONSTANT.search(error.message) is not None
        assert is_stricter
        return
    assert found == expected
    assert json.dumps(found) == json.dumps(expected)
