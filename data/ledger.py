"""Statements of the ingest: what the ledger knows of a chunk of rows, and what is added to it.

Facts are looked up chunk by chunk by joining a registered frame of ids, so memory does not grow
with the ledger; rows enter as typed frames, never one by one.

Omitted on purpose: transactions, which the caller holds.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from data import schemas
from data.identity import canonical_json, sha256_bytes, sha256_text
from data.jsonl import RawLine, RowError
from data.queries import load
from data.rankings import KnownRankings, Ranking, SetFacts, event_id_of
from data.sets import KnownSets, ResponseSet, RunPrompts, run_prompt

_Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A line for the quarantine."""

    line: RawLine
    error: RowError
    event_id: str | None
    is_held: bool


def read_run_prompts(path: Path) -> RunPrompts:
    """Read prompts.parquet: what the sets of a run are checked against."""
    columns = ["prompt_id", "family_id", "split", "messages"]
    frame = pl.read_parquet(path, columns=columns, glob=False)
    prompts = RunPrompts(by_id={}, by_norm={})
    for prompt_id, family_id, split, messages in frame.iter_rows():
        prompt = run_prompt(prompt_id, family_id, split, json.loads(messages))
        prompts.by_id[prompt_id] = prompt
        prompts.by_norm.setdefault(prompt.norm_sha256, prompt)
    return prompts


def forget_run(con: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Drop the list of what a run uses, so that an ingest can be repeated."""
    con.execute(load("ledger/delete_run_events"), {"run_id": run_id})
    con.execute(load("ledger/delete_run_set_items"), {"run_id": run_id})


def find_known_sets(
    con: duckdb.DuckDBPyConnection, rows: Sequence[_Row], prompts: RunPrompts
) -> KnownSets:
    """Return what a chunk of set rows is checked against."""
    known = KnownSets(prompts=prompts)
    known.stored_prompts.update(_find(con, "find_prompts", prompt_id=_texts(rows, "prompt_id")))
    known.stored_sets.update(_find(con, "find_sets", set_id=_texts(rows, "set_id")))
    response_ids = [
        response_id
        for row in rows
        if isinstance(items := row.get("responses"), list)
        for response_id in _texts([item for item in items if isinstance(item, dict)], "response_id")
    ]
    for response_id, prompt_id, text_sha256 in _find(
        con, "find_responses", response_id=response_ids
    ):
        known.stored_responses[response_id] = (prompt_id, text_sha256)
    return known


def find_known_rankings(
    con: duckdb.DuckDBPyConnection,
    rows: Sequence[_Row],
    *,
    run_id: str,
    now: datetime,
    new_role: str | None,
) -> KnownRankings:
    """Return what a chunk of ranking rows is checked against."""
    set_ids, event_ids = _texts(rows, "set_id"), [event_id_of(row) for row in rows]
    sets = {
        set_id: SetFacts(
            response_ids=frozenset(response_ids),
            generators=frozenset(generators),
            count_words=count_words,
            shown_sha256=shown_sha256,
        )
        for set_id, response_ids, generators, count_words, shown_sha256 in _find(
            con, "find_run_sets", {"run_id": run_id}, set_id=set_ids
        )
    }
    known = KnownRankings(now=now, new_role=new_role, sets=sets)
    known.events.update(_find(con, "find_events", event_id=event_ids))
    for annotator_id, role, is_active in con.execute(load("ledger/find_annotators")).fetchall():
        known.annotators[annotator_id] = (role, is_active)
    for set_id, annotator_id, ranking_id, revision in _find(con, "find_revisions", set_id=set_ids):
        known.revisions[(set_id, annotator_id)] = (revision, ranking_id)
    return known


def insert_sets(
    con: duckdb.DuckDBPyConnection, accepted: Sequence[ResponseSet], known: KnownSets
) -> None:
    """Store new sets with their prompts and responses."""
    prompts = {one.prompt_id: one.messages for one in accepted}
    prompt_rows = [
        (
            prompt_id,
            canonical_json(messages),
            known.prompts.by_id[prompt_id].content_sha256,
            known.prompts.by_id[prompt_id].norm_sha256,
        )
        for prompt_id, messages in prompts.items()
    ]
    responses = {
        response.response_id: (one.prompt_id, response.text)
        for one in accepted
        for response in one.responses
    }
    response_rows = [
        (response_id, prompt_id, text, sha256_text(text))
        for response_id, (prompt_id, text) in responses.items()
    ]
    _insert(con, "prompts", prompt_rows, schemas.NEW_PROMPTS)
    _insert(con, "responses", response_rows, schemas.NEW_RESPONSES)
    _insert(con, "sets", [_set_row(one) for one in accepted], schemas.NEW_SETS)
    _insert(con, "set_items", _set_items(accepted), schemas.SET_ITEMS)


def insert_run_sets(
    con: duckdb.DuckDBPyConnection, used: Sequence[ResponseSet], *, run_id: str
) -> None:
    """List sets as used by a run, with what wrote each response there."""
    rows = _set_items(used)
    _insert(con, "run_set_items", rows, schemas.SET_ITEMS, run_id=run_id)


def insert_annotators(con: duckdb.DuckDBPyConnection, known: KnownRankings) -> None:
    """Register the annotators met for the first time."""
    rows = [(annotator_id, role) for annotator_id, (role, _) in known.annotators.items()]
    _insert(con, "annotators", rows, schemas.NEW_ANNOTATORS)


def insert_rankings(
    con: duckdb.DuckDBPyConnection,
    accepted: Sequence[tuple[int, Ranking]],
    *,
    source: str,
    run_id: str,
) -> None:
    """Store new rankings with their events and items.

    Args:
        con: The store, in a transaction.
        accepted: Line number and ranking.
        source: The file they come from.
        run_id: The run that takes them in.
    """
    events = [(one.event_id, one.payload_sha256, number, one.payload) for number, one in accepted]
    rankings = [_ranking_row(one) for _, one in accepted]
    items = [row for _, one in accepted for row in _ranking_items(one)]
    origin = {"source": source, "run_id": run_id}
    _insert(con, "events", events, schemas.NEW_EVENTS, **origin)
    _insert(con, "rankings", rankings, schemas.NEW_RANKINGS)
    _insert(con, "ranking_items", items, schemas.NEW_RANKING_ITEMS)


def insert_run_events(
    con: duckdb.DuckDBPyConnection, event_ids: Iterable[str], *, run_id: str
) -> None:
    """List events as used by a run."""
    rows = [(event_id,) for event_id in event_ids]
    _insert(con, "run_events", rows, schemas.RUN_EVENTS, run_id=run_id)


def insert_quarantine(
    con: duckdb.DuckDBPyConnection, refused: Sequence[Refused], *, source: str, run_id: str
) -> None:
    """Set refused lines aside, or count them again."""
    rows = [_quarantine_row(one) for one in refused]
    origin = {"source": source, "run_id": run_id}
    _insert(con, "quarantine", rows, schemas.NEW_QUARANTINE, **origin)


def _find(
    con: duckdb.DuckDBPyConnection,
    name: str,
    parameters: Mapping[str, str] | None = None,
    **wanted: Iterable[str | None],
) -> list[Any]:
    distinct = {column: list(dict.fromkeys(values)) for column, values in wanted.items()}
    con.register("wanted", pl.DataFrame(distinct, schema=dict.fromkeys(distinct, pl.String)))
    try:
        return con.execute(load(f"ledger/{name}"), dict(parameters or {})).fetchall()
    finally:
        con.unregister("wanted")


def _insert(
    con: duckdb.DuckDBPyConnection,
    what: str,
    rows: Sequence[tuple[Any, ...]],
    schema: pl.Schema,
    **parameters: str,
) -> None:
    if not rows:
        return
    frame_name = what if what.startswith("run_") else f"new_{what}"
    con.register(frame_name, pl.DataFrame(rows, schema=schema, orient="row"))
    try:
        con.execute(load(f"ledger/insert_{what}"), parameters)
    finally:
        con.unregister(frame_name)


def _texts(rows: Iterable[_Row], field: str) -> list[str]:
    return [value for row in rows if isinstance(value := row.get(field), str)]


def _set_row(one: ResponseSet) -> tuple[Any, ...]:
    return (
        one.set_id,
        one.prompt_id,
        len(one.responses),
        one.purpose,
        one.retest_of,
        one.guideline_version,
        one.campaign,
        one.count_words,
        one.shown_sha256,
        one.content_sha256,
    )


def _set_items(sets: Sequence[ResponseSet]) -> list[tuple[str, str, str]]:
    return [
        (one.set_id, response.response_id, response.generator)
        for one in sets
        for response in one.responses
    ]


def _ranking_row(one: Ranking) -> tuple[Any, ...]:
    return (
        one.event_id,
        one.set_id,
        one.annotator_id,
        one.revision,
        one.supersedes,
        one.outcome,
        one.coverage,
        one.skip_reason,
        one.active_ms,
        one.started_at,
        one.submitted_at,
        one.ui_version,
    )


def _ranking_items(one: Ranking) -> list[tuple[Any, ...]]:
    return [
        (
            one.event_id,
            response_id,
            one.tiers.get(response_id),
            position,
            one.quality.get(response_id),
            one.flags.get(response_id, []),
        )
        for position, response_id in enumerate(one.display_order, start=1)
    ]


def _quarantine_row(one: Refused) -> tuple[Any, ...]:
    text = one.line.raw.decode("utf-8", "replace").replace("\x00", "\ufffd")
    return (
        sha256_bytes(one.line.raw),
        one.error.code,
        one.line.number,
        one.event_id,
        one.error.field,
        one.error.message,
        text,
        one.is_held,
    )
