"""Each check is silent on good rows and finds the fault that it is there for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from data.checks import CheckError, run_checks
from data.errors import InputError
from data.pairs import PairsConfig, create_tables
from data.queries import load, names
from data.quotes import find_quotes
from data.store import open_store
from data.training_text import check_training_text


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A store with the rows of ledger_rows.sql."""
    with open_store(tmp_path / "store.duckdb") as con:
        con.execute(Path(__file__).with_name("ledger_rows.sql").read_text(encoding="utf-8"))
        yield con


LEDGER_FAULTS = {
    "items_match_set": "delete from ranking_item where response_id = 'b'",
    "tiers_are_dense": "update ranking_item set tier = 3 where response_id = 'b'",
    "coverage_is_kept": "update ranking_item set tier = null where response_id = 'b'",
    "set_size_is_k": "insert into ranking_set_item values ('s', 'c')",
    "positions_are_distinct": "update ranking_item set display_pos = 1 where response_id = 'b'",
    "references_hold": "delete from annotator",
    "no_orphans": "delete from run_set_item",
}


def test_good_ledger_passes(ledger: duckdb.DuckDBPyConnection) -> None:
    run_checks(ledger, "checks/ledger/", {"run_id": "run"})


@pytest.mark.parametrize("name", names("checks/ledger/"))
def test_ledger_check_finds_its_fault(ledger: duckdb.DuckDBPyConnection, name: str) -> None:
    ledger.execute(LEDGER_FAULTS[name.rpartition("/")[2]])
    assert ledger.execute(load(name), {"run_id": "run"}).fetchall()
    assert not ledger.execute(load(name), {"run_id": "other"}).fetchall()
    with pytest.raises(CheckError):
        run_checks(ledger, "checks/ledger/", {"run_id": "run"})


@pytest.mark.parametrize(
    "fault",
    [
        "delete from prompt where prompt_id = 'p'",
        "delete from ranking_set",
        "delete from response where response_id = 'a'",
        "delete from ingest_event",
        "delete from ranking",
    ],
)
def test_a_missing_row_is_found(ledger: duckdb.DuckDBPyConnection, fault: str) -> None:
    ledger.execute(fault)
    assert ledger.execute(load("checks/ledger/references_hold"), {"run_id": "run"}).fetchall()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("positions_are_distinct", "update ranking_item set response_id = 'a'"),
        ("positions_are_distinct", "update ranking_item set display_pos = display_pos + 1"),
        ("set_size_is_k", "update ranking_set_item set response_id = 'a'"),
    ],
)
def test_repeats_are_found(ledger: duckdb.DuckDBPyConnection, name: str, fault: str) -> None:
    ledger.execute(fault)
    assert ledger.execute(load(f"checks/ledger/{name}"), {"run_id": "run"}).fetchall()


@pytest.fixture
def pairs(snapshot: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    """The pairs of two rankings of one prompt of three responses; one more prompt without any."""
    snapshot.prompt("p")
    snapshot.prompt("q", split="test")
    snapshot.set("s", "p", "a b c")
    snapshot.rank("r1", "s", {"a": 1, "b": 2, "c": 2})
    snapshot.rank("r2", "s", {"a": 1, "b": 2, "c": 3}, annotator="bob")
    with duckdb.connect(":memory:") as con:
        create_tables(con, snapshot.write(), PairsConfig())
        con.execute("create table prompt_copy as select * from prompt")
        con.execute("create or replace view prompt as select * from prompt_copy")
        yield con


PAIR_FAULTS = {
    "no_self_pairs": "update pairs set rejected_id = chosen_id",
    "no_ties": "update pairs set chosen_id = 'b' where ranking_id = 'r1' and rejected_id = 'c'",
    "no_repeats": "insert into pairs select * from pairs",
    "no_orphans": "update pairs set rejected_id = 'z'",
    "weights_sum_to_one_at_most": "update pairs set weight = weight + 1",
    "text_in_one_split": "update prompt_copy set norm_sha256 = 'same'",
    "family_in_one_split": "update prompt_copy set family_id = 'same'",
}


def test_good_pairs_pass(pairs: duckdb.DuckDBPyConnection) -> None:
    run_checks(pairs, "checks/pairs/", {})


@pytest.mark.parametrize("name", names("checks/pairs/"))
def test_pairs_check_finds_its_fault(pairs: duckdb.DuckDBPyConnection, name: str) -> None:
    assert not pairs.execute(load(name)).fetchall()
    pairs.execute(PAIR_FAULTS[name.rpartition("/")[2]])
    assert pairs.execute(load(name)).fetchall()
    with pytest.raises(CheckError):
        run_checks(pairs, "checks/pairs/", {})


def messages(*turns: str) -> str:
    roles = ("user", "assistant")
    return json.dumps([{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)])


PROMPTS = pl.DataFrame(
    {
        "prompt_id": ["p1", "p2", "p3", "p4"],
        "family_id": ["f1", "f2", "f3", "f4"],
        "split": ["train", "validation", "test", "test"],
        "messages": [
            messages("How do I mend a kettle?"),
            messages("How do I mend a blender?"),
            messages("请用最简单的话向一个小孩子解释一下递归是什么", "好的", "再说一遍"),
            messages("Hello"),
        ],
    }
)
SFT = pl.DataFrame(
    {
        "family_id": ["f1"],
        "messages": [messages("How do I mend a kettle?")],
        "response": ["Hello, unplug it."],
    }
)
PRETRAIN = pl.DataFrame({"family_id": ["f1"], "text": ["User: How do I mend a kettle?\n\nHello"]})


def test_training_text_without_held_out_prompts_passes() -> None:
    check_training_text(PROMPTS, SFT, PRETRAIN)
    check_training_text(PROMPTS.head(1), SFT, PRETRAIN)
    check_training_text(PROMPTS, SFT.clear(), PRETRAIN.clear())


@pytest.mark.parametrize(
    "text",
    [
        "User: How do I mend a blender?\n\nAssistant: Buy one.",
        "x HOW  DO I\nMEND a blender? x",
        "User: 请用最简单的话向一个小孩子解释一下递归是什么\n\nAssistant: 好\n\nUser: 再说一遍",
    ],
)
def test_quotes_of_held_out_prompts_are_found(text: str) -> None:
    with pytest.raises(InputError, match=r"pretraining text 1 \(family f1\) quotes the held-out"):
        check_training_text(PROMPTS, SFT, PRETRAIN.with_columns(text=pl.lit(text)))
    with pytest.raises(InputError, match=r"SFT text 1 \(family f1\) quotes the held-out prompt p"):
        check_training_text(PROMPTS, SFT.with_columns(response=pl.lit(text)), PRETRAIN)


@pytest.mark.parametrize(
    ("prompt", "text", "quoted"),
    [
        ("Write a poem about love", "Write a poem about lovely cats", False),
        ("Write a poem about love", "Rewrite a poem about love", False),
        ("Write a poem about love", "write a poem about LOVE, please", True),
        (
            "Write a poem about love",
            "lovely: write a poem about lovely love, write a poem about love",
            True,
        ),
        ("Write a poem about love", "\u8bf7write a poem about love\u3002", True),
        (
            "\u8bf7\u5199\u4e00\u9996\u5173\u4e8e\u7231\u7684\u8bd7" * 3,
            "\u597d" + "\u8bf7\u5199\u4e00\u9996\u5173\u4e8e\u7231\u7684\u8bd7" * 3 + "\u6b4c",
            True,
        ),
        ("(a) What is the square of 12", "See (a) what is the square of 121", False),
        ("too short to tell it", "too short to tell it", True),
        ("too short to tell i", "too short to tell i", False),
    ],
)
def test_a_quote_is_made_of_whole_words(prompt: str, text: str, quoted: bool) -> None:
    found = find_quotes([("p", [{"role": "user", "content": prompt}])], ["", text])
    assert list(found) == ([1] if quoted else [])


def test_one_turn_of_two_is_no_quote() -> None:
    text = "请用最简单的话向一个小孩子解释一下递归是什么"
    check_training_text(PROMPTS, SFT, PRETRAIN.with_columns(text=pl.lit(text)))


CORPUS_FAULTS = {
    "training_families_are_train": (PROMPTS, PRETRAIN.with_columns(family_id=pl.lit("f3"))),
    "family_in_one_split": (PROMPTS.with_columns(family_id=pl.lit("f1")), PRETRAIN),
}


@pytest.mark.parametrize("name", names("checks/corpus/"))
def test_corpus_check_finds_its_fault(name: str) -> None:
    prompts, pretrain = CORPUS_FAULTS[name.rpartition("/")[2]]
    with duckdb.connect(":memory:") as con:
        for frame_name, frame in (("prompts", prompts), ("sft", SFT), ("pretrain", pretrain)):
            con.register(frame_name, frame)
        assert con.execute(load(name)).fetchall()
    with pytest.raises(CheckError):
        check_training_text(prompts, SFT, pretrain)
