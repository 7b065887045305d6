"""ranking/1 rows: each kind of bad row with its exact code, field and message."""

import contextlib
import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.identity import canonical_json
from data.jsonl import RowError, parse_object
from data.rankings import (
    KnownRankings,
    Ranking,
    SetFacts,
    doubt_about,
    outcome_of,
    read_ranking,
    validate_ranking,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FIRST = "0190a7c2-5b1e-7c3a-9f10-3a5d2b7c9e01"
SECOND = "0190a7c2-5b1e-7c3a-9f10-3a5d2b7c9e02"
BEFORE = (
    f"annotator ann answered set s1 before, in event {FIRST};"
    f" send revision 2 with supersedes {FIRST}"
)
IDS = ["r0", "r1", "r2", "r3"]


def good(**changes: Any) -> dict[str, Any]:
    """A valid row with a tie."""
    row: dict[str, Any] = {
        "schema": "ranking/1",
        "event_id": FIRST,
        "set_id": "s1",
        "annotator_id": "ann",
        "revision": 1,
        "outcome": "ranked",
        "coverage": "full",
        "tiers": {"r0": 1, "r1": 2, "r2": 2, "r3": 3},
        "display_order": ["r3", "r1", "r0", "r2"],
        "touched": True,
        "started_at": "2026-11-22T11:50:00+00:00",
        "submitted_at": "2026-11-22T11:52:00+00:00",
        "active_ms": 96000,
        "ui_version": "rank-ui/1",
    }
    return {**row, **changes}


def without(field: str, **changes: Any) -> dict[str, Any]:
    row = good(**changes)
    del row[field]
    return row


def knowing(*, new_role: str | None = None) -> KnownRankings:
    facts = SetFacts(
        response_ids=frozenset(IDS),
        generators=frozenset({"sft", "author"}),
        count_words=400,
        shown_sha256="a" * 64,
    )
    annotators = {
        "ann": ("annotator", True),
        "author": ("annotator", True),
        "z": ("annotator", False),
        "sim": ("simulated", True),
    }
    return KnownRankings(now=NOW, new_role=new_role, sets={"s1": facts}, annotators=annotators)


def after_first() -> KnownRankings:
    known = knowing()
    known.add(validate_ranking(good(), known))
    return known


def refuse(row: dict[str, Any], known: KnownRankings) -> RowError:
    with pytest.raises(RowError) as caught:
        validate_ranking(row, known)
    return caught.value


BAD = [
    (good(schema="ranking/0"), "SCHEMA_VERSION", "schema",
     "schema is 'ranking/0'; this reader knows 'ranking/1'"),
    (without("schema"), "MISSING_FIELD", "schema", "missing: schema"),
    (without("set_id"), "MISSING_FIELD", "set_id", "missing: set_id"),
    (good(model="gpt"), "UNKNOWN_FIELD", "model", "unknown: model"),
    (good(event_id="1"), "BAD_EVENT_ID", "event_id", "event_id is not a UUID: '1'"),
    (good(event_id=1), "BAD_EVENT_ID", "event_id", "event_id is not a UUID: 1"),
    (good(set_id="s9"), "UNKNOWN_SET", "set_id", "no ranking set 's9'"),
    (good(set_id=["s1"]), "BAD_TYPE", "set_id", "set_id must be a string, found ['s1']"),
    (good(annotator_id="q"), "UNKNOWN_ANNOTATOR", "annotator_id", "no annotator 'q'"),
    (good(annotator_id="z"), "INACTIVE_ANNOTATOR", "annotator_id", "annotator 'z' is inactive"),
    (good(annotator_id="author"), "SELF_AUTHORED", "annotator_id",
     "the annotator wrote one of these responses"),
    (good(revision=2), "REVISION_CONFLICT", "revision",
     "annotator ann has no earlier answer to set s1; send revision 1 without supersedes"),
    (good(revision=True), "BAD_TYPE", "revision", "revision must be an integer, found True"),
    (good(supersedes=FIRST), "REVISION_CONFLICT", "supersedes",
     "annotator ann has no earlier answer to set s1; send revision 1 without supersedes"),
    (good(tiers={"r0": 1, "r1": 2, "r2": 2}), "INCOMPLETE", "tiers",
     "full ranking without: r3"),
    (good(tiers={"r0": 1, "r1": 2, "r2": 2, "x9": 3}), "FOREIGN_RESPONSE", "tiers",
     "not in s1: x9"),
    (good(tiers={"r0": 0, "r1": 1, "r2": 2, "r3": 3}), "TIER_RANGE", "tiers.r0",
     "rank 0 is outside 1..4"),
    (good(tiers={"r0": 1, "r1": 2, "r2": 3, "r3": 5}), "TIER_RANGE", "tiers.r3",
     "rank 5 is outside 1..4"),
    (good(tiers={"r0": "1", "r1": 2, "r2": 2, "r3": 3}), "TIER_TYPE", "tiers.r0",
     "rank must be an integer, found '1'"),
    (good(tiers={"r0": 1.5, "r1": 2, "r2": 2, "r3": 3}), "TIER_TYPE", "tiers.r0",
     "rank must be an integer, found 1.5"),
    (good(tiers={"r0": True, "r1": 2, "r2": 2, "r3": 3}), "TIER_TYPE", "tiers.r0",
     "rank must be an integer, found True"),
    (good(tiers={"r0": None, "r1": 1, "r2": 2, "r3": 3}), "TIER_TYPE", "tiers.r0",
     "rank must be an integer, found None"),
    (good(tiers={"r0": 1, "r1": 2, "r2": 2, "r3": 4}), "TIER_GAP", "tiers",
     "ranks [1, 2, 2, 4] leave a gap; use 1,2,2,3"),
    (good(tiers={"r0": 2, "r1": 2, "r2": 3, "r3": 4}), "TIER_GAP", "tiers",
     "ranks [2, 2, 3, 4] leave a gap; use 1,2,2,3"),
    (good(tiers={}), "EMPTY_RANKING", "tiers", "no response was ranked"),
    (good(tiers=[1, 2]), "BAD_TYPE", "tiers", "tiers must be an object, found [1, 2]"),
    (without("tiers"), "MISSING_FIELD", "tiers", "missing: tiers"),
    (without("coverage"), "MISSING_FIELD", "coverage", "missing: coverage"),
    (good(coverage="subset", tiers={"r0": 1}), "EMPTY_RANKING", "tiers",
     "subset ranking needs more responses"),
    (good(coverage="top", tiers={"r0": None, "r1": None}), "EMPTY_RANKING", "tiers",
     "no response was ranked"),
    (good(coverage="top"), "BAD_COVERAGE", "coverage",
     "coverage is 'top' but every response is ranked"),
    (good(coverage="most"), "BAD_COVERAGE", "coverage",
     "coverage is 'most'; use full, top or subset"),
    (good(display_order=["r0", "r1", "r2"]), "DISPLAY_ORDER", "display_order",
     "display_order is not a permutation of the 4 responses of s1"),
    (good(display_order=["r0", "r1", "r2", "r2"]), "DISPLAY_ORDER", "display_order",
     "display_order is not a permutation of the 4 responses of s1"),
    (good(display_order=["r0", "r1", "r2", ["r3"]]), "DISPLAY_ORDER", "display_order",
     "display_order is not a permutation of the 4 responses of s1"),
    (good(shown_sha256="b" * 64), "STALE_CONTENT", "shown_sha256",
     "the text that was shown is not the stored text"),
    (good(started_at="2026-11-22T11:50:00"), "BAD_TIME", "started_at",
     "started_at has no time zone: '2026-11-22T11:50:00'"),
    (good(started_at="yesterday"), "BAD_TIME", "started_at",
     "started_at is not a time: 'yesterday'"),
    (good(started_at="0001-01-01T00:00:00+14:00"), "BAD_TIME", "started_at",
     "started_at is not a time: '0001-01-01T00:00:00+14:00'"),
    (good(submitted_at="2026-11-22T12:30:00+00:00"), "FUTURE_TIME", "submitted_at",
     "submitted_at is 2026-11-22T12:30:00+00:00, more than 5 minutes after the server clock"),
    (good(submitted_at="2026-11-22T11:40:00+00:00"), "TIME_ORDER", "submitted_at",
     "submitted before it was started"),
    (good(active_ms=120_001), "BAD_DURATION", "active_ms",
     "active time is longer than wall time"),
    (good(active_ms=-1), "BAD_DURATION", "active_ms", "active_ms is -1"),
    (good(outcome="skipped", tiers={}), "MISSING_FIELD", "skip_reason",
     "a skip needs skip_reason"),
    (good(outcome="skipped", skip_reason="unclear"), "TIERS_ON_SKIP", "tiers",
     "outcome is skipped but tiers were sent"),
    (good(skip_reason="unclear"), "BAD_OUTCOME", "skip_reason",
     "outcome is ranked but skip_reason was sent"),
    (good(outcome="rank"), "BAD_OUTCOME", "outcome", "outcome is 'rank'"),
    (good(quality={"r0": 8}), "QUALITY_RANGE", "quality.r0",
     "quality must be an integer 1..7, found 8"),
    (good(quality={"x9": 5}), "FOREIGN_RESPONSE", "quality", "not in s1: x9"),
    (good(flags={"r0": ["bad"]}), "UNKNOWN_FLAG", "flags.r0", "unknown flag: bad"),
    (good(flags={"r0": "hallucination"}), "BAD_TYPE", "flags.r0",
     "flags.r0 must be a list, found 'hallucination'"),
    (good(touched=False), "UNTOUCHED", "touched",
     "submitted without any change to the starting state"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "code", "field", "message"), BAD)
def test_bad_rows(row: dict[str, Any], code: str, field: str, message: str) -> None:
    error = refuse(row, knowing())
    assert (error.code, error.field, error.message) == (code, field, message)
    assert outcome_of(error) == "quarantined"


@pytest.mark.parametrize(
    ("row", "code", "field", "message"),
    [
        (good(active_ms=3000), "TOO_FAST", "active_ms",
         "3000 ms for 400 words; held for review under 24000 ms"),
        (good(quality={"r0": 2, "r3": 6}), "QUALITY_CONTRADICTS_RANK", "quality.r0",
         "r0 ranks above r3 but scores 2 against 6"),
    ],
)  # fmt: skip
def test_held_rows(row: dict[str, Any], code: str, field: str, message: str) -> None:
    error = refuse(row, knowing())
    assert (error.code, error.field, error.message) == (code, field, message)
    assert outcome_of(error) == "held"


@pytest.mark.parametrize(
    "row",
    [
        good(),
        good(tiers=dict.fromkeys(IDS, 1)),
        good(coverage="top", tiers={"r2": 1}),
        good(coverage="top", tiers={"r2": 1, "r0": None}),
        good(coverage="subset", tiers={"r2": 1, "r0": 2}),
        good(outcome="not_rankable", tiers={}),
        good(outcome="skipped", tiers={}, skip_reason="unclear", touched=False),
        good(shown_sha256="a" * 64),
        good(quality={"r0": 5, "r3": 6}),
        good(flags={"r3": ["hallucination"]}),
        good(annotator_id="sim", active_ms=0),
        good(started_at="2026-11-22T12:50:00+01:00", submitted_at="2026-11-22T11:52:00Z"),
    ],
)
def test_good_rows(row: dict[str, Any]) -> None:
    assert isinstance(validate_ranking(row, knowing()), Ranking)


def test_absent_responses_have_no_tier() -> None:
    row = good(coverage="top", tiers={"r2": 1, "r0": None})
    assert validate_ranking(row, knowing()).tiers == {"r2": 1}


def test_same_event_again_is_a_duplicate() -> None:
    for row in (good(), good(event_id=FIRST.upper())):
        error = refuse(row, after_first())
        assert outcome_of(error) == "duplicate"
        assert (error.code, error.field) == ("DUPLICATE", "event_id")
        assert error.message == "same event, same content: ignored"


@pytest.mark.parametrize(
    ("row", "code", "field", "message"),
    [
        (good(active_ms=95999), "IDEMPOTENCY_CONFLICT", "event_id",
         "this event_id was already stored with other content; a correction needs its own"),
        (good(event_id=SECOND), "REVISION_CONFLICT", "revision", BEFORE),
        (good(event_id=SECOND, revision=2, supersedes=SECOND), "REVISION_CONFLICT", "supersedes",
         BEFORE),
        (good(event_id=SECOND, revision=2), "REVISION_CONFLICT", "supersedes", BEFORE),
    ],
)  # fmt: skip
def test_bad_second_rows(row: dict[str, Any], code: str, field: str, message: str) -> None:
    error = refuse(row, after_first())
    assert (error.code, error.field, error.message) == (code, field, message)


def test_second_revision_supersedes_the_first() -> None:
    row = good(event_id=SECOND, revision=2, supersedes=FIRST.upper())
    ranking = validate_ranking(row, after_first())
    assert (ranking.revision, ranking.supersedes) == (2, FIRST)


def test_a_row_that_was_kept_out_has_its_place_in_the_revisions() -> None:
    known = knowing()
    known.keep_out(read_ranking(good(active_ms=1), known))
    assert refuse(good(event_id=SECOND), known).message == BEFORE
    second = validate_ranking(good(event_id=SECOND, revision=2, supersedes=FIRST), known)
    known.add(second)
    assert validate_ranking(good(active_ms=1, annotator_id="sim"), knowing()).revision == 1
    assert doubt_about(read_ranking(good(active_ms=1), known), known) is not None
    assert refuse(good(active_ms=2), known).code == "IDEMPOTENCY_CONFLICT"


@pytest.mark.parametrize("coverage", ["top", "subset"])
def test_a_batch_may_ask_for_full_rankings(coverage: str) -> None:
    facts = dataclasses.replace(knowing().sets["s1"], allow_top=False)
    known = KnownRankings(now=NOW, new_role="import", sets={"s1": facts})
    error = refuse(good(coverage=coverage, tiers={"r0": 1, "r1": 2}), known)
    assert (error.code, error.field) == ("BAD_COVERAGE", "coverage")
    assert error.message == f"coverage is {coverage!r}, but these sets are to be ranked in full"
    assert validate_ranking(good(), known).coverage == "full"


def test_an_imported_answer_has_no_time_to_doubt() -> None:
    assert validate_ranking(good(active_ms=0, ui_version="import/csv"), knowing())


def test_unknown_annotator_is_registered_under_the_role_given() -> None:
    known = knowing(new_role="simulated")
    known.add(validate_ranking(good(annotator_id="q", active_ms=0), known))
    assert known.annotators["q"] == ("simulated", True)


RAW = canonical_json(good(quality={"r0": 5}, flags={"r0": ["sexual"]})).encode()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(RAW)), st.integers(0, 9), st.binary(max_size=8)), max_size=6
    )
)
def test_mutated_lines_never_crash(edits: list[tuple[int, int, bytes]]) -> None:
    """A line damaged anywhere is a ranking that says what it says, or a RowError."""
    raw = RAW
    for start, length, put in edits:
        raw = raw[:start] + put + raw[start + length :]
    with contextlib.suppress(RowError):
        row = parse_object(raw)
        assert_unchanged(row, validate_ranking(row, knowing(new_role="import")))


def assert_unchanged(row: dict[str, Any], ranking: Ranking) -> None:
    """Nothing was guessed, rounded or dropped on the way."""
    plain = json.loads(json.dumps(row))
    assert json.loads(ranking.payload) == {**plain, "event_id": plain["event_id"].lower()}
    tiers = {name: tier for name, tier in row.get("tiers", {}).items() if tier is not None}
    given = (tiers, row["display_order"], row.get("quality", {}), row.get("flags", {}))
    assert (ranking.tiers, ranking.display_order, ranking.quality, ranking.flags) == given
    numbers = (row["revision"], row["active_ms"], row["outcome"], row["annotator_id"])
    assert (ranking.revision, ranking.active_ms, ranking.outcome, ranking.annotator_id) == numbers


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(good(quality=1, flags=1, supersedes=1, skip_reason=1))), VALUES)
def test_any_value_in_any_field_never_crashes(field: str, value: Any) -> None:
    row = good(**{field: value})
    with contextlib.suppress(RowError):
        assert_unchanged(row, validate_ranking(row, knowing(new_role="import")))
