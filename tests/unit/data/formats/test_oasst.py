"""OpenAssistant trees: what becomes a set, an SFT row, a prompt; and the published sample."""

import os
from pathlib import Path
from typing import Any

import pytest

from data.messages import parse_prompt_row, parse_sft_row
from tests.unit.data.formats.conftest import Take

ROOT = Path(__file__).parents[4]
BESIDE = ROOT.parent / "shared" / "data" / "oasst_en_80_trees.jsonl"


def node(text: str, role: str, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"text": text, "role": role, "replies": list(replies), **more}


def reply(text: str, rank: object, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
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


def test_a_tree(take: Take) -> None:
    taken = take([TREE])
    assert taken.report.format_name == "oasst"
    assert taken.counts == (3, 0, 0, 0)
    assert taken.tiers() == [{"second": 2, "best": 1, "third": 3}, {"x": 1, "y": 2}]
    first, again = taken.rows("sets")
    assert {it["text"]: it["generator"] for it in first["responses"]} == {
        "second": "oasst/person",
        "best": "oasst/person",
        "third": "oasst/model",
    }
    assert [turn["content"] for turn in again["messages"]] == ["你好", "best", "again?"]
    assert {row["response"] for row in taken.rows("sft")} == {"best", "only", "x"}
    assert len({row["family"] for row in [*taken.rows("prompts"), *taken.rows("sft")]}) == 1
    for row in taken.rows("prompts"):
        parse_prompt_row(row)
    for row in taken.rows("sft"):
        parse_sft_row(row)


def test_trees_that_begin_alike_are_one_family(take: Take) -> None:
    twin = {
        "message_tree_id": "t2",
        "prompt": node("你好 ", "prompter", reply("a", 0), reply("b", 1)),
    }
    taken = take([TREE, {**TREE, "message_tree_id": "t3"}, twin])
    assert taken.counts == (4, 3, 0, 0)
    assert len({row["family"] for row in taken.rows("prompts")}) == 1


@pytest.mark.parametrize(
    ("tree", "code", "field", "message"),
    [
        ({"message_tree_id": "t"}, "MISSING_FIELD", "prompt", "missing: prompt"),
        (
            {"prompt": node("x", "prompter")},
            "MISSING_FIELD",
            "message_tree_id",
            "missing: message_tree_id",
        ),
        (
            {"message_tree_id": "t", "prompt": "x"},
            "BAD_TYPE",
            "prompt",
            "prompt must be an object, found 'x'",
        ),
        (
            {"message_tree_id": "t", "prompt": node("x", "bot")},
            "BAD_MESSAGES",
            "prompt.role",
            "role must be prompter or assistant",
        ),
        (
            {"message_tree_id": "t", "prompt": {"role": "prompter"}},
            "MISSING_FIELD",
            "text",
            "missing: text",
        ),
        (
            {"message_tree_id": "t", "prompt": node("x", "prompter", reply("y", 1.5))},
            "BAD_TYPE",
            "prompt.replies.0.rank",
            "prompt.replies.0.rank must be an integer or null, found 1.5",
        ),
        (
            {"message_tree_id": "t", "prompt": node("x", "prompter")},
            "UNANSWERED",
            "",
            "nobody has ranked this yet",
        ),
    ],
)
def test_other_rows_are_refused(take: Take, tree: Any, code: str, field: str, message: str) -> None:
    assert take([tree], "oasst").reasons == [(code, field, message)]


def test_published_sample(take: Take) -> None:
    """80 English trees of the published OpenAssistant export."""
    sample = Path(os.environ.get("RLHF_OASST_TREES", BESIDE))
    if not sample.exists():
        pytest.skip("set RLHF_OASST_TREES to a file of 80 published English trees")
    taken = take(sample)
    assert (taken.report.rows, taken.counts) == (80, (202, 0, 0, 0))
    assert taken.added == {
        "prompts.jsonl": 170,
        "sft.jsonl": 202,
        "sets.jsonl": 170,
        "rankings.jsonl": 170,
    }
    sizes = [len(row["responses"]) for row in taken.rows("sets")]
    assert (min(sizes), max(sizes)) == (2, 9)
    again = take(sample)
    assert again.counts == (0, 202, 0, 0)
    assert again.added == {}
