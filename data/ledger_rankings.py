"""Statements of the ingest about rankings: what the ledger knows of a chunk, what is added to it.

Omitted on purpose: transactions, which the caller holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

import duckdb

from data import schemas
from data.frames import find_rows, texts_of, write_rows
from data.identity import sha256_bytes
from data.outcomes import Refused, Resolution
from data.queries import load
from data.rankings import KnownRankings, Ranking, SetFacts, event_id_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_ranking_facts = attrgetter(
    "event_id",
    "set_id",
    "annotator_id",
    "revision",
    "supersedes",
    "outcome",
    "coverage",
    "skip_reason",
    "active_ms",
)


class Accepted(NamedTuple):
    """A ranking that enters, and its place in its source."""

    seq: int
    ranking: Ranking


class HeldLine(NamedTuple):
    """A doubtful or decided line of a run, for the lead's page.

    Attributes:
        decision_id: The id by which decisions name it.
        resolution: What a lead decided, None while nothing is decided.
    """

    seq: int
    decision_id: str
    resolution: Resolution | None


def find_known_rankings(
    con: duckdb.DuckDBPyConnection,
    rows: Sequence[Mapping[str, Any]],
    *,
    run_id: str,
    now: datetime,
    new_role: str | None,
    roles: Mapping[str, str],
    allow_top: bool,
) -> KnownRankings:
    """Return what a chunk of ranking rows is checked against; see data.ingest.ingest."""
    set_ids, event_ids = texts_of(rows, "set_id"), [event_id_of(row) for row in rows]
    sets = {
        set_id: SetFacts(
            response_ids=frozenset(response_ids),
            generators=frozenset(generators),
            count_words=count_words,
            shown_sha256=shown_sha256,
            allow_top=allow_top,
        )
        for set_id, response_ids, generators, count_words, shown_sha256 in find_rows(
            con, "find_run_sets", {"run_id": run_id}, set_id=set_ids
        )
    }
    known = KnownRankings(now=now, new_role=new_role, sets=sets)
    known.events.update(find_rows(con, "find_events", event_id=event_ids))
    known.annotators.update({name: (role, True) for name, role in roles.items()})
    for annotator_id, role, is_active in con.execute(load("ledger/find_annotators")).fetchall():
        known.annotators[annotator_id] = (role, is_active)
    # The stored answers come last: they take the place of a held one of the same revision.
    for name in ("find_held_revisions", "find_revisions"):
        for set_id, annotator_id, revision, event_id in find_rows(con, name, set_id=set_ids):
            known.answers.setdefault((set_id, annotator_id), {})[revision] = event_id
    return known


def insert_annotators(
    con: duckdb.DuckDBPyConnection, accepted: Sequence[Accepted], known: KnownRankings
) -> None:
    """Register the annotators met for the first time."""
    names = dict.fromkeys(one.ranking.annotator_id for one in accepted)
    rows = [(name, known.role_of(name)) for name in names]
    write_rows(con, "insert_annotators", rows, schemas.NEW_ANNOTATORS)


def insert_rankings(
    con: duckdb.DuckDBPyConnection, accepted: Sequence[Accepted], *, source: str, run_id: str
) -> None:
    """Store new rankings with their events and items.

    Args:
        con: The store, in a transaction.
        accepted: The rankings and their places.
        source: Name of the source they come from.
        run_id: The run that takes them in.
    """
    events = [(it.event_id, it.payload_sha256, seq, it.payload) for seq, it in accepted]
    rankings = [_ranking_row(one.ranking) for one in accepted]
    items = [row for one in accepted for row in _ranking_items(one.ranking)]
    origin = {"source": source, "run_id": run_id}
    write_rows(con, "insert_events", events, schemas.NEW_EVENTS, **origin)
    write_rows(con, "insert_rankings", rankings, schemas.NEW_RANKINGS)
    write_rows(con, "insert_ranking_items", items, schemas.NEW_RANKING_ITEMS)


def insert_run_events(
    con: duckdb.DuckDBPyConnection, event_ids: Iterable[str], *, run_id: str
) -> None:
    """List events as used by a run."""
    rows = [(event_id,) for event_id in event_ids]
    write_rows(con, "insert_run_events", rows, schemas.RUN_EVENTS, run_id=run_id)


def delete_revised_run_events(
    con: duckdb.DuckDBPyConnection, kept_out: Sequence[tuple[str, str, int]], *, run_id: str
) -> None:
    """Take the earlier answers off a run's list where a revision of them is kept out.

    Args:
        con: The store, in a transaction.
        kept_out: Set, annotator and revision of each.
        run_id: The run.
    """
    schema = schemas.ANSWERS_KEPT_OUT
    write_rows(con, "delete_revised_run_events", kept_out, schema, run_id=run_id)


def insert_run_held(
    con: duckdb.DuckDBPyConnection, held: Sequence[HeldLine], *, source: str, run_id: str
) -> None:
    """List lines as doubtful or decided in a run."""
    origin = {"source": source, "run_id": run_id}
    write_rows(con, "insert_run_held", held, schemas.HELD_LINES, **origin)


def insert_quarantine(
    con: duckdb.DuckDBPyConnection, refused: Sequence[Refused], *, source: str, run_id: str
) -> None:
    """Set refused lines aside, or count them again."""
    rows = [_quarantine_row(one) for one in refused]
    origin = {"source": source, "run_id": run_id}
    write_rows(con, "insert_quarantine", rows, schemas.NEW_QUARANTINE, **origin)


def resolve_quarantine(
    con: duckdb.DuckDBPyConnection, held: Sequence[HeldLine], *, source: str
) -> None:
    """Note the decisions on lines that were set aside, at this ingest or an earlier one."""
    decided = [one for one in held if one.resolution is not None]
    write_rows(con, "resolve_quarantine", decided, schemas.HELD_LINES, source=source)


def _ranking_row(one: Ranking) -> tuple[Any, ...]:
    # As the microseconds that a frame keeps: Polars takes three times as long for datetimes.
    started, submitted = one.started_at - _EPOCH, one.submitted_at - _EPOCH
    times = (started // _MICROSECOND, submitted // _MICROSECOND)
    return *_ranking_facts(one), *times, one.ui_version


def _ranking_items(one: Ranking) -> list[tuple[Any, ...]]:
    tier_of, quality_of = one.tiers.get, one.quality.get
    flags = {name: " ".join(words) for name, words in one.flags.items()} if one.flags else one.flags
    return [
        (one.event_id, name, tier_of(name), position, quality_of(name), flags.get(name, ""))
        for position, name in enumerate(one.display_order, start=1)
    ]


def _quarantine_row(one: Refused) -> tuple[Any, ...]:
    text = one.line.raw.decode("utf-8", "replace").replace("\x00", "\ufffd")
    ranking = one.ranking
    about = (ranking.set_id, ranking.annotator_id, ranking.revision) if ranking else (None,) * 3
    return (
        sha256_bytes(one.line.raw),
        one.error.code,
        one.line.seq,
        one.event_id,
        one.error.field,
        one.error.message,
        text,
        ranking is not None,
        one.resolution,
        *about,
    )
