"""The CSV for spreadsheets: what people and spreadsheets do to it, and the exact words for it."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from data.formats.write_tasks import shown_order, write_csv
from data.sets import parse_set
from tests.unit.data.formats.conftest import Take, Taken

TEXTS = {"r_k3": 'text, with "quotes"', "r_a9": "=1+1", "r_m2": "两行\nund mehr", "r_c7": "'tis"}
SET = {
    "schema": "set/1",
    "set_id": "s_1",
    "prompt_id": "p_1",
    "messages": [{"role": "user", "content": "Explain recursion to a child."}],
    "responses": [
        {"response_id": name, "text": text, "generator": "g"} for name, text in TEXTS.items()
    ],
    "guideline_version": "1",
    "campaign": "c",
}
EMPTY = " (empty = not ranked, only with coverage top/subset)"
HEADER = "set_id,annotator_id,shown,response_id,prompt,response,rank,quality,flags,comment"


def lines(*rows: str, header: str = HEADER) -> bytes:
    return "\r\n".join([header, *rows, ""]).encode()


def ranks(*values: str, quality: str = "", flags: str = "") -> bytes:
    cells = zip("ABCD", TEXTS, values, strict=True)
    return lines(
        *(f"s_1,ann_07,{at},{name},,,{rank},{quality},{flags},hm" for at, name, rank in cells)
    )


def sheet(take: Take, raw: bytes, **options: Any) -> Taken:
    take([SET])
    return take(raw, name="sheet.csv", **options)


def test_ranks_as_filled_in(take: Take) -> None:
    taken = sheet(take, ranks("2", " 3 ", "2", "1", quality="6", flags="hallucination opinion"))
    assert (taken.report.format_name, taken.report.rows, taken.counts) == ("csv", 4, (1, 0, 0, 0))
    row = taken.rows("rankings")[0]
    assert row["tiers"] == {"r_k3": 2, "r_a9": 3, "r_m2": 2, "r_c7": 1}
    assert row["display_order"] == list(TEXTS)
    assert row["annotator_id"] == "ann_07"
    assert row["quality"]["r_a9"] == 6
    assert row["flags"]["r_a9"] == ["hallucination", "opinion"]
    assert sheet(
        take, ranks("2", "3", "2", "1", quality="6", flags="hallucination;opinion")
    ).counts == (0, 1, 0, 0)


def test_rows_may_be_sorted_anew(take: Take) -> None:
    rows = [
        f"s_1,ann_07,{at},{name},,,{i},,,"
        for i, (at, name) in enumerate(zip("DBAC", TEXTS, strict=True), 1)
    ]
    taken = sheet(take, lines(*rows[::-1]))
    assert taken.rows("rankings")[0]["display_order"] == ["r_m2", "r_a9", "r_c7", "r_k3"]


def test_the_file_as_it_was_written_has_no_answer_yet(take: Take, tmp_path: Path) -> None:
    take([SET])
    path = tmp_path / "sheet.csv"
    written = write_csv(path, [parse_set(SET)], annotators=("ann_07", "ann_08"))
    assert written.written == 2
    assert len(written.guarded) == 4
    taken = take(path)
    assert (taken.report.rows, taken.counts) == (8, (0, 0, 2, 0))
    assert {it[0] for it in taken.reasons} == {"UNANSWERED"}


@pytest.mark.parametrize("is_rewritten", [False, True])
def test_a_filled_sheet_comes_back_with_every_text_as_it_was(
    take: Take, tmp_path: Path, is_rewritten: bool
) -> None:
    take([SET])
    path = tmp_path / "sheet.csv"
    write_csv(path, [parse_set(SET)], annotators=("ann_07",))
    table = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    assert [row[5].removeprefix("'") for row in table[1:]] == [
        it.text for it in shown_order(parse_set(SET), "ann_07")
    ]
    for index, row in enumerate(table[1:], start=1):
        row[6] = str(index)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n" if is_rewritten else "\r\n").writerows(table)
    taken = take(
        text.getvalue().encode("utf-8" if is_rewritten else "utf-8-sig"), name="filled.csv"
    )
    assert taken.counts == (1, 0, 0, 0)


def test_cells_that_a_spreadsheet_would_run_are_guarded(take: Take, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    write_csv(path, [parse_set(SET)])
    table = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    assert sorted(row[5] for row in table[1:] if row[5].startswith("'")) == ["''tis", "'=1+1"]
    assert not any(cell.startswith(tuple("=+-@\t\r")) for row in table for cell in row)


@pytest.mark.parametrize(
    ("raw", "code", "field", "message"),
    [
        (
            lines("s_1,a,r_k3,1", header="set_id,annotator_id,response_id,rnak"),
            "CSV_HEADER",
            "",
            "missing column rank; found 'rnak'",
        ),
        (lines(header=f"{HEADER},rank"), "CSV_HEADER", "", "repeated column rank"),
        (lines(header=f"{HEADER},"), "CSV_HEADER", "", "column 11 has no name; delete it"),
        (
            f"{HEADER}\ra,b\r".encode(),
            "CSV_FIELDS",
            "",
            "row 1 is not CSV: its lines end with CR alone; save it as CSV UTF-8",
        ),
        (lines(header=f"{HEADER},model"), "CSV_HEADER", "", "unknown column 'model'"),
        (
            lines("s_1;a", header=HEADER.replace(",", ";")),
            "CSV_HEADER",
            "",
            "one column found; is the separator ';'? Save with commas",
        ),
        (lines("s_1,ann_07,A,r_k3,,,1"), "CSV_FIELDS", "", "row 2 has 7 fields; expected 10"),
        (
            lines('s_1,ann_07,A,r_k3,,"x"y,1,,,'),
            "CSV_FIELDS",
            "",
            "row 2 is not CSV: ',' expected after '\"'",
        ),
        (
            lines('s_1,ann_07,A,r_k3,,"x'),
            "CSV_FIELDS",
            "",
            "row 2 is not CSV: unexpected end of data",
        ),
        (HEADER.encode("utf-16"), "NOT_UTF8", "", 'this is not UTF-8; save as "CSV UTF-8"'),
        (
            ranks("1", "2", "3", "4").replace(b"hm", "é".encode("latin-1"), 1),
            "NOT_UTF8",
            "",
            'this is not UTF-8; save as "CSV UTF-8"',
        ),
        (
            ranks("1", "2", "3", "4").replace(b"hm", b"\0", 1),
            "BAD_TEXT",
            "",
            "character U+0000 cannot be stored",
        ),
        (
            lines("1.23E+12,ann_07,A,r_k3,,,1,,,"),
            "CSV_MANGLED_ID",
            "set_id",
            "set_id 1.23E+12 looks rewritten by a spreadsheet; ids here start with a letter",
        ),
        (
            lines("s_1,,A,r_k3,,,1,,,"),
            "MISSING_FIELD",
            "annotator_id",
            "row 2: annotator_id is empty; fill it in, or say --annotator",
        ),
        (
            ranks("1", "1st", "2", "3"),
            "TIER_TYPE",
            "rank",
            "row 3: rank must be an integer, found '1st'" + EMPTY,
        ),
        (
            ranks("1", "2.0", "2", "3"),
            "TIER_TYPE",
            "rank",
            "row 3: rank must be an integer, found '2.0'" + EMPTY,
        ),
        (
            ranks("1", "\uff12", "2", "3"),
            "TIER_TYPE",
            "rank",
            "row 3: rank must be an integer, found '\uff12'" + EMPTY,
        ),
        (
            ranks("1", "2", "3", "4", quality="x"),
            "QUALITY_RANGE",
            "quality",
            "row 2: quality must be an integer, found 'x'",
        ),
        (ranks("1", "0", "2", "3"), "TIER_RANGE", "tiers.r_a9", "rank 0 is outside 1..4"),
        (
            ranks("1", "2", "2", "4"),
            "TIER_GAP",
            "tiers",
            "ranks [1, 2, 2, 4] leave a gap; use 1,2,2,3",
        ),
        (ranks("1", "", "2", "3"), "INCOMPLETE", "tiers", "full ranking without: r_a9"),
        (
            ranks("1", "2", "3", "4", flags="rude"),
            "UNKNOWN_FLAG",
            "flags.r_k3",
            "unknown flag: rude",
        ),
        (
            lines(*(f"s_1,ann_07,{i},r_k3,,,{i},,," for i in (1, 2))),
            "DUPLICATE_ROW",
            "response_id",
            "rows 2 and 3 rank 'r_k3' twice",
        ),
        (lines("s_9,ann_07,A,r_k3,,,1,,,"), "UNKNOWN_SET", "set_id", "no ranking set 's_9'"),
        (
            lines("s_1,ann_07,A,r_k3,,other,1,,,"),
            "STALE_CONTENT",
            "response",
            "the text of r_k3 is not the stored text",
        ),
    ],
)
def test_refused(take: Take, raw: bytes, code: str, field: str, message: str) -> None:
    taken = sheet(take, raw)
    assert taken.reasons[0] == (code, field, message)
    assert taken.report.accepted == 0


def test_empty_cells_where_they_are_allowed(take: Take) -> None:
    taken = sheet(take, ranks("1", "", "2", ""), coverage="top")
    assert taken.rows("rankings")[0]["tiers"] == {"r_k3": 1, "r_m2": 2}


def test_a_corrected_sheet_is_a_revision(take: Take) -> None:
    sheet(take, ranks("1", "2", "3", "4"))
    taken = sheet(take, ranks("1", "2", "4", "3"))
    assert [row["revision"] for row in taken.rows("rankings")] == [1, 2]
    assert sheet(take, ranks("1", "2", "4", "3")).counts == (0, 1, 0, 0)


def test_an_answer_that_was_replaced_waits_and_is_a_revision_when_accepted(take: Take) -> None:
    first, second = ranks("1", "2", "3", "4"), ranks("1", "2", "4", "3")
    sheet(take, first)
    sheet(take, second)
    taken = sheet(take, first)
    message = "this was revision 1, replaced since by revision 2;"
    message += " --accept-held takes it as a new revision"
    assert (taken.counts, taken.reasons) == ((0, 0, 1, 0), [("REPLACED", "", message)])
    taken = sheet(take, first, accept_held=True)
    old, replaced, new = taken.rows("rankings")
    assert taken.counts == (1, 0, 0, 0)
    assert (new["revision"], new["supersedes"], new["tiers"]) == (
        3,
        replaced["event_id"],
        old["tiers"],
    )
    assert len({it["event_id"] for it in (old, replaced, new)}) == 3
    for accept_held in (False, True):
        assert sheet(take, first, accept_held=accept_held).counts == (0, 1, 0, 0)
    assert "revision 2, replaced since by revision 3" in sheet(take, second).reasons[-1][2]
    assert sheet(take, second, accept_held=True).rows("rankings")[-1]["revision"] == 4
    assert sheet(take, first).counts == (0, 0, 1, 0)


def test_a_broken_row_spoils_its_own_ranking_only(take: Take) -> None:
    good = ranks("1", "2", "3", "4").decode()
    other = "\r\n".join(f"s_1,ann_08,{i},{name},,,{i},,," for i, name in enumerate(TEXTS, start=1))
    taken = sheet(take, (good + "s_1,ann_09\r\n\r\n,,,\r\n" + other).encode())
    assert taken.counts == (2, 0, 0, 1)
    assert taken.report.rows == 9


def test_a_quote_that_is_never_closed_does_not_eat_the_memory(take: Take) -> None:
    raw = (
        lines('s_1,ann_07,A,r_k3,,"never closed')
        + b"x" * 3_000_000
        + b"\n"
        + ranks("1", "2", "3", "4")
    )
    taken = sheet(take, raw)
    assert taken.reasons[0][0] == "TOO_LARGE"
    assert taken.report.accepted == 1
