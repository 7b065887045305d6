"""Out again: pairs that `datasets` loads, tasks that come back as answers, no text changed."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.errors import InputError
from data.formats.files import write_file
from data.formats.hh_rlhf import render_transcript
from data.formats.snapshot_rows import read_rankings, read_sets, set_row
from data.formats.write_pairs import write_hh_rlhf, write_trl
from data.formats.write_tasks import (
    shown_order,
    write_argilla,
    write_csv,
    write_label_studio,
    write_ranked_csv,
)
from data.identity import canonical_json
from data.rankings import Ranking
from data.sets import ResponseSet, parse_set
from tests.unit.data.formats.conftest import NOW, Take

TEXTS = (
    "请解释递归。\r\n第二行",
    "👩‍👩‍👧‍👦 🇩🇪 \U0001f600",
    "abc \u202e dcba \u2066x\u2069",
    "e\u0301 and \u00e9 e \u2028 line \x0b tab\t",
    "=HYPERLINK(1)",
    "'quoted', \"both\" \\n \\",
    "  leading and trailing  ",
    "\ufeffmark \x7f\x85",
    '{"a": [1, 2]}\n\nanswer',
)
DIALOGUE = [
    {"role": "user", "content": "Löse das 🙂\nin zwei Zeilen"},
    {"role": "assistant", "content": "怎么?"},
    {"role": "user", "content": "\u202eweiter"},
]


def wide_set(
    k: int = 9, *, messages: list[dict[str, str]] | None = None, name: str = "s_wide"
) -> dict[str, Any]:
    return {
        "schema": "set/1",
        "set_id": name,
        "prompt_id": f"p_{name}",
        "messages": messages or DIALOGUE,
        "responses": [
            {"response_id": f"r_{name}_{i}", "text": text, "generator": "secret-model"}
            for i, text in enumerate(TEXTS[:k])
        ],
        "guideline_version": "1",
        "campaign": "c",
    }


def texts_of(one: ResponseSet) -> dict[str, str]:
    return {it.response_id: it.text for it in one.responses}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A build_pairs artifact: each text above the next one."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    names = [f"r_{i}" for i in range(len(TEXTS))]
    splits = ("train", "train", "train", "train", "train", "train", "validation", "test")
    rows = [
        {
            "split": split,
            "family_id": "f",
            "prompt_id": "p",
            "set_id": "s",
            "ranking_id": f"e{i}",
            "annotator_id": "ann_07",
            "chosen_id": names[i],
            "rejected_id": names[i + 1],
            "tier_gap": 1,
            "weight": 1 / 36,
        }
        for i, split in enumerate(splits)
    ]
    pl.DataFrame(rows).write_parquet(folder / "pairs.parquet")
    prompt = {"prompt_id": ["p"], "messages": [canonical_json(DIALOGUE)]}
    pl.DataFrame(prompt).write_parquet(folder / "prompts.parquet")
    responses = {"response_id": names, "text": list(TEXTS)}
    pl.DataFrame(responses).write_parquet(folder / "responses.parquet")
    return folder


def test_trl_rows(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "trl"
    assert write_trl(pairs, out).written == 8
    rows = [json.loads(line) for line in (out / "train.jsonl").read_bytes().split(b"\n")[:-1]]
    assert [row["chosen"][0]["content"] for row in rows] == list(TEXTS[:6])
    assert rows[0] == {
        "prompt": DIALOGUE,
        "chosen": [{"role": "assistant", "content": TEXTS[0]}],
        "rejected": [{"role": "assistant", "content": TEXTS[1]}],
        "group": "p",
        "weight": 1 / 36,
        "tier_gap": 1,
        "annotator": "ann_07",
        "pair_id": rows[0]["pair_id"],
    }
    assert len({row["pair_id"] for row in rows}) == 6
    assert sorted(it.name for it in out.iterdir()) == [
        "test.jsonl",
        "train.jsonl",
        "validation.jsonl",
    ]


def test_no_split_of_an_earlier_export_stays(pairs: Path, tmp_path: Path) -> None:
    """It would be loaded as a split of this one, with prompts that may train here."""
    write_trl(pairs, tmp_path / "trl")
    frame = pl.read_parquet(pairs / "pairs.parquet")
    frame.filter(pl.col("split") == "train").write_parquet(pairs / "pairs.parquet")
    write_trl(pairs, tmp_path / "trl")
    assert [it.name for it in (tmp_path / "trl").iterdir()] == ["train.jsonl"]


@pytest.mark.parametrize(("write", "form"), [(write_trl, "trl"), (write_hh_rlhf, "hh-rlhf")])
def test_pairs_come_back_with_every_text_as_it_was(
    pairs: Path, tmp_path: Path, take: Take, write: Any, form: str
) -> None:
    out = tmp_path / form
    write(pairs, out)
    taken = take(out / "train.jsonl")
    assert (taken.report.format_name, taken.counts) == (form, (6, 0, 0, 0))
    assert taken.tiers() == [{TEXTS[i]: 1, TEXTS[i + 1]: 2} for i in range(6)]
    assert {canonical_json(row["messages"]) for row in taken.rows("sets")} == {
        canonical_json(DIALOGUE)
    }


@pytest.mark.skipif(not importlib.util.find_spec("datasets"), reason="pip install datasets to run")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("write", [write_trl, write_hh_rlhf])
def test_datasets_loads_the_folder_as_it_is(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    out = tmp_path / "out"
    write(pairs, out)
    loaded = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {name: rows.num_rows for name, rows in loaded.items()} == {
        "train": 6,
        "validation": 1,
        "test": 1,
    }
    first = loaded["train"][0]
    chosen = first["chosen"] if isinstance(first["chosen"], str) else first["chosen"][0]["content"]
    assert chosen.endswith(TEXTS[0])
    assert first["weight"] == 1 / 36


@pytest.mark.parametrize(
    ("messages", "response"),
    [
        ([{"role": "system", "content": "x"}, {"role": "user", "content": "y"}], "z"),
        ([{"role": "user", "content": "y"}], "z\n\nHuman: no"),
        ([{"role": "user", "content": "y\n\nAssistant: no"}], "z"),
        ([{"role": "user", "content": "y"}, {"role": "user", "content": "y"}], "z"),
    ],
)
def test_what_a_transcript_would_change_has_none(
    messages: list[dict[str, str]], response: str
) -> None:
    assert render_transcript(messages, response) is None


def test_pairs_without_a_transcript_are_left_out_and_said(pairs: Path, tmp_path: Path) -> None:
    texts = pl.read_parquet(pairs / "responses.parquet")
    texts = texts.with_columns(
        pl.when(pl.col("response_id") == "r_0")
        .then(pl.lit("a\n\nHuman: b"))
        .otherwise("text")
        .alias("text")
    )
    texts.write_parquet(pairs / "responses.parquet")
    written = write_hh_rlhf(pairs, tmp_path / "out")
    assert written.written == 7
    assert written.left_out == ("r_0 over r_1: a turn that this form would read as another",)


def test_label_studio_tasks_come_back_as_answers(take: Take, tmp_path: Path) -> None:
    one = parse_set(take([wide_set()]).rows("sets")[0])
    path = tmp_path / "tasks.json"
    assert write_label_studio(path, [one], annotators=("ann_07", "ann_08")).written == 2
    raw = path.read_bytes()
    assert b"secret-model" not in raw
    tasks = json.loads(raw)
    assert {it["id"]: it["body"] for it in tasks[0]["data"]["items"]} == texts_of(one)
    orders = [[it["id"] for it in task["data"]["items"]] for task in tasks]
    assert orders[0] != orders[1]
    for number, task in enumerate(tasks):
        buckets = {f"rank_{i}": [name] for i, name in enumerate(sorted(orders[number]), start=1)}
        task["annotations"] = [
            {
                "id": number,
                "completed_by": number,
                "result": [
                    {
                        "type": "ranker",
                        "from_name": "rank",
                        "value": {"ranker": {"_": [], **buckets}},
                    }
                ],
            }
        ]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    taken = take(path, names={"label-studio:0": "ann_07", "label-studio:1": "ann_08"})
    assert taken.counts == (2, 0, 0, 0)
    rows = taken.rows("rankings")
    assert [row["display_order"] for row in rows] == orders
    assert [row["annotator_id"] for row in rows] == ["ann_07", "ann_08"]
    assert rows[0]["tiers"] == {name: i for i, name in enumerate(sorted(orders[0]), start=1)}
    tasks[0]["data"]["items"][0]["body"] += "!"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    assert take(path).reasons[0][0] == "STALE_CONTENT"


def test_argilla_records_come_back_as_answers(take: Take, tmp_path: Path) -> None:
    sets = [parse_set(row) for row in take([wide_set(), wide_set(3, name="s_few")]).rows("sets")]
    assert write_argilla(tmp_path / "argilla", sets).written == 2
    files = sorted(it.name for it in (tmp_path / "argilla").iterdir())
    assert files == ["records_k3.json", "records_k9.json"]
    records = json.loads((tmp_path / "argilla" / "records_k9.json").read_bytes())
    texts = [text for name, text in records[0]["fields"].items() if name != "prompt"]
    assert sorted(texts) == sorted(TEXTS)
    options = [name for name in records[0]["fields"] if name != "prompt"]
    values = [{"value": name, "rank": 1 + i // 3} for i, name in enumerate(options)]
    answer = {
        "id": "x",
        "user_id": "u",
        "status": "submitted",
        "values": {"rank": {"value": values}},
    }
    taken = take([{**records[0], "responses": [answer]}])
    assert taken.counts == (1, 0, 0, 0)
    row = taken.rows("rankings")[0]
    metadata = records[0]["metadata"]
    assert row["tiers"] == {metadata[name]: 1 + i // 3 for i, name in enumerate(options)}
    assert row["set_id"] == "s_wide"


def ranking(one: ResponseSet, **more: Any) -> dict[str, Any]:
    names = list(texts_of(one))
    return {
        "schema": "ranking/1",
        "event_id": "0b0f4a56-3a0e-4b0e-9f0a-0a8f5c1d2e3f",
        "set_id": one.set_id,
        "annotator_id": "ann_07",
        "revision": 1,
        "outcome": "ranked",
        "coverage": "full",
        "tiers": {name: 1 + i // 2 for i, name in enumerate(names)},
        "display_order": names[::-1],
        "quality": {names[0]: 7},
        "flags": {names[1]: ["opinion", "sexual"]},
        "touched": True,
        "started_at": "2025-05-01T09:00:00+00:00",
        "submitted_at": "2025-05-01T09:00:40+00:00",
        "active_ms": 31000,
        "ui_version": "page/1",
        **more,
    }


def read_back(take: Take, one: ResponseSet, row: dict[str, Any]) -> Ranking:
    from data.formats.door import new_rankings
    from data.formats.folder import facts_of
    from data.rankings import read_ranking

    known = new_rankings(NOW)
    known.sets = {one.set_id: facts_of(one)}
    return read_ranking(row, known)


def test_rankings_come_back_from_a_spreadsheet(take: Take, tmp_path: Path) -> None:
    one = parse_set(take([wide_set()]).rows("sets")[0])
    given = read_back(take, one, ranking(one))
    skipped = replace_outcome(given)
    path = tmp_path / "ranked.csv"
    written = write_ranked_csv(path, [one], [given, skipped])
    assert written.written == 1
    assert written.left_out == (f"{skipped.event_id}: skipped has no place in a CSV",)
    taken = take(path)
    assert taken.counts == (1, 0, 0, 0)
    row = taken.rows("rankings")[0]
    assert (row["tiers"], row["display_order"]) == (given.tiers, given.display_order)
    assert (row["quality"], row["flags"]) == (given.quality, given.flags)


def replace_outcome(given: Ranking) -> Ranking:
    changed = {"event_id": "1" * 8, "outcome": "skipped", "coverage": None}
    return given._replace(**changed) if hasattr(given, "_replace") else replace(given, **changed)


def test_orders_differ_between_annotators_and_are_stable() -> None:
    one = parse_set(wide_set())
    orders = {name: shown_order(one, name) for name in ("a", "b", "c")}
    assert len({tuple(it.response_id for it in order) for order in orders.values()}) == 3
    assert (
        shown_order(parse_set({**wide_set(), "responses": wide_set()["responses"][::-1]}), "a")
        == orders["a"]
    )


def test_sets_and_rankings_of_a_run(tmp_path: Path) -> None:
    one = parse_set({**wide_set(4), "purpose": "retest", "retest_of": "s_0"})
    names = list(texts_of(one))
    tables = {
        "prompt": {"prompt_id": [one.prompt_id], "messages": [canonical_json(DIALOGUE)]},
        "response": {
            "response_id": names,
            "text": list(TEXTS[:4]),
            "generator": ["secret-model"] * 4,
        },
        "ranking_set": {
            "set_id": [one.set_id],
            "prompt_id": [one.prompt_id],
            "purpose": ["retest"],
            "retest_of": ["s_0"],
        },
        "ranking_set_item": {"set_id": [one.set_id] * 4, "response_id": names},
        "ranking": {"ranking_id": ["0b0f4a56-3a0e-4b0e-9f0a-0a8f5c1d2e3f"]},
    }
    for name, columns in tables.items():
        pl.DataFrame(columns).write_parquet(tmp_path / f"{name}.parquet")
    rows = [
        ranking(one),
        ranking(one, annotator_id="other", event_id="1b0f4a56-3a0e-4b0e-9f0a-0a8f5c1d2e3f"),
    ]
    lines = [canonical_json(row) for row in rows]
    (tmp_path / "rankings.jsonl").write_text(
        "\n".join([lines[0], "{broken", *lines]), encoding="utf-8"
    )
    sets = read_sets(tmp_path, guideline_version="1", campaign="c")
    assert [json.loads(set_row(it)) for it in sets] == [
        {**wide_set(4), "purpose": "retest", "retest_of": "s_0"}
    ]
    assert [it.payload for it in read_rankings(tmp_path, sets, now=NOW)] == lines[:1]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, ["old"])

    def parts() -> Any:
        yield "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(path, parts())
    assert [(it.name, it.read_text()) for it in tmp_path.iterdir()] == [("file", "old")]
    with pytest.raises(InputError, match="cannot be written"):
        write_file(path / "below", ["x"])


def test_a_csv_without_annotators_is_for_anybody(take: Take, tmp_path: Path) -> None:
    one = parse_set(take([wide_set(2)]).rows("sets")[0])
    path = tmp_path / "sheet.csv"
    write_csv(path, [one])
    text = path.read_bytes().decode("utf-8-sig").replace(",,,,\r\n", ",1,,,\r\n")
    taken = take(text.encode(), name="sheet.csv", annotator="ann_07")
    assert taken.counts == (1, 0, 0, 0)
    assert taken.rows("rankings")[0]["annotator_id"] == "ann_07"
