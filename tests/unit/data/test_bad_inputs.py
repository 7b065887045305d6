"""The study's list of bad inputs, each as the bytes of a line, with its outcome and exact words."""

import json
from typing import Any

import pytest

from data.jsonl import RowError, parse_object
from data.rankings import KnownRankings, outcome_of, validate_ranking
from tests.unit.data.test_rankings import (
    BEFORE,
    FIRST,
    NOW,
    SECOND,
    after_first,
    good,
    knowing,
    without,
)

THIRD = "0190a7c2-5b1e-7c3a-9f10-3a5d2b7c9e03"
NONE_BEFORE = "annotator ann has no earlier answer to set s1; send revision 1 without supersedes"
SHUFFLED = "display_order is not a permutation of the 4 responses of s1"
AHEAD = "submitted_at is 2026-11-22T12:30:00+00:00, more than 5 minutes after the server clock"
CONFLICT = "this event_id was already stored with other content; a correction needs its own"
NEW = {"event_id": SECOND}


def tiers(*values: Any) -> dict[str, Any]:
    return {"tiers": {f"r{index}": value for index, value in enumerate(values)}}


def line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()


FIRST_LINES: list[tuple[str, bytes, str, str, str]] = [
    ("good row with a tie", line(good()), "ok", "", ""),
    ("line cut short", line(good())[:40], "NOT_JSON", "",
     "Unterminated string starting at at column 37"),
    ("latin-1 bytes", '{"a":"é"}'.encode("latin-1"), "NOT_UTF8", "", "byte 6 is not UTF-8"),
    ("300 kB line", b'{"a":"' + b"x" * 300_000 + b'"}', "TOO_LARGE", "",
     "300008 bytes; the limit is 262144"),
    ("JSON list", b"[1, 2]", "NOT_OBJECT", "", "expected an object, found list"),
    ("repeated key", b'{"schema":"ranking/1","schema":"ranking/1"}', "DUPLICATE_KEY", "schema",
     "JSON key 'schema' appears twice"),
    ("NaN", b'{"active_ms":NaN}', "NOT_JSON", "", "NaN is not a JSON number"),
    ("old schema", line(good(schema="ranking/0")), "SCHEMA_VERSION", "schema",
     "schema is 'ranking/0'; this reader knows 'ranking/1'"),
    ("no set_id", line(without("set_id")), "MISSING_FIELD", "set_id", "missing: set_id"),
    ("extra field", line(good(model="m")), "UNKNOWN_FIELD", "model", "unknown: model"),
    ("event_id not UUID", line(good(event_id="1")), "BAD_EVENT_ID", "event_id",
     "event_id is not a UUID: '1'"),
    ("unknown set", line(good(set_id="s9")), "UNKNOWN_SET", "set_id", "no ranking set 's9'"),
    ("unknown annotator", line(good(annotator_id="q")), "UNKNOWN_ANNOTATOR", "annotator_id",
     "no annotator 'q'"),
    ("inactive annotator", line(good(annotator_id="z")), "INACTIVE_ANNOTATOR", "annotator_id",
     "annotator 'z' is inactive"),
    ("own text", line(good(annotator_id="author")), "SELF_AUTHORED", "annotator_id",
     "the annotator wrote one of these responses"),
    ("revision 2 first", line(good(revision=2)), "REVISION_CONFLICT", "revision", NONE_BEFORE),
    ("response missing from tiers", line(good(**tiers(1, 2, 2))), "INCOMPLETE", "tiers",
     "full ranking without: r3"),
    ("response of another set", line(good(tiers={"r0": 1, "r1": 2, "r2": 2, "x9": 3})),
     "FOREIGN_RESPONSE", "tiers", "not in s1: x9"),
    ("rank 0", line(good(**tiers(0, 1, 2, 3))), "TIER_RANGE", "tiers.r0",
     "rank 0 is outside 1..4"),
    ("rank above K", line(good(**tiers(1, 2, 3, 5))), "TIER_RANGE", "tiers.r3",
     "rank 5 is outside 1..4"),
    ("rank in text", line(good(**tiers("1", 2, 2, 3))), "TIER_TYPE", "tiers.r0",
     "rank must be an integer, found '1'"),
    ("rank 1.5", line(good(**tiers(1.5, 2, 2, 3))), "TIER_TYPE", "tiers.r0",
     "rank must be an integer, found 1.5"),
    ("rank true", line(good(**tiers(True, 2, 2, 3))), "TIER_TYPE", "tiers.r0",
     "rank must be an integer, found True"),
    ("rank null in a full ranking", line(good(**tiers(None, 1, 2, 3))), "TIER_TYPE", "tiers.r0",
     "rank must be an integer, found None"),
    ("competition ranks", line(good(**tiers(1, 2, 2, 4))), "TIER_GAP", "tiers",
     "ranks [1, 2, 2, 4] leave a gap; use 1,2,2,3"),
    ("starts at 2", line(good(**tiers(2, 2, 3, 4))), "TIER_GAP", "tiers",
     "ranks [2, 2, 3, 4] leave a gap; use 1,2,2,3"),
    ("all tied", line(good(**tiers(1, 1, 1, 1))), "ok", "", ""),
    ("empty tiers", line(good(tiers={})), "EMPTY_RANKING", "tiers", "no response was ranked"),
    ("top-1 declared", line(good(coverage="top", tiers={"r2": 1})), "ok", "", ""),
    ("subset of one", line(good(coverage="subset", tiers={"r2": 1})), "EMPTY_RANKING", "tiers",
     "subset ranking needs more responses"),
    ("top but complete", line(good(coverage="top")), "BAD_COVERAGE", "coverage",
     "coverage is 'top' but every response is ranked"),
    ("display order lacks one", line(good(display_order=["r0", "r1", "r2"])), "DISPLAY_ORDER",
     "display_order", SHUFFLED),
    ("display order repeats one", line(good(display_order=["r0", "r1", "r2", "r2"])),
     "DISPLAY_ORDER", "display_order", SHUFFLED),
    ("text changed since shown", line(good(shown_sha256="b" * 64)), "STALE_CONTENT",
     "shown_sha256", "the text that was shown is not the stored text"),
    ("no time zone", line(good(started_at="2026-11-22T11:50:00")), "BAD_TIME", "started_at",
     "started_at has no time zone: '2026-11-22T11:50:00'"),
    ("clock ahead", line(good(submitted_at="2026-11-22T12:30:00+00:00")), "FUTURE_TIME",
     "submitted_at", AHEAD),
    ("ends before start", line(good(submitted_at="2026-11-22T11:40:00+00:00")), "TIME_ORDER",
     "submitted_at", "submitted before it was started"),
    ("active longer than wall", line(good(active_ms=120_001)), "BAD_DURATION", "active_ms",
     "active time is longer than wall time"),
    ("negative time", line(good(active_ms=-1)), "BAD_DURATION", "active_ms", "active_ms is -1"),
    ("skip without reason", line(good(outcome="skipped", tiers={})), "MISSING_FIELD",
     "skip_reason", "a skip needs skip_reason"),
    ("skip with ranks", line(good(outcome="skipped", skip_reason="language")), "TIERS_ON_SKIP",
     "tiers", "outcome is skipped but tiers were sent"),
    ("none acceptable", line(good(outcome="not_rankable", tiers={})), "ok", "", ""),
    ("outcome typo", line(good(outcome="rank")), "BAD_OUTCOME", "outcome", "outcome is 'rank'"),
    ("quality 8", line(good(quality={"r0": 8})), "QUALITY_RANGE", "quality.r0",
     "quality must be an integer 1..7, found 8"),
    ("unknown flag", line(good(flags={"r0": ["bad"]})), "UNKNOWN_FLAG", "flags.r0",
     "unknown flag: bad"),
    ("untouched", line(good(touched=False)), "UNTOUCHED", "touched",
     "submitted without any change to the starting state"),
    ("3 s for 400 words", line(good(active_ms=3000)), "TOO_FAST", "active_ms",
     "3000 ms for 400 words; held for review under 24000 ms"),
    ("best has lowest score", line(good(quality={"r0": 2, "r3": 6})), "QUALITY_CONTRADICTS_RANK",
     "quality.r0", "r0 ranks above r3 but scores 2 against 6"),
]  # fmt: skip

SECOND_LINES: list[tuple[str, bytes, str, str, str]] = [
    ("same event again", line(good()), "DUPLICATE", "event_id",
     "same event, same content: ignored"),
    ("same event_id, other content", line(good(active_ms=95_999)), "IDEMPOTENCY_CONFLICT",
     "event_id", CONFLICT),
    ("second submit as revision 1", line(good(**NEW)), "REVISION_CONFLICT", "revision", BEFORE),
    ("revision 2, wrong parent", line(good(**NEW, revision=2, supersedes=THIRD)),
     "REVISION_CONFLICT", "supersedes", BEFORE),
    ("revision 2, right parent", line(good(**NEW, revision=2, supersedes=FIRST)), "ok", "", ""),
]  # fmt: skip

OUTCOMES = {
    "ok": "ok",
    "DUPLICATE": "duplicate",
    "TOO_FAST": "held",
    "QUALITY_CONTRADICTS_RANK": "held",
}


def take(raw: bytes, known: KnownRankings) -> tuple[str, str, str, str]:
    """Outcome, code, field and message of a line; outcome and code "ok" if nothing is wrong."""
    try:
        validate_ranking(parse_object(raw), known)
    except RowError as error:
        return outcome_of(error), error.code, error.field, error.message
    return "ok", "ok", "", ""


def expected(code: str, field: str, message: str) -> tuple[str, str, str, str]:
    return OUTCOMES.get(code, "quarantined"), code, field, message


def test_the_list_is_whole() -> None:
    names = [name for name, *_ in FIRST_LINES + SECOND_LINES]
    assert len(set(names)) == len(names) == 53
    assert knowing().now == NOW


@pytest.mark.parametrize(("name", "raw", "code", "field", "message"), FIRST_LINES)
def test_lines(name: str, raw: bytes, code: str, field: str, message: str) -> None:
    assert take(raw, knowing()) == expected(code, field, message)


@pytest.mark.parametrize(("name", "raw", "code", "field", "message"), SECOND_LINES)
def test_lines_after_a_first_answer(
    name: str, raw: bytes, code: str, field: str, message: str
) -> None:
    assert take(raw, after_first()) == expected(code, field, message)


def test_a_byte_order_mark_is_accepted_and_utf_16_is_not() -> None:
    assert take(b"\xef\xbb\xbf" + line(good()), knowing())[0] == "ok"
    raw = json.dumps(good()).encode("utf-16")
    assert take(raw, knowing())[1] == "NOT_UTF8"
