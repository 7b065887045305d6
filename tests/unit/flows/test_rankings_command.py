"""`rlhf rankings`: what the commands print, write and answer, with and without an inbox."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from data.formats import published
from data.identity import canonical_json, prompt_id, response_id, set_id
from data.inbox import assignments, batches, connection, events
from data.inbox.accounts import add, disable
from data.inbox.connection import open_inbox
from data.sets import parse_set
from flows.cli_rankings import rankings_app
from flows.run_records import append_run
from tasks.artifacts import ArtifactStore

NOW = datetime(2026, 11, 1, tzinfo=UTC)
BATCH = "b_0123456789abcdef"


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLHF_VAR", str(tmp_path / "var"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").mkdir()
    return tmp_path / "var"


def rlhf(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(rankings_app, [*words])
    assert result.exit_code == code, result.output
    return result


def write(name: str, *rows: object) -> str:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    Path(name).write_text(text, encoding="utf-8")
    return name


def pair(number: int) -> dict[str, str]:
    return {"prompt": f"q {number}", "chosen": "gut 👍", "rejected": "schlecht"}


def make_set(number: int, texts: tuple[str, ...] = ("a 好", "b", "=c")) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"question {number}"}]
    prompt = prompt_id(messages)
    ids = [response_id(prompt, text) for text in texts]
    return {
        "schema": "set/1",
        "set_id": set_id(prompt, ids),
        "prompt_id": prompt,
        "messages": messages,
        "responses": [
            {"response_id": name, "text": text, "generator": "sft"}
            for name, text in zip(ids, texts, strict=True)
        ],
        "guideline_version": "1",
        "campaign": "c",
    }


def publish(var: Path, *rows: dict[str, Any], batch_id: str = BATCH) -> None:
    batch = batches.NewBatch(
        batch_id=batch_id,
        name="mine",
        campaign="c",
        guideline_version="1",
        wanted=2,
        deadline=None,
        allow_top=False,
        config="{}",
        retest_after=timedelta(days=3),
    )
    tasks = [batches.task_of(parse_set(row), want=1) for row in rows]
    with open_inbox(var / "inbox.sqlite") as con:
        batches.publish(con, batch, tasks, now=NOW)


def fill_in(name: str, *, reverse: bool = False, quality: bool = False) -> None:
    """Rank the rows of each set of a CSV in the order shown, as a person would in a spreadsheet."""
    text = Path(name).read_bytes().decode("utf-8-sig")
    for number, letter in enumerate("ABC", start=1):
        rank = 4 - number if reverse else number
        cells = f"{rank},{number * 2 if quality else ''},,"
        lines = [
            line.removesuffix(",,,") + cells if f",{letter}," in line else line
            for line in text.split("\r\n")
        ]
        text = "\r\n".join(lines)
    Path(name).write_bytes(text.encode("utf-8-sig"))


def rankings_in(var: Path, batch_id: str = BATCH) -> list[dict[str, Any]]:
    with open_inbox(var / "inbox.sqlite", read_only=True) as con:
        found = events.read(con, batch_id=batch_id, types=["ranking"])
        return [json.loads(event.payload) for event in found]


def have(var: Path) -> int:
    with open_inbox(var / "inbox.sqlite", read_only=True) as con:
        return batches.progress(con, BATCH, now=NOW).have


def test_import_says_what_became_of_each_row() -> None:
    source = write("pairs.jsonl", pair(1), pair(2), {**pair(3), "chosen": "schlecht"})
    result = rlhf("import", source, "--out", "mine")
    assert (
        "pairs.jsonl │ trl    │    3 │       3 │        2 │         0 │    0 │           1"
        in result.output
    )
    assert (
        "1 x SAME_TEXT, first at pairs.jsonl:3: rejected: chosen and rejected are the same text"
        in result.output
    )
    assert "mine/rankings.jsonl: 2 rows added" in result.output
    again = rlhf("import", source, "--out", "mine")
    assert "nothing new" in again.output
    assert sorted(it.name for it in Path("mine").iterdir()) == [
        "prompts.jsonl",
        "rankings.jsonl",
        "refused.jsonl",
        "sets.jsonl",
        "sft.jsonl",
    ]


def test_nothing_taken_is_exit_code_2_and_an_empty_file_is_said() -> None:
    rlhf("import", write("bad.jsonl", {"prompt": 1, "chosen": "a", "rejected": "b"}), code=2)
    # One that nobody answered yet makes no success of it.
    waits, bad = {"fields": {"prompt": "q"}, "responses": []}, {"fields": 3, "responses": []}
    rlhf("import", write("page.jsonl", waits, bad), code=2)
    assert "none.jsonl: holds no row" in rlhf("import", write("none.jsonl"), "-f", "trl").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.jsonl"], "none.jsonl: no such file"),
        (["x.jsonl", "-f", "xml"], "--format xml: no such format; use one of ranking/1, csv"),
        (
            ["x.jsonl", "--direction", "up"],
            "--direction up: no such direction; use higher-is-better",
        ),
        (["x.jsonl", "--coverage", "all"], "--coverage all: use full, top, subset"),
        (["x.jsonl", "--range", "5"], "--range 5: write it as 1..5"),
        (["x.jsonl", "--range", "5..1"], "--range 5..1: write it as 1..5"),
        (["x.jsonl", "--out", "x.jsonl"], "x.jsonl: is a file; name a folder with --out"),
        (["score.jsonl"], "say --direction higher-is-better or lower-is-better"),
    ],
)
def test_mistakes_of_the_call(words: list[str], message: str) -> None:
    write("x.jsonl", pair(1))
    write("score.jsonl", {"prompt": "q", "response": "a", "grade": 3})
    assert message in rlhf("import", *words, code=2).stderr
    assert {it.name for it in Path().iterdir()} == {"var", "x.jsonl", "score.jsonl"}


def test_grades_with_a_range_and_an_order_of_words() -> None:
    rows = [
        {"prompt": "q", "response": text, "grade": grade} for text, grade in (("a", 1), ("b", 9))
    ]
    words = ["--direction", "higher-is-better", "--range", "0..5"]
    assert "BAD_SCORE" in rlhf("import", write("n.jsonl", *rows), *words, code=2).output
    rows = [
        {"prompt": "q", "response": text, "grade": grade}
        for text, grade in (("a", "ok"), ("b", "top"))
    ]
    rlhf("import", write("w.jsonl", *rows), "--order", "top, ok", "--annotator", "me", "--out", "o")
    row = json.loads(Path("o/rankings.jsonl").read_bytes())
    assert row["annotator_id"] == "me"
    assert sorted(row["tiers"].values()) == [1, 2]


def test_two_imports_into_one_folder_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl
    import os

    Path("mine").mkdir()
    descriptor = os.open("mine", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    source = write("pairs.jsonl", pair(1))
    message = "mine: another import writes to it; wait for its end"
    assert message in rlhf("import", source, "--out", "mine", code=2).stderr
    os.close(descriptor)
    rlhf("import", source, "--out", "mine")


def test_validate_writes_nothing() -> None:
    rlhf("import", write("pairs.jsonl", pair(1), pair(2)), "--out", "mine")
    before = {it: it.read_bytes() for it in Path().rglob("*") if it.is_file()}
    assert "quarantined" in rlhf("validate", "mine/sets.jsonl", "mine/rankings.jsonl").output
    result = rlhf("validate", "mine/rankings.jsonl", code=2)
    assert (
        "2 x UNKNOWN_SET, first at mine/rankings.jsonl:1: set_id: no ranking set" in result.output
    )
    assert {it: it.read_bytes() for it in Path().rglob("*") if it.is_file()} == before


def test_a_spreadsheet_goes_out_and_comes_back_into_the_run_that_waits(var: Path) -> None:
    sets = [make_set(1), make_set(2)]
    publish(var, *sets)
    written = rlhf("export", "sheet.csv", "-f", "csv", "--annotator", "ann_07")
    assert "sheet.csv: 2 tasks written" in written.output
    assert "2 cells begin like a formula and got a leading apostrophe" in written.output
    assert "2 x UNANSWERED" in rlhf("import", "sheet.csv").output
    fill_in("sheet.csv")
    result = rlhf("import", "sheet.csv")
    assert f"batch {BATCH}: 2 rankings sent to the run that waits for them" in result.output
    rows = rankings_in(var)
    assert {row["set_id"] for row in rows} == {row["set_id"] for row in sets}
    assert all([row["tiers"][it] for it in row["display_order"]] == [1, 2, 3] for row in rows)
    assert have(var) == 2
    assert "nothing new" in rlhf("import", "sheet.csv").output
    assert rankings_in(var) == rows
    assert not Path("rankings.jsonl").exists()


def test_answers_to_a_finished_batch_wait_for_the_next_run(var: Path) -> None:
    publish(var, make_set(1))
    rlhf("export", "sheet.csv", "-f", "csv", "--annotator", "ann_07")
    with open_inbox(var / "inbox.sqlite") as con:
        batches.finish(con, BATCH, events.head(con), now=NOW)
    fill_in("sheet.csv")
    result = rlhf("import", "sheet.csv")
    words = f"batch {BATCH}: 1 rankings stored; no run waits for them, the next rlhf run takes them"
    assert words in result.output
    assert len(rankings_in(var)) == 1


def test_only_what_a_file_answers_is_read_and_its_answers_are_one_transaction(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "b_fedcba9876543210"
    publish(var, *(make_set(number) for number in range(1, 5)))
    publish(var, make_set(5), batch_id=other)
    rlhf("export", "sheet.csv", "-f", "csv", "--batch", BATCH, "--annotator", "ann_07")
    fill_in("sheet.csv")
    read: list[str | None] = []
    blocks: list[object] = []

    def note_read(*arguments: Any, **named: Any) -> Any:
        read.append(named["batch_id"])
        return read_events(*arguments, **named)

    def note_block(con: Any) -> Any:
        blocks.append(con)
        return write_block(con)

    read_events, write_block = events.read, connection.write
    monkeypatch.setattr(events, "read", note_read)
    monkeypatch.setattr(published, "write", note_block)
    monkeypatch.setattr(assignments, "write", note_block)
    rlhf("import", write("pairs.jsonl", pair(1)), "--out", "mine")
    assert (read, blocks) == ([], [])
    rlhf("import", "sheet.csv")
    assert (read, len(blocks)) == ([BATCH], 1)
    assert have(var) == 4


def test_an_answer_of_an_older_batch_with_the_same_set_is_known(var: Path) -> None:
    publish(var, make_set(1))
    rlhf("export", "sheet.csv", "-f", "csv", "--annotator", "ann_07")
    fill_in("sheet.csv")
    rlhf("import", "sheet.csv")
    with open_inbox(var / "inbox.sqlite") as con:
        batches.finish(con, BATCH, events.head(con), now=NOW)
    publish(var, make_set(1), make_set(2), batch_id="b_fedcba9876543210")
    assert "nothing new" in rlhf("import", "sheet.csv").output


def test_a_corrected_spreadsheet_replaces_the_answer_in_the_inbox(var: Path) -> None:
    publish(var, make_set(1))
    rlhf("export", "one.csv", "-f", "csv", "--annotator", "ann_07")
    rlhf("export", "two.csv", "-f", "csv", "--annotator", "ann_07")
    fill_in("one.csv")
    fill_in("two.csv", reverse=True)
    rlhf("import", "one.csv")
    rlhf("import", "two.csv")
    first, second = rankings_in(var)
    assert (second["revision"], second["supersedes"]) == (2, first["event_id"])
    assert have(var) == 1


def test_a_doubtful_answer_waits_in_the_inbox_for_a_lead(var: Path) -> None:
    publish(var, make_set(1))
    rlhf("export", "sheet.csv", "-f", "csv", "--annotator", "ann_07")
    fill_in("sheet.csv", quality=True)
    result = rlhf("import", "sheet.csv")
    assert "1 x QUALITY_CONTRADICTS_RANK" in result.output
    assert len(rankings_in(var)) == 1
    assert have(var) == 0


def test_our_own_rows_and_inactive_people(var: Path) -> None:
    publish(var, make_set(1))
    with open_inbox(var / "inbox.sqlite") as con:
        add(con, "gone", role="annotator", name="", now=NOW)
        disable(con, "gone")
    rlhf("export", "sheet.csv", "-f", "csv", "--annotator", "gone")
    fill_in("sheet.csv")
    assert "annotator 'gone' is inactive" in rlhf("import", "sheet.csv", code=2).output
    rlhf("import", "sheet.csv", "--annotator", "gone=ann_08")
    row = {
        **rankings_in(var)[0],
        "annotator_id": "ann_09",
        "event_id": "0b0f4a56-3a0e-4b0e-9f0a-0a8f5c1d2e3f",
    }
    rlhf("import", write("own.jsonl", row))
    assert [it["annotator_id"] for it in rankings_in(var)] == ["ann_08", "ann_09"]


def test_sets_of_a_folder_come_before_those_of_the_inbox(var: Path) -> None:
    publish(var, make_set(1))
    rlhf("import", write("sets.jsonl", make_set(1)), "--out", "mine")
    rlhf("export", "sheet.csv", "-f", "csv", "--annotator", "ann_07")
    fill_in("sheet.csv")
    rlhf("import", "sheet.csv", "--out", "mine")
    assert rankings_in(var) == []
    assert len(Path("mine/rankings.jsonl").read_bytes().splitlines()) == 1


def test_tasks_for_other_tools(var: Path) -> None:
    publish(var, make_set(1), make_set(2, ("x", "y")))
    rlhf("export", "tasks.json", "-f", "label-studio", "--annotator", "a", "--annotator", "b")
    tasks = json.loads(Path("tasks.json").read_bytes())
    assert len(tasks) == 4
    assert b"sft" not in Path("tasks.json").read_bytes()
    rlhf("export", "records", "-f", "argilla")
    assert sorted(it.name for it in Path("records").iterdir()) == [
        "records_k2.json",
        "records_k3.json",
    ]


def make_run(var: Path) -> None:
    """A finished run with the artifacts that an export reads."""
    one = make_set(1)
    ids = [it["response_id"] for it in one["responses"]]
    messages = canonical_json(one["messages"])
    store = ArtifactStore(root=var / "artifacts")
    rows = []
    ranking = {
        "schema": "ranking/1",
        "event_id": "0b0f4a56-3a0e-4b0e-9f0a-0a8f5c1d2e3f",
        "set_id": one["set_id"],
        "annotator_id": "ann_07",
        "revision": 1,
        "outcome": "ranked",
        "coverage": "full",
        "tiers": {ids[0]: 1, ids[1]: 2, ids[2]: 3},
        "display_order": ids,
        "touched": True,
        "started_at": "2025-05-01T09:00:00+00:00",
        "submitted_at": "2025-05-01T09:00:40+00:00",
        "active_ms": 31000,
        "ui_version": "page/1",
    }
    responses = {"response_id": ids, "text": [it["text"] for it in one["responses"]]}
    prompt = {"prompt_id": [one["prompt_id"]], "messages": [messages]}
    tables: dict[str, dict[str, dict[str, Any]]] = {
        "collect_rankings": {
            "prompt": prompt,
            "response": {**responses, "generator": ["sft"] * 3},
            "ranking_set": {
                "set_id": [one["set_id"]],
                "prompt_id": [one["prompt_id"]],
                "purpose": ["main"],
                "retest_of": [None],
            },
            "ranking_set_item": {"set_id": [one["set_id"]] * 3, "response_id": ids},
            "ranking": {"ranking_id": [ranking["event_id"]]},
        },
        "build_pairs": {
            "prompts": prompt,
            "responses": responses,
            "pairs": {
                "split": ["train"],
                "prompt_id": [one["prompt_id"]],
                "ranking_id": ["e"],
                "annotator_id": ["ann_07"],
                "chosen_id": ids[:1],
                "rejected_id": ids[1:2],
                "tier_gap": [1],
                "weight": [1 / 3],
            },
        },
    }
    for stage, frames in tables.items():
        scratch = store.scratch(stage)
        for name, columns in frames.items():
            pl.DataFrame(columns).write_parquet(scratch / f"{name}.parquet")
        if stage == "collect_rankings":
            (scratch / "rankings.jsonl").write_text(
                canonical_json(ranking) + "\n", encoding="utf-8"
            )
        ref = store.publish(stage, scratch)
        rows.append({"stage": stage, "sha256": ref.sha256, "seconds": 1.0})

    class Row:
        def __init__(self, row: dict[str, Any]) -> None:
            self.row = row

        def as_json(self) -> dict[str, Any]:
            return self.row

    config = {"name": "mine", "campaign": {"name": "c", "guideline_version": "1"}}
    append_run(
        var,
        finished_at="x",
        flow_run_id="y",
        config=config,
        rows=[Row(row) for row in rows],  # type: ignore[misc]
        machine={},
    )


def test_what_a_run_has_learnt_from(var: Path) -> None:
    make_run(var)
    assert "pairs: 1 pairs written" in rlhf("export", "pairs", "-f", "trl").output
    row = json.loads(Path("pairs/train.jsonl").read_bytes())
    assert (row["chosen"][0]["content"], row["group"]) == ("a 好", make_set(1)["prompt_id"])
    rlhf("export", "hh", "-f", "hh-rlhf", "--run", "mine")
    assert json.loads(Path("hh/train.jsonl").read_bytes())["chosen"].endswith("Assistant: a 好")
    rlhf("export", "own", "-f", "ranking/1")
    rlhf("import", "own/sets.jsonl", "own/rankings.jsonl", "--out", "back")
    assert Path("back/sets.jsonl").read_bytes() == Path("own/sets.jsonl").read_bytes()
    assert Path("back/rankings.jsonl").read_bytes() == Path("own/rankings.jsonl").read_bytes()
    rlhf("export", "ranked.csv", "-f", "csv", "--ranked")
    rlhf("import", "own/sets.jsonl", "ranked.csv", "--out", "sheet")
    assert json.loads(Path("sheet/rankings.jsonl").read_bytes())["annotator_id"] == "ann_07"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["x", "-f", "xml"],
            "--format xml: use csv, label-studio, argilla, ranking/1, trl, hh-rlhf",
        ),
        (["x", "-f", "trl"], "no finished run has done build_pairs; run: rlhf run"),
        (
            ["x", "-f", "ranking/1", "--run", "z"],
            "no finished run named z has done collect_rankings",
        ),
        (["x.csv", "-f", "csv"], "nothing is published for ranking"),
        (["x", "-f", "trl", "--ranked"], "--ranked: trl takes no ranks"),
        (["there", "-f", "trl"], "there: is there already; name another place, or say --force"),
    ],
)
def test_mistakes_of_an_export(words: list[str], message: str) -> None:
    Path("there").mkdir()
    write("there/file")
    assert message in rlhf("export", *words, code=2).stderr
    assert {it.name for it in Path().iterdir()} == {"var", "there"}


def test_batches_are_named_where_none_waits(var: Path) -> None:
    publish(var, make_set(1))
    with open_inbox(var / "inbox.sqlite") as con:
        batches.finish(con, BATCH, events.head(con), now=NOW)
    result = rlhf("export", "x.csv", "-f", "csv", code=2)
    assert f"no batch waits for rankings (batches: {BATCH})" in result.stderr
    assert (
        "no batch b_1 (batches"
        in rlhf("export", "x.csv", "-f", "csv", "--batch", "b_1", code=2).stderr
    )
    rlhf("export", "x.csv", "-f", "csv", "--batch", BATCH)
    rlhf("export", "x.csv", "-f", "csv", "--batch", BATCH, "--force")
    rlhf("export", "x.csv", "-f", "csv", "--batch", BATCH, code=2)
