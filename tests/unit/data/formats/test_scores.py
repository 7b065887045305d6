"""Scores and grades: ties, directions, ranges, and scores that contradict each other."""

from typing import Any

import pytest

from data.errors import InputError
from tests.unit.data.formats.conftest import Take

HIGHER, LOWER = "higher-is-better", "lower-is-better"


def ultra(*scores: object, **more: Any) -> dict[str, Any]:
    completions = [
        {
            "model": f"m{i}",
            "response": f"text {i}",
            **(it if isinstance(it, dict) else {"overall_score": it}),
        }
        for i, it in enumerate(scores)
    ]
    return {"source": "ours", "instruction": "q", "completions": completions, **more}


def ratings(*values: object) -> dict[str, Any]:
    return {
        "annotations": {
            f"aspect{i}": {"Rating": it, "Rationale": "r"} for i, it in enumerate(values)
        }
    }


@pytest.mark.parametrize(
    ("row", "direction", "tiers"),
    [
        (ultra(7.0, 3, 7, 9.5), HIGHER, [2, 3, 2, 1]),
        (ultra(7.0, 3, 7, 9.5), LOWER, [2, 1, 2, 3]),
        (ultra({"fine-grained_score": 2.5}, {"fine-grained_score": 4}), HIGHER, [2, 1]),
        (ultra(ratings("2", "4"), ratings("3", "N/A"), ratings("5", "4")), HIGHER, [2, 2, 1]),
    ],
)
def test_ultrafeedback(take: Take, row: dict[str, Any], direction: str, tiers: list[int]) -> None:
    taken = take([row], direction=direction)
    assert taken.report.format_name == "ultrafeedback"
    assert taken.tiers() == [{f"text {i}": tier for i, tier in enumerate(tiers)}]
    assert taken.rows("sets")[0]["responses"][0]["generator"].startswith("m")


def test_a_row_without_completions_is_refused(take: Take) -> None:
    taken = take([ultra(7.0, 3), ultra()], direction=HIGHER)
    assert taken.counts == (1, 0, 0, 1)
    assert taken.reasons == [("K_RANGE", "completions", "0 distinct responses; a set needs 2 to 9")]


def binarized(chosen: float, rejected: float) -> dict[str, Any]:
    turns = [
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": it}] for it in "ab"
    ]
    return {
        "prompt": "q",
        "prompt_id": "x",
        "chosen": turns[0],
        "rejected": turns[1],
        "messages": turns[0],
        "score_chosen": chosen,
        "score_rejected": rejected,
    }


def test_binarized_rows_are_pairs_and_equal_scores_a_tie(take: Take) -> None:
    assert take([binarized(8.5, 3.0)], direction=HIGHER).tiers() == [{"a": 1, "b": 2}]


def test_equal_scores_are_a_tie_without_an_sft_row(take: Take) -> None:
    taken = take([binarized(5, 5)], direction=HIGHER)
    assert taken.tiers() == [{"a": 1, "b": 1}]
    assert taken.rows("sft") == []


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        (
            ultra({"overall_score": 10, "fine-grained_score": 1.5}, 3),
            "completions.0.overall_score",
            "overall 10, fine-grained mean 1.5",
        ),
        (
            ultra({"overall_score": 1.5, **ratings("5", "5")}, 3),
            "completions.0.overall_score",
            "overall 1.5, fine-grained mean 5",
        ),
        (binarized(3.0, 8.5), "score_chosen", "chosen scores 3, rejected 8.5"),
    ],
)
def test_a_score_that_contradicts_waits(
    take: Take, row: dict[str, Any], field: str, message: str
) -> None:
    taken = take([row], direction=HIGHER)
    assert taken.counts == (0, 0, 1, 0)
    assert taken.reasons == [("SCORE_CONTRADICTION", field, message)]
    assert taken.rows("refused")[0]["is_held"] is True
    assert not taken.rows("sets")
    accepted = take([row], direction=HIGHER, accept_held=True)
    assert accepted.counts == (1, 0, 0, 0)
    assert len(accepted.rows("sets")) == 1


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        (ultra(11, 3), "completions.0.overall_score", "overall_score 11 is outside 1..10"),
        (
            ultra(None, 3),
            "completions.0.overall_score",
            "overall_score must be a number, found None",
        ),
        (
            ultra(True, 3),
            "completions.0.overall_score",
            "overall_score must be a number, found True",
        ),
        (ultra({}, 3), "completions.0.overall_score", "overall_score must be a number, found None"),
        (
            ultra(ratings("6"), ratings("1")),
            "completions.0.annotations.aspect0.Rating",
            "Rating 6 is outside 1..5",
        ),
        (
            ultra(ratings("N/A"), ratings("1")),
            "completions.0",
            "there is neither overall_score nor fine-grained_score nor a rating",
        ),
    ],
)
def test_bad_scores(take: Take, row: dict[str, Any], field: str, message: str) -> None:
    assert take([row], direction=HIGHER).reasons == [("BAD_SCORE", field, message)]


def test_scores_without_a_direction_are_a_mistake_of_the_call(take: Take) -> None:
    wanted = "say --direction higher-is-better or lower-is-better"
    with pytest.raises(InputError, match=wanted):
        take([ultra(1, 2)])
    with pytest.raises(InputError, match=wanted):
        take([{"prompt": "q", "response": "a", "grade": 3}])


def test_equal_texts_are_no_set(take: Take) -> None:
    row = ultra(1, 2, 3)
    row["completions"][2]["response"] = "text 0 "
    taken = take([row], direction=HIGHER)
    assert taken.reasons[0][:2] == ("DUPLICATE_RESPONSE", "responses")
    assert "0 and 2 have the same text" in taken.reasons[0][2]


def graded(text: str, grade: object, **more: Any) -> dict[str, Any]:
    return {"prompt": "q", "response": text, "grade": grade, **more}


@pytest.mark.parametrize(
    ("grades", "options", "tiers"),
    [
        (["good", "poor", "Fair", "good"], {}, [1, 3, 2, 1]),
        (["好", "差", "一般", "不错"], {}, [1, 4, 3, 2]),
        (["ok", "great", "bad"], {"order": ("great", "ok", "bad")}, [2, 1, 3]),
        ([0.5, -1, 0.5], {"direction": HIGHER}, [1, 2, 1]),
        ([1, 2], {"direction": LOWER, "score_range": (1, 5)}, [1, 2]),
    ],
)
def test_grades_of_single_responses(
    take: Take, grades: list[object], options: dict[str, Any], tiers: list[int]
) -> None:
    one_each = [graded(f"r{i}", grade) for i, grade in enumerate(grades)]
    taken = take(one_each, **options)
    assert taken.report.format_name == "graded"
    assert taken.tiers() == [{f"r{i}": tier for i, tier in enumerate(tiers)}]
    assert taken.report.rows == len(grades)
    together = {
        "prompt": "q",
        "responses": [{"text": f"r{i}", "grade": grade} for i, grade in enumerate(grades)],
    }
    assert take([together], **options).counts == (0, 1, 0, 0)


def test_grades_belong_to_a_prompt_and_an_annotator(take: Take) -> None:
    rows = [
        graded("a", "good", annotator="x"),
        graded("a", "poor", annotator="y"),
        graded("b", "fair", annotator="y"),
        graded("b", "poor", annotator="x"),
        graded("a", "good", prompt="alone"),
    ]
    taken = take(rows)
    assert taken.tiers() == [{"a": 1, "b": 2}, {"a": 2, "b": 1}]
    assert taken.reasons == [
        ("K_RANGE", "response", "1 graded response to this prompt; a set needs 2 to 9")
    ]
    assert (taken.report.rows, taken.counts) == (5, (2, 0, 0, 1))
    assert taken.rows("sft") == []


@pytest.mark.parametrize(
    ("rows", "code", "message"),
    [
        (
            [graded("a", "good"), graded("a", "poor"), graded("b", "fair")],
            "CONTRADICTION",
            "this response has another grade from the same annotator",
        ),
        (
            [graded("a", "good"), graded("a", "good"), graded("b", "fair")],
            "DUPLICATE_ROW",
            "this response has that grade from this annotator already",
        ),
        (
            [graded("a", "good"), graded("b", "fair"), graded("c", "superb")],
            "BAD_SCORE",
            "unknown grade 'superb'; known: good, 好, fine, 不错, fair, 一般, poor, 差",
        ),
        (
            [graded("a", "good"), graded("b", "fair"), graded("c", 3)],
            "BAD_SCORE",
            "grade is 3; words and numbers do not mix in one file",
        ),
    ],
)
def test_one_bad_grade_does_not_spoil_the_others(
    take: Take, rows: list[dict[str, Any]], code: str, message: str
) -> None:
    taken = take(rows, direction=HIGHER)
    assert taken.reasons == [(code, "grade", message)]
    assert taken.tiers() == [{"a": 1, "b": 2}]
    assert taken.report.rows == 3


def test_a_number_outside_the_declared_range(take: Take) -> None:
    taken = take([graded("a", 6), graded("b", 1)], direction=HIGHER, score_range=(1, 5))
    assert ("BAD_SCORE", "grade", "grade 6 is outside 1..5") in taken.reasons
