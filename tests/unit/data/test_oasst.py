"""OpenAssistant trees: what becomes a set, an SFT row, a prompt; and the published sample."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from data.formats.oasst import convert, main
from data.messages import parse_prompt_row, parse_sft_row
from data.rankings import KnownRankings, SetFacts, validate_ranking
from data.sets import ResponseSet, parse_set

ROOT = Path(__file__).parents[3]
BESIDE = ROOT.parent / "shared" / "data" / "oasst_en_80_trees.jsonl"


def node(text: str, role: str, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"text": text, "role": role, "replies": list(replies), **more}


def reply(text: str, rank: int | None, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return node(text, "assistant", *replies, rank=rank, **more)


TREE = {
    "message_tree_id": "t1",
    "prompt": node(
        "你好",
        "prompter",
        reply("second", 1),
        reply("unranked", None),
        reply(
            "best",
            0,
            node("more?", "prompter", reply("only", None)),
            node(" \n", "prompter", reply("to a blank", 0), reply("also", 1)),
            node("again?", "prompter", reply("x", 2), reply("x ", 5), reply("y", 7)),
        ),
        reply("gone", 2, deleted=True),
        reply("third", 4, synthetic=True),
        reply(" ", 5, node("after a blank", "prompter", reply("p", 0), reply("q", 1))),
    ),
}


def write(path: Path, *trees: object) -> Path:
    text = "".join(json.dumps(tree, ensure_ascii=False) + "\n" for tree in trees)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_tree(tmp_path: Path) -> None:
    files = convert(write(tmp_path / "trees.jsonl", TREE))
    first, again = files.sets
    assert [one["text"] for one in first["responses"]] == ["second", "best", "third"]
    assert [one["generator"] for one in first["responses"]] == [
        "oasst/person",
        "oasst/person",
        "oasst/model",
    ]
    assert [turn["content"] for turn in again["messages"]] == ["你好", "best", "again?"]
    assert [one["text"] for one in again["responses"]] == ["x", "y"]
    tiers = [[row["tiers"][one] for one in row["display_order"]] for row in files.rankings]
    assert tiers == [[2, 1, 3], [1, 2]]
    assert [row["response"] for row in files.sft] == ["best", "only", "x"]
    assert {row["family"] for row in [*files.prompts, *files.sft]} == {"t1"}
    for row in files.prompts:
        parse_prompt_row(row)
    for row in files.sft:
        parse_sft_row(row)
    sets = {row["set_id"]: parse_set(row) for row in files.sets}
    for row in files.rankings:
        validate_ranking(row, known_rankings(sets))


def known_rankings(sets: dict[str, ResponseSet]) -> KnownRankings:
    facts = {
        name: SetFacts(
            response_ids=frozenset(response.response_id for response in one.responses),
            generators=frozenset(response.generator for response in one.responses),
            count_words=one.count_words,
            shown_sha256=one.shown_sha256,
        )
        for name, one in sets.items()
    }
    return KnownRankings(now=datetime(2026, 1, 1, tzinfo=UTC), new_role="import", sets=facts)


def test_trees_that_begin_alike_are_one_family(tmp_path: Path) -> None:
    twin = {**TREE, "message_tree_id": "t2"}
    files = convert(write(tmp_path / "trees.jsonl", TREE, twin))
    assert {row["family"] for row in files.sft} == {"t1"}
    assert len(files.prompts) == len(files.sets) == len(files.rankings) == 2


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"message_tree_id": "t"}, "field 'prompt': missing: prompt; add the field"),
        ({"prompt": node("x", "prompter")}, "field 'message_tree_id': missing"),
        ({"message_tree_id": "t", "prompt": "x"}, "field 'prompt': prompt must be an object"),
        ({"message_tree_id": "t", "prompt": node("x", "bot")}, "role must be prompter or"),
        ({"message_tree_id": "t", "prompt": {"role": "prompter"}}, "field 'text': missing: text"),
        ({"message_tree_id": "t", "prompt": node("x", "prompter", reply("y", 1.5))},  # type: ignore[arg-type]
         "field 'prompt.replies.0.rank'"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, tree: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"trees.jsonl:1: .*{words}"):
        convert(write(tmp_path / "trees.jsonl", tree))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees = write(tmp_path / "trees.jsonl", TREE)
    assert main([str(trees), str(tmp_path / "out")]) == 0
    assert "sets.jsonl: 2 rows" in capsys.readouterr().out
    assert main([]) == 2
    assert main([str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main([str(trees), str(trees)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_published_sample() -> None:
    """80 English trees of the published OpenAssistant export."""
    sample = Path(os.environ.get("RLHF_OASST_TREES", BESIDE))
    if not sample.exists():
        pytest.skip("set RLHF_OASST_TREES to a file of 80 published English trees")
    files = convert(sample)
    sizes = [len(row["responses"]) for row in files.sets]
    assert (len(sizes), min(sizes), max(sizes)) == (170, 2, 9)
    assert (len(files.prompts), len(files.sft), len(files.rankings)) == (170, 202, 170)
    for row in files.sets:
        parse_set(row)
