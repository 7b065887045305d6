"""Formats of pairs: the text of each shape, what is refused, and preferences in a circle."""

from typing import Any

import pytest

from data.formats.preferences import Edge, find_contradictions
from tests.unit.data.formats.conftest import Take

SKY = [{"role": "user", "content": "What color is the sky?"}]
BLUE, GREEN = ([{"role": "assistant", "content": text}] for text in ("It is blue.", "It is green."))
HUMAN, BOT = "\n\nHuman:", "\n\nAssistant:"


def hh(chosen: str, rejected: str) -> dict[str, str]:
    return {"chosen": chosen, "rejected": rejected}


@pytest.mark.parametrize(
    ("form", "row", "messages", "chosen", "rejected"),
    [
        (
            "hh-rlhf",
            hh(
                f"{HUMAN} Hi{BOT} Yes?{HUMAN} More{BOT}  a \n",
                f"{HUMAN} Hi{BOT} Yes?{HUMAN} More{BOT}b",
            ),
            ["Hi", "Yes?", "More"],
            " a \n",
            "b",
        ),
        (
            "trl",
            {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
            ["The sky is"],
            " blue.",
            " green.",
        ),
        (
            "trl",
            {"chosen": "The sky is blue.", "rejected": "The sky is black."},
            ["The sky is"],
            " blue.",
            " black.",
        ),
        (
            "trl",
            {"chosen": "天空是蓝色的", "rejected": "天空是绿色的"},
            ["天空是"],
            "蓝色的",
            "绿色的",
        ),
        (
            "trl",
            {"chosen": "cafe\u0301 noir", "rejected": "cafe noir"},
            None,
            "cafe\u0301 noir",
            "cafe noir",
        ),
        (
            "trl",
            {"chosen": "a \U0001f469\u200d\U0001f52c", "rejected": "a \U0001f469\u200d\U0001f3a8"},
            ["a \U0001f469\u200d"],
            "\U0001f52c",
            "\U0001f3a8",
        ),
        (
            "trl",
            {"prompt": SKY, "chosen": BLUE, "rejected": GREEN},
            ["What color is the sky?"],
            "It is blue.",
            "It is green.",
        ),
        (
            "trl",
            {"chosen": SKY + BLUE, "rejected": SKY + GREEN},
            ["What color is the sky?"],
            "It is blue.",
            "It is green.",
        ),
        (
            "trl",
            {"system": "be kind", "prompt": "q", "chosen": "a", "rejected": "b"},
            ["be kind", "q"],
            "a",
            "b",
        ),
        (
            "llama-factory",
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "a"},
                "rejected": {"from": "gpt", "value": "b"},
                "system": "be kind",
            },
            ["be kind", "q"],
            "a",
            "b",
        ),
        (
            "openai-comparisons",
            {
                "info": {"id": "t3_x", "post": "p", "title": "t", "subreddit": "r"},
                "choice": 1,
                "summaries": [{"text": " a", "policy": "sup2"}, {"text": " b", "policy": "ref"}],
                "worker": "w1",
            },
            ["SUBREDDIT: r/r\n\nTITLE: t\n\nPOST: p\n\nTL;DR:"],
            " b",
            " a",
        ),
    ],
)
def test_a_pair(  # noqa: PLR0917
    take: Take,
    form: str,
    row: dict[str, Any],
    messages: list[str] | None,
    chosen: str,
    rejected: str,
) -> None:
    taken = take([row])
    assert taken.report.format_name == form
    if messages is None:
        assert taken.reasons[0][0] == "NO_COMMON_PROMPT"
        return
    assert taken.counts == (1, 0, 0, 0)
    assert [turn["content"] for turn in taken.rows("sets")[0]["messages"]] == messages
    assert taken.tiers() == [{chosen: 1, rejected: 2}]
    assert [row["response"] for row in taken.rows("sft")] == [chosen]


@pytest.mark.parametrize(
    ("form", "row", "code", "field", "message"),
    [
        (
            "hh-rlhf",
            hh(f"{HUMAN} a{BOT} x", f"{HUMAN} a{BOT} x"),
            "SAME_TEXT",
            "rejected",
            "chosen and rejected are the same text",
        ),
        (
            "hh-rlhf",
            hh(f"{HUMAN} a{BOT} x", f"{HUMAN} b{BOT} y"),
            "NO_COMMON_PROMPT",
            "rejected",
            "the two dialogues differ before the last assistant turn",
        ),
        (
            "hh-rlhf",
            hh(f"Human: a{BOT} x", f"{HUMAN} a{BOT} y"),
            "BAD_DIALOGUE",
            "chosen",
            r"it does not start with \n\nHuman:",
        ),
        (
            "hh-rlhf",
            hh(f"{HUMAN} a{BOT} x{BOT} z", f"{HUMAN} a{BOT} y"),
            "BAD_DIALOGUE",
            "chosen",
            "turn 3 is Assistant after Assistant",
        ),
        (
            "hh-rlhf",
            hh(f"{HUMAN} a{BOT} x", f"{HUMAN} a"),
            "BAD_DIALOGUE",
            "rejected",
            "the last turn is Human, not Assistant",
        ),
        (
            "hh-rlhf",
            hh(f"{HUMAN} a{BOT} ", f"{HUMAN} a{BOT} y"),
            "EMPTY_TEXT",
            "chosen",
            "response chosen is empty",
        ),
        (
            "hh-rlhf",
            {"chosen": f"{HUMAN} a{BOT} x"},
            "MISSING_FIELD",
            "rejected",
            "missing: rejected",
        ),
        (
            "trl",
            {"chosen": "blue", "rejected": "green"},
            "NO_COMMON_PROMPT",
            "prompt",
            "chosen and rejected do not begin alike, and there is no column prompt",
        ),
        (
            "trl",
            {"prompt": SKY, "completion": GREEN, "label": False},
            "UNPAIRED",
            "completion",
            "prompt, completion and label judge one completion; a comparison needs two",
        ),
        (
            "trl",
            {"prompt": SKY, "chosen": BLUE + SKY + BLUE, "rejected": GREEN},
            "BAD_DIALOGUE",
            "chosen",
            "3 turns beside a prompt; one assistant turn is wanted",
        ),
        (
            "trl",
            {"chosen": SKY + SKY, "rejected": SKY + GREEN},
            "BAD_DIALOGUE",
            "chosen",
            "the last turn must be the assistant's role and content, found"
            " {'role': 'user', 'content': 'What color is the sky?'}",
        ),
        (
            "trl",
            {"prompt": "x", "chosen": "a", "rejected": ["b"]},
            "BAD_TYPE",
            "rejected",
            "rejected must be a string, as chosen is, found ['b']",
        ),
        (
            "trl",
            {"prompt": [{"role": "tool", "content": "x"}], "chosen": BLUE, "rejected": GREEN},
            "BAD_MESSAGES",
            "messages.0",
            "unknown role 'tool'; known: system, user, assistant",
        ),
        (
            "llama-factory",
            {"conversations": [{"from": "bot", "value": "q"}], "chosen": {}, "rejected": {}},
            "BAD_MESSAGES",
            "conversations.0.from",
            "unknown speaker 'bot'; known: system, human, gpt",
        ),
        (
            "trl",
            {
                "question": "q",
                "chosen": "The capital is Paris.",
                "rejected": "The capital is Lyon.",
            },
            "NO_COMMON_PROMPT",
            "prompt",
            "there is no column prompt, and there is 'question'; rename it to prompt",
        ),
        (
            "openai-comparisons",
            {"info": {"post": "p"}, "summaries": [{"text": "a"}, {"text": "b"}], "choice": 2},
            "BAD_CHOICE",
            "choice",
            "choice is 2 for 2 summaries",
        ),
        (
            "openai-comparisons",
            {"info": {"post": "p"}, "summaries": [{"text": "a"}], "choice": 0},
            "BAD_CHOICE",
            "choice",
            "choice is 0 for 1 summaries",
        ),
        (
            "openai-comparisons",
            {"info": {"id": "x"}, "summaries": [], "choice": 0},
            "MISSING_FIELD",
            "info.post",
            "missing: info.post",
        ),
    ],
)
def test_refused(  # noqa: PLR0917
    take: Take, form: str, row: dict[str, Any], code: str, field: str, message: str
) -> None:
    taken = take([row], form)
    assert taken.reasons == [(code, field, message)]
    assert taken.counts == (0, 0, 0, 1)
    assert not taken.rows("sets")


def pair(chosen: str, rejected: str, annotator: str = "w", prompt: str = "q") -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, "annotator": annotator}


def test_preferences_in_a_circle_are_refused_whatever_their_order(take: Take) -> None:
    circle = [pair("a", "b"), pair("b", "c"), pair("c", "a")]
    good = [pair("a", "d"), pair("a", "b", "other"), pair("b", "a", prompt="q2"), pair("d", "e")]
    taken = take([*circle[:1], *good, *circle[1:]], "trl")
    assert taken.counts == (4, 0, 0, 3)
    assert {code for code, _, _ in taken.reasons} == {"CYCLE"}
    message = taken.reasons[0][2]
    assert message.startswith("cycle: r_")
    assert message.endswith("; no ranking agrees")
    assert message.count(" > ") == 3


def test_two_pairs_against_each_other(take: Take) -> None:
    taken = take([pair("a", "b"), pair("x", "y"), pair("b", "a"), pair("a", "b")], "trl")
    assert taken.counts == (1, 0, 0, 3)
    assert set(taken.reasons) == {
        ("CONTRADICTION", "", "the same annotator prefers each over the other")
    }


def test_a_later_file_cannot_say_the_contrary(take: Take) -> None:
    first = take([pair("a", "b")], "trl")
    event = first.rows("rankings")[0]["event_id"]
    again = take([pair("b", "a")], "trl")
    assert again.counts == (0, 0, 0, 1)
    message = f"the same annotator answered this set otherwise before, in event {event}"
    assert again.reasons == [("CONTRADICTION", "", message)]


def test_the_shortest_circle_is_named() -> None:
    nodes = ["a", "b", "c", "d", "e"]
    edges = [
        Edge("w", "p", *it, row)
        for row, it in enumerate(zip(nodes, [*nodes[1:], "a"], strict=True))
    ]
    errors = find_contradictions([*edges, Edge("w", "p", "c", "a", 5), Edge("w", "p", "x", "a", 6)])
    assert sorted(errors) == [0, 1, 2, 3, 4, 5]
    assert errors[0].message == "cycle: a > b > c > a; no ranking agrees"


def test_a_long_chain_needs_no_stack() -> None:
    edges = [Edge("w", "p", f"n{i:05}", f"n{i + 1:05}", i) for i in range(20_000)]
    assert find_contradictions(edges) == {}
    back = Edge("w", "p", "n20000", "n00000", 20_000)
    assert len(find_contradictions([*edges, back])) == 20_001


def test_the_chosen_response_does_not_always_come_first(take: Take) -> None:
    taken = take([pair(f"good {i}", f"bad {i}", prompt=f"q{i}") for i in range(40)], "trl")
    shown = [row["tiers"][row["display_order"][0]] == 1 for row in taken.rows("rankings")]
    assert 8 < sum(shown) < 32
    listed = [row["responses"][0]["text"].startswith("good") for row in taken.rows("sets")]
    assert 8 < sum(listed) < 32


def test_worker_ids_are_kept_and_only_the_best_becomes_sft(take: Take) -> None:
    taken = take([pair("a", "b", "w1"), pair("b", "c", "w2"), pair("a", "c", "w1")], "trl")
    assert [row["annotator_id"] for row in taken.rows("rankings")] == ["w1", "w2", "w1"]
    assert [row["response"] for row in taken.rows("sft")] == ["a"]
