"""ranking/1: one annotator's answer to one set. Parse and check, no store, no files.

A row is read in a fixed order and refused with the first reason found, so that the same row gets
the same code everywhere: at the page's submit and at the ledger. A refusal is an error
(quarantined), a repeat (DUPLICATE) or a doubt that waits for a person's decision (held): see
outcome_of.

Omitted on purpose: other formats (data.formats), the tiers themselves (data.tiers), and what makes
a valid row doubtful (data.doubts).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from data.doubts import DOUBTS, IMPORTED, doubt_quality, doubt_speed
from data.fields import (
    check_keys,
    check_schema,
    require_id,
    require_integer,
    require_list,
    require_text,
    shorten,
)
from data.identity import canonical_json, sha256_text
from data.jsonl import RowError
from data.tiers import parse_flags, parse_quality, parse_tiers
from data.times import check_times

SCHEMA = "ranking/1"
ROLES = ("annotator", "expert", "simulated", "import", "judge")

Outcome = Literal["duplicate", "held", "quarantined"]

_REQUIRED = frozenset(
    {
        "schema",
        "event_id",
        "set_id",
        "annotator_id",
        "revision",
        "outcome",
        "display_order",
        "touched",
        "started_at",
        "submitted_at",
        "active_ms",
        "ui_version",
    }
)
_OPTIONAL = frozenset(
    ["coverage", "tiers", "quality", "flags", "skip_reason", "supersedes", "shown_sha256"],
)
_OUTCOMES = ("ranked", "skipped", "not_rankable")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Ranking(NamedTuple):
    """A valid ranking/1 row.

    Attributes:
        tiers: Response id -> tier, 1 = best, dense; responses that were not ranked are absent.
        display_order: All response ids of the set as they stood on the page.
        payload: The row as canonical JSON.
    """

    event_id: str
    set_id: str
    annotator_id: str
    revision: int
    supersedes: str | None
    outcome: str
    coverage: str | None
    skip_reason: str | None
    tiers: dict[str, int]
    display_order: list[str]
    quality: dict[str, int]
    flags: dict[str, list[str]]
    active_ms: int
    started_at: datetime
    submitted_at: datetime
    ui_version: str
    payload: str
    payload_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFacts:
    """What rankings are checked against of one set.

    Attributes:
        response_ids: Ids of its responses.
        generators: What wrote them; an annotator may not be among these.
        count_words: Words of all responses.
        shown_sha256: Hash of what an annotator sees.
        allow_top: Whether responses may be left unranked.
    """

    response_ids: frozenset[str]
    generators: frozenset[str]
    count_words: int
    shown_sha256: str
    allow_top: bool = True


@dataclass(slots=True, kw_only=True)
class KnownRankings:
    """What rows of rankings are checked against; grows with each valid ranking.

    Attributes:
        now: The clock of this machine, with a time zone.
        new_role: Role under which an unknown annotator is registered; None refuses them.
        sets: Set id -> facts, the sets of this run.
        annotators: Annotator id -> (role, is active).
        events: Event id -> hash of the stored payload.
        held: Event id -> hash of the payload, of rows met that wait or were discarded.
        answers: (set id, annotator id) -> {revision: event id}. A row that is held or discarded
            has its place here too: the annotator did give that answer, and may revise it.
    """

    now: datetime
    new_role: str | None
    sets: Mapping[str, SetFacts]
    annotators: dict[str, tuple[str, bool]] = field(default_factory=dict)
    events: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    answers: dict[tuple[str, str], dict[int, str]] = field(default_factory=dict)

    def add(self, ranking: Ranking) -> None:
        """Remember an accepted ranking."""
        self.events[ranking.event_id] = ranking.payload_sha256
        self._place(ranking)
        if self.new_role is not None:
            self.annotators.setdefault(ranking.annotator_id, (self.new_role, True))

    def keep_out(self, ranking: Ranking) -> None:
        """Remember a valid ranking that does not enter."""
        self.held[ranking.event_id] = ranking.payload_sha256
        self._place(ranking)

    def role_of(self, annotator_id: str) -> str:
        """Return the role of an annotator who may rank."""
        stored = self.annotators.get(annotator_id)
        return stored[0] if stored else self.new_role or ""

    def _place(self, ranking: Ranking) -> None:
        revisions = self.answers.setdefault((ranking.set_id, ranking.annotator_id), {})
        revisions[ranking.revision] = ranking.event_id


def outcome_of(error: RowError) -> Outcome:
    """Sort a refused row: ignored, waiting for a person, or set aside as wrong."""
    if error.code == "DUPLICATE":
        return "duplicate"
    return "held" if error.code in DOUBTS else "quarantined"


def validate_ranking(row: dict[str, Any], known: KnownRankings) -> Ranking:
    """Check a ranking/1 row against its shape, its set and the ledger.

    Raises:
        RowError: The first reason against the row; code, field and message name it.
    """
    ranking = read_ranking(row, known)
    doubt = doubt_about(ranking, known)
    if doubt is not None:
        raise doubt
    return ranking


def doubt_about(ranking: Ranking, known: KnownRankings) -> RowError | None:
    """Return why a valid ranking should wait for a person's decision, None if nothing is odd."""
    if ranking.outcome != "ranked":
        return None
    doubt = None
    if not ranking.ui_version.startswith(IMPORTED):
        count_words = known.sets[ranking.set_id].count_words
        role = known.role_of(ranking.annotator_id)
        doubt = doubt_speed(ranking.active_ms, count_words, role)
    if doubt is None and ranking.quality:
        doubt = doubt_quality(ranking.tiers, ranking.quality)
    return doubt


def read_ranking(row: dict[str, Any], known: KnownRankings) -> Ranking:
    """Check all of a ranking/1 row but the doubts.

    Raises:
        RowError: The first reason against the row; code, field and message name it.
    """
    check_schema(row, SCHEMA)
    check_keys(row, _REQUIRED, _OPTIONAL)
    event_id = _event_id(row)
    payload = canonical_json(row if row["event_id"] == event_id else {**row, "event_id": event_id})
    digest = sha256_text(payload)
    # Before the repeat: a stored ranking of a set that this run lacks is of no use to it.
    facts = _known_set(row, known)
    _check_repeat(event_id, digest, known)
    annotator_id = _annotator(row, facts, known)
    revision, supersedes = _revision(row, annotator_id, event_id, known)
    outcome, skip_reason = _outcome(row)
    coverage, tiers = parse_tiers(row, outcome, facts.response_ids, allow_top=facts.allow_top)
    display_order = _display_order(row, facts)
    _check_shown(row, facts)
    started_at, submitted_at, active_ms = check_times(row, known.now)
    quality = parse_quality(row, facts.response_ids)
    flags = parse_flags(row, facts.response_ids)
    _check_touched(row, outcome)
    return Ranking(
        event_id=event_id,
        set_id=row["set_id"],
        annotator_id=annotator_id,
        revision=revision,
        supersedes=supersedes,
        outcome=outcome,
        coverage=coverage,
        skip_reason=skip_reason,
        tiers=tiers,
        display_order=display_order,
        quality=quality,
        flags=flags,
        active_ms=active_ms,
        started_at=started_at,
        submitted_at=submitted_at,
        ui_version=require_text(row, "ui_version"),
        payload=payload,
        payload_sha256=digest,
    )


def event_id_of(row: Mapping[str, Any]) -> str | None:
    """Return the event id of a row if it has a usable one, in lower case as it is stored."""
    value = row.get("event_id")
    return value.lower() if isinstance(value, str) and _UUID.fullmatch(value) else None


def _event_id(row: dict[str, Any]) -> str:
    event_id = event_id_of(row)
    if event_id is None:
        message = f"event_id is not a UUID: {shorten(row['event_id'])}"
        raise RowError("BAD_EVENT_ID", "event_id", message)
    return event_id


def _check_repeat(event_id: str, digest: str, known: KnownRankings) -> None:
    stored = known.events.get(event_id)
    if stored == digest:
        raise RowError("DUPLICATE", "event_id", "same event, same content: ignored")
    if (stored or known.held.get(event_id, digest)) != digest:
        message = "this event_id was already stored with other content; a correction needs its own"
        raise RowError("IDEMPOTENCY_CONFLICT", "event_id", message)


def _known_set(row: dict[str, Any], known: KnownRankings) -> SetFacts:
    set_id = require_text(row, "set_id")
    facts = known.sets.get(set_id)
    if facts is None:
        raise RowError("UNKNOWN_SET", "set_id", f"no ranking set {shorten(set_id)}")
    return facts


def _annotator(row: dict[str, Any], facts: SetFacts, known: KnownRankings) -> str:
    annotator_id = require_id(row, "annotator_id")
    new = None if known.new_role is None else (known.new_role, True)
    stored = known.annotators.get(annotator_id, new)
    if stored is None:
        raise RowError("UNKNOWN_ANNOTATOR", "annotator_id", f"no annotator {annotator_id!r}")
    if not stored[1]:
        message = f"annotator {annotator_id!r} is inactive"
        raise RowError("INACTIVE_ANNOTATOR", "annotator_id", message)
    if annotator_id in facts.generators:
        message = "the annotator wrote one of these responses"
        raise RowError("SELF_AUTHORED", "annotator_id", message)
    return annotator_id


def _revision(
    row: dict[str, Any], annotator_id: str, event_id: str, known: KnownRankings
) -> tuple[int, str | None]:
    revision = require_integer(row, "revision")
    answers = known.answers.get((row["set_id"], annotator_id), {})
    parent = answers.get(revision - 1)
    is_taken = answers.get(revision, event_id) != event_id
    if is_taken or (parent is None and revision != 1):
        raise _revision_conflict("revision", row["set_id"], annotator_id, answers)
    supersedes = row.get("supersedes")
    if isinstance(supersedes, str):
        supersedes = supersedes.lower()
    if supersedes != parent:
        raise _revision_conflict("supersedes", row["set_id"], annotator_id, answers)
    return revision, parent


def _revision_conflict(
    name: str, set_id: str, annotator_id: str, answers: Mapping[int, str]
) -> RowError:
    if answers:
        last = max(answers)
        before = answers[last]
        message = f"annotator {annotator_id} answered set {set_id} before, in event {before};"
        message += f" send revision {last + 1} with supersedes {before}"
    else:
        message = f"annotator {annotator_id} has no earlier answer to set {set_id}; send revision 1"
        message += " without supersedes"
    return RowError("REVISION_CONFLICT", name, message)


def _outcome(row: dict[str, Any]) -> tuple[str, str | None]:
    outcome, skip_reason = row["outcome"], row.get("skip_reason")
    if outcome not in _OUTCOMES:
        raise RowError("BAD_OUTCOME", "outcome", f"outcome is {shorten(outcome)}")
    if outcome != "skipped" and skip_reason is not None:
        message = f"outcome is {outcome} but skip_reason was sent"
        raise RowError("BAD_OUTCOME", "skip_reason", message)
    if outcome == "skipped" and not skip_reason:
        raise RowError("MISSING_FIELD", "skip_reason", "a skip needs skip_reason")
    return outcome, None if skip_reason is None else require_text(row, "skip_reason")


def _display_order(row: dict[str, Any], facts: SetFacts) -> list[str]:
    order = require_list(row, "display_order")
    names = [one for one in order if isinstance(one, str)]
    if not len(names) == len(order) == len(facts.response_ids) or set(names) != facts.response_ids:
        message = (
            f"display_order is not a permutation of the {len(facts.response_ids)} responses"
            f" of {row['set_id']}"
        )
        raise RowError("DISPLAY_ORDER", "display_order", message)
    return names


def _check_shown(row: dict[str, Any], facts: SetFacts) -> None:
    if "shown_sha256" in row and row["shown_sha256"] != facts.shown_sha256:
        message = "the text that was shown is not the stored text"
        raise RowError("STALE_CONTENT", "shown_sha256", message)


def _check_touched(row: dict[str, Any], outcome: str) -> None:
    if row["touched"] is not True and outcome == "ranked":
        message = "submitted without any change to the starting state"
        raise RowError("UNTOUCHED", "touched", message)
