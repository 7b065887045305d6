"""Label Studio and Argilla: each shape of a ranking, what they lose, answers to our own sets."""

import json
from typing import Any

import pytest

from tests.unit.data.formats.conftest import Take

ITEMS = [{"id": f"r{i}", "title": "ABCD"[i - 1], "body": f"text {i}"} for i in range(1, 5)]


def ls_annotation(value: object, kind: str = "ranker", **more: Any) -> dict[str, Any]:
    return {
        "id": 9001,
        "completed_by": 7,
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-01-02T03:04:05.678901Z",
        "updated_at": "2026-01-02T03:04:05.678901Z",
        "lead_time": 12.3,
        "task": 101,
        "result": [
            {
                "id": "x",
                "from_name": "rank",
                "to_name": "responses",
                "type": kind,
                "origin": "manual",
                "value": value,
            }
        ],
        **more,
    }


def ls_task(*annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    data = data or {"prompt": "q", "items": ITEMS}
    return {
        "id": 101,
        "project": 3,
        "data": data,
        "annotations": list(annotations),
        "predictions": [],
    }


def ranker(value: object, **more: Any) -> dict[str, Any]:
    return ls_task(ls_annotation({"ranker": value}, **more))


def label_studio(take: Take, *tasks: dict[str, Any], **options: Any) -> Any:
    return take(json.dumps(tasks, indent=1).encode(), name="export.json", **options)


@pytest.mark.parametrize(
    ("value", "tiers"),
    [
        (
            {"_": [], "rank_1": ["r4"], "rank_2": ["r1", "r3"], "rank_3": ["r2"], "rank_4": []},
            [2, 3, 2, 1],
        ),
        ({"_": [], "rank_1": ["r4"], "rank_3": ["r1", "r3"], "rank_4": ["r2"]}, [2, 3, 2, 1]),
        ({"rank": ["r4", "r1", "r3", "r2"]}, [2, 4, 3, 1]),
        (["r4", "r1", "r3", "r2"], [2, 4, 3, 1]),
    ],
)
def test_the_three_shapes_of_a_ranker(take: Take, value: object, tiers: list[int]) -> None:
    taken = label_studio(take, ranker(value))
    assert taken.report.format_name == "label-studio"
    assert taken.tiers() == [{f"text {i}": tier for i, tier in enumerate(tiers, start=1)}]
    row = taken.rows("rankings")[0]
    assert row["annotator_id"] == "label-studio:7"
    assert (row["active_ms"], row["submitted_at"]) == (12300, "2026-01-02T03:04:05.678901+00:00")
    texts = {it["response_id"]: it["text"] for it in taken.rows("sets")[0]["responses"]}
    assert [texts[it] for it in row["display_order"]] == [it["body"] for it in ITEMS]


def test_json_min_is_the_same_answer(take: Take) -> None:
    label_studio(take, ranker({"rank": ["r4", "r1", "r3", "r2"]}))
    flat = {
        "prompt": "q",
        "items": ITEMS,
        "id": 101,
        "rank": [{"ranker": {"rank": ["r4", "r1", "r3", "r2"]}}],
        "annotator": 7,
        "annotation_id": 9001,
        "created_at": "2026-01-02T03:04:05.678901Z",
        "updated_at": "2026-01-02T03:04:05.678901Z",
        "lead_time": 12.3,
    }
    assert label_studio(take, flat).counts == (0, 1, 0, 0)


@pytest.mark.parametrize("value", [{"rank": ["r1", "r2", "r3", "r4"]}, ["r1", "r2", "r3", "r4"]])
def test_the_order_in_which_the_list_began_waits(take: Take, value: object) -> None:
    taken = label_studio(take, ranker(value))
    assert taken.counts == (0, 0, 1, 0)
    assert taken.reasons[0][0] == "UNTOUCHED"
    assert "Label Studio writes that when nobody touches it" in taken.reasons[0][2]


def test_whole_numbers_as_ids_begin_sorted(take: Take) -> None:
    """JavaScript lists integer keys first and in their order, whatever the file says."""
    items = [{"id": key, "body": f"text {key}"} for key in ("10", "b", "2", "9")]
    task = ls_task(ls_annotation({"ranker": ["2", "9", "10", "b"]}), prompt="q", items=items)
    assert label_studio(take, task).reasons[0][0] == "UNTOUCHED"


@pytest.mark.parametrize(
    ("task", "code", "field", "message"),
    [
        (
            ranker({"_": ["r1"], "rank_1": ["r4"], "rank_2": ["r3", "r2"]}),
            "INCOMPLETE",
            "tiers",
            "full ranking without: r1",
        ),
        (ranker({"_": [], "bad": ["r1"], "good": ["r2", "r3", "r4"]}), "BUCKET_ORDER", None, None),
        (ranker(["r4", "r4", "r3", "r2"]), "DUPLICATE_ROW", None, "'r4' is ranked twice"),
        (ranker(["r4", "x9", "r3", "r2"]), "FOREIGN_RESPONSE", "tiers", None),
        (ranker(["r4", 1]), "BAD_TYPE", None, None),
        (ranker("r4"), "BAD_TYPE", None, None),
        (
            ls_task(ls_annotation({"choices": ["x"]}, kind="choices")),
            "EMPTY_RANKING",
            "annotations.0.result",
            "no response was ranked",
        ),
        (ls_task(ls_annotation({"ranker": []}, ground_truth=True)), "GROUND_TRUTH", None, None),
        (ls_task(), "UNANSWERED", "", "nobody has ranked this yet"),
        (ls_task(ls_annotation({"ranker": ["r2"]}), text="q"), "MISSING_FIELD", "data.items", None),
        (
            ranker(["r4", "r1", "r3", "r2"], completed_by=None),
            "MISSING_FIELD",
            "completed_by",
            None,
        ),
        (
            ranker(["r4", "r1", "r3", "r2"], updated_at="yesterday"),
            "BAD_TIME",
            "updated_at",
            "updated_at is not a time: 'yesterday'",
        ),
        (
            ls_task(ls_annotation({"selected": "none"}, "pairwise"), prompt="q", a="x", b="y"),
            "BAD_CHOICE",
            "annotations.0.result.0.value.selected",
            "selected is 'none'; left or right is wanted",
        ),
        (
            ls_task(ls_annotation({"selected": "left"}, "pairwise"), prompt="q", a="x"),
            "MISSING_FIELD",
            "data",
            "1 texts beside the prompt; a pair needs two",
        ),
    ],
)
def test_label_studio_refused(
    take: Take, task: dict[str, Any], code: str, field: str | None, message: str | None
) -> None:
    taken = label_studio(take, task)
    found = taken.reasons[0]
    assert found[0] == code
    assert field is None or found[1] == field
    assert message is None or found[2] == message


def test_partial_rankings_where_they_are_allowed(take: Take) -> None:
    taken = label_studio(
        take, ranker({"_": ["r1", "r2"], "rank_1": ["r4"], "rank_2": ["r3"]}), coverage="top"
    )
    assert taken.tiers() == [{"text 4": 1, "text 3": 2}]
    assert taken.rows("rankings")[0]["coverage"] == "top"


def test_named_buckets_with_a_given_order(take: Take) -> None:
    task = ranker({"_": [], "bad": ["r1"], "good": ["r2", "r3", "r4"]})
    taken = label_studio(take, task, order=("good", "bad"))
    assert taken.tiers() == [{"text 1": 2, "text 2": 1, "text 3": 1, "text 4": 1}]


@pytest.mark.parametrize("name", ["score_{}", "stars {}", "{}"])
def test_a_number_alone_does_not_say_which_bucket_is_best(take: Take, name: str) -> None:
    task = ranker({"_": [], name.format(5): ["r1"], name.format(1): ["r2", "r3", "r4"]})
    assert label_studio(take, task).reasons[0][0] == "BUCKET_ORDER"
    taken = label_studio(take, task, order=(name.format(5), name.format(1)))
    assert taken.tiers() == [{"text 1": 1, "text 2": 2, "text 3": 2, "text 4": 2}]


def test_a_pair_a_skip_and_one_bad_annotation_of_a_task(take: Take) -> None:
    task = ls_task(
        ls_annotation({"selected": "right"}, "pairwise"),
        ls_annotation(
            {"selected": "left"}, "pairwise", id=9002, completed_by={"id": 8, "email": "x"}
        ),
        ls_annotation({}, "pairwise", id=9003, was_cancelled=True, completed_by=9),
        ls_annotation({"selected": 3}, "pairwise", id=9004, completed_by=10),
        prompt="q",
        response_a="x",
        response_b="y",
    )
    taken = label_studio(take, task)
    assert taken.counts == (3, 0, 0, 1)
    assert taken.tiers() == [{"x": 2, "y": 1}, {"x": 1, "y": 2}, {}]
    names = [row["annotator_id"] for row in taken.rows("rankings")]
    assert names == ["label-studio:7", "label-studio:8", "label-studio:9"]
    assert taken.rows("rankings")[2]["skip_reason"] == "cancelled in Label Studio"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left", "right"),
        ("text_left", "text_right"),
        ("answer_a", "answer_b"),
        ("textA", "textB"),
        ("text1", "text2"),
    ],
)
def test_names_say_which_text_was_the_left_one(take: Take, left: str, right: str) -> None:
    for texts in ({left: "x", right: "y"}, {right: "y", left: "x"}):
        annotation = ls_annotation({"selected": "left"}, "pairwise")
        taken = label_studio(take, ls_task(annotation, prompt="q", **texts))
        assert taken.tiers() == [{"x": 1, "y": 2}]


@pytest.mark.parametrize("names", [("answer", "reply"), ("text2", "text3"), ("a1", "b2")])
def test_names_that_do_not_say_it_are_refused(take: Take, names: tuple[str, str]) -> None:
    texts = dict(zip(names, "xy", strict=True))
    task = ls_task(ls_annotation({"selected": "left"}, "pairwise"), prompt="q", **texts)
    code, field, message = label_studio(take, task).reasons[0]
    assert (code, field) == ("PAIR_SIDES", "data")
    assert message.startswith(f"'{names[0]}' and '{names[1]}' do not say which is the left one")


def test_a_changed_annotation_is_the_next_revision(take: Take) -> None:
    label_studio(take, ranker(["r4", "r1", "r3", "r2"]))
    changed = ranker(["r4", "r3", "r1", "r2"], updated_at="2026-01-03T03:04:05Z")
    taken = label_studio(take, changed, names={"label-studio:7": "ann_07"})
    assert taken.rows("rankings")[1]["annotator_id"] == "ann_07"
    taken = label_studio(take, changed)
    first, _, second = taken.rows("rankings")
    assert (second["revision"], second["supersedes"]) == (2, first["event_id"])
    assert label_studio(take, changed).counts == (0, 1, 0, 0)
    assert label_studio(take, ranker(["r4", "r1", "r3", "r2"])).counts == (0, 1, 0, 0)


def record(*responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    fields = {"prompt": "q", **{f"response_{i}": f"text {i}" for i in range(1, 5)}}
    return {"id": "p-1", "fields": fields, "metadata": {}, "responses": list(responses), **more}


def response(*ranks: object, **more: Any) -> dict[str, Any]:
    options = [{"value": f"response_{i}", "rank": rank} for i, rank in enumerate(ranks, start=1)]
    return {
        "id": "5b0c",
        "user_id": "0f3e",
        "status": "submitted",
        "values": {"rank": {"value": options}},
        "inserted_at": "2026-01-02T03:04:05.6",
        "updated_at": "2026-01-02T03:04:06.6",
        **more,
    }


@pytest.mark.parametrize(
    ("ranks", "tiers"), [((2, 3, 2, 1), [2, 3, 2, 1]), ((1, 3, 3, 7), [1, 2, 2, 3])]
)
def test_argilla_keeps_ties_and_closes_gaps(
    take: Take, ranks: tuple[int, ...], tiers: list[int]
) -> None:
    for rows in ([record(response(*ranks))], [{"items": [record(response(*ranks))], "total": 1}]):
        taken = take(rows)
        assert taken.report.format_name == "argilla"
    assert taken.counts == (0, 1, 0, 0)
    assert taken.tiers() == [{f"text {i}": tier for i, tier in enumerate(tiers, start=1)}]
    row = taken.rows("rankings")[0]
    assert row["annotator_id"] == "argilla:0f3e"
    assert row["submitted_at"] == "2026-01-02T03:04:06.600000+00:00"


LOST = {
    "fields": {"prompt": "q", "response-1": "a", "response-2": "b"},
    "metadata": {},
    "responses": {"ranking": [{"value": ["response-1", "response-2"], "user_id": "u"}]},
}


@pytest.mark.parametrize(
    ("row", "code", "field"),
    [
        (LOST, "ARGILLA_RANKS_LOST", "responses.ranking"),
        (
            record(response(1, values={"rank": {"value": ["response_1"]}})),
            "ARGILLA_RANKS_LOST",
            "responses.0.values.rank",
        ),
        (response(1, 2), "ARGILLA_NO_RECORD", "fields"),
        (record(), "UNANSWERED", ""),
        (record(response(status="draft")), "UNANSWERED", ""),
        (record(response(1, 2, status="odd")), "BAD_OUTCOME", "responses.0.status"),
        (
            record(response(status="discarded", values={})),
            "ARGILLA_NO_OPTIONS",
            "responses.0.values",
        ),
        (record(response(1, 2, 3, 4, 5)), "FOREIGN_RESPONSE", "responses.0.values"),
        (record(response(1, "2", 3, 4)), "TIER_TYPE", "responses.0.values.rank.value.1.rank"),
        (record(response(1, True, 3, 4)), "TIER_TYPE", "responses.0.values.rank.value.1.rank"),
        (record(response(1, values={})), "MISSING_FIELD", "responses.0.values"),
        (record(response(1, 2, 3, 4, updated_at="now")), "BAD_TIME", "responses.0.updated_at"),
    ],
)
def test_argilla_refused(take: Take, row: dict[str, Any], code: str, field: str) -> None:
    taken = take([row], "argilla")
    assert [it[:2] for it in taken.reasons] == [(code, field)]


def with_context(*responses: dict[str, Any], **metadata: str) -> dict[str, Any]:
    row = record(*responses, metadata=metadata)
    return {**row, "fields": {**row["fields"], "context": "some page"}}


@pytest.mark.parametrize("coverage", ["full", "top"])
def test_argilla_a_field_that_no_answer_ranks_is_no_response(take: Take, coverage: str) -> None:
    taken = take([with_context(response(1, 2, 3, 4))], coverage=coverage)
    assert taken.tiers() == [{f"text {i}": i for i in range(1, 5)}]
    assert {it["text"] for it in taken.rows("sets")[0]["responses"]} == {
        f"text {i}" for i in range(1, 5)
    }


def test_argilla_an_option_that_another_answer_ranks_is_a_response(take: Take) -> None:
    rows = [with_context(response(1, 2)), record(response(1, 2, 3, 4))]
    taken = take(rows)
    assert taken.counts == (1, 0, 0, 1)
    assert taken.reasons[0][:2] == ("INCOMPLETE", "tiers")
    partial = take(rows, coverage="top").rows("rankings")[1]
    assert (len(partial["tiers"]), len(partial["display_order"])) == (2, 4)


def test_argilla_the_metadata_name_the_responses_of_a_set_of_ours(take: Take) -> None:
    take([record(response(1, 2, 3, 4))])
    ours = take([record(response(1, 2, 3, 4))]).rows("sets")[0]
    ids = {it["text"]: it["response_id"] for it in ours["responses"]}
    metadata = {f"response_{i}": ids[f"text {i}"] for i in range(1, 5)}
    row = with_context(response(4, 3, 2, 1, user_id="u"), set_id=ours["set_id"], **metadata)
    taken = take([row], coverage="top")
    assert taken.counts == (1, 0, 0, 0)
    assert taken.tiers()[-1] == {f"text {i}": 5 - i for i in range(1, 5)}


def test_the_message_says_how_to_get_the_ranks(take: Take) -> None:
    message = "this export holds option order, not ranks; read it through the REST API"
    assert take([LOST]).reasons[0][2] == message
