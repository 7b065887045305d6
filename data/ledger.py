"""Statements of the ingest about sets and runs: what the ledger knows, what is added to it.

Omitted on purpose: rankings (data.ledger_rankings), and transactions, which the caller holds.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import orjson
import polars as pl

from data import schemas
from data.errors import InputError
from data.frames import find_rows, texts_of, write_rows
from data.identity import canonical_json
from data.inbox.events import Head
from data.intake import inbox_of
from data.queries import load
from data.sets import KnownSets, ResponseSet, RunPrompts, run_prompt


def read_run_prompts(path: Path) -> RunPrompts:
    """Read prompts.parquet: what the sets of a run are checked against."""
    columns = ["prompt_id", "family_id", "split", "messages"]
    frame = pl.read_parquet(path, columns=columns, glob=False)
    prompts = RunPrompts(by_id={}, by_norm={})
    for prompt_id, family_id, split, messages in frame.iter_rows():
        prompt = run_prompt(prompt_id, family_id, split, orjson.loads(messages))
        prompts.by_id[prompt_id] = prompt
        prompts.by_norm.setdefault(prompt.norm_sha256, prompt)
    return prompts


def forget_run(con: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Drop the lists of what a run uses, so that an ingest can be repeated."""
    for name in ("delete_run_events", "delete_run_held", "delete_run_set_items"):
        con.execute(load(f"ledger/{name}"), {"run_id": run_id})


def ingested_head(con: duckdb.DuckDBPyConnection, source: str) -> Head | None:
    """Return the end of an inbox as it was at the last ingest from it, None before the first.

    Args:
        con: The store.
        source: The inbox as a source, see data.intake.
    """
    row = con.execute(load("ledger/find_head"), {"source": source}).fetchone()
    return Head(inbox_id=inbox_of(source), seq=row[0], sha256=row[1]) if row else None


def require_inbox(con: duckdb.DuckDBPyConnection, source: str) -> None:
    """Check that a store which has taken in an inbox is not given a new one in its place.

    The same answers, given once more, would be conflicts with those that the store has.

    Args:
        con: The store.
        source: The inbox as a source, see data.intake.

    Raises:
        InputError: The store knows another inbox, and not this one.
    """
    known = [str(row[0]) for row in con.execute(load("ledger/find_inboxes")).fetchall()]
    if known and source not in known:
        raise InputError(
            f"the store has taken in rankings of the inbox {inbox_of(known[0])[:8]}, and this is "
            f"the new inbox {inbox_of(source)[:8]}. They go together: put the inbox back that was "
            "there, or move the store (store.duckdb) away too"
        )


def put_head(con: duckdb.DuckDBPyConnection, source: str, head: Head) -> None:
    """Note how far an inbox was taken in."""
    con.execute(
        load("ledger/put_head"),
        {"source": source, "last_seq": head.seq, "tail_sha256": head.sha256},
    )


def find_known_sets(
    con: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]], prompts: RunPrompts
) -> KnownSets:
    """Return what a chunk of set rows is checked against."""
    known = KnownSets(prompts=prompts)
    known.stored_prompts.update(
        find_rows(con, "find_prompts", prompt_id=texts_of(rows, "prompt_id"))
    )
    known.stored_sets.update(find_rows(con, "find_sets", set_id=texts_of(rows, "set_id")))
    items = [
        item
        for row in rows
        if isinstance(responses := row.get("responses"), list)
        for item in responses
        if isinstance(item, dict)
    ]
    for response_id, prompt_id, text_sha256 in find_rows(
        con, "find_responses", response_id=texts_of(items, "response_id")
    ):
        known.stored_responses[response_id] = (prompt_id, text_sha256)
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
    texts = {response.response_id: response.text for one in accepted for response in one.responses}
    response_rows = [
        (response_id, *known.stored_responses[response_id], text)
        for response_id, text in texts.items()
    ]
    write_rows(con, "insert_prompts", prompt_rows, schemas.NEW_PROMPTS)
    write_rows(con, "insert_responses", response_rows, schemas.NEW_RESPONSES)
    write_rows(con, "insert_sets", [_set_row(one) for one in accepted], schemas.NEW_SETS)
    write_rows(con, "insert_set_items", _set_items(accepted), schemas.SET_ITEMS)


def insert_run_sets(
    con: duckdb.DuckDBPyConnection, used: Sequence[ResponseSet], *, run_id: str
) -> None:
    """List sets as used by a run, with what wrote each response there."""
    write_rows(con, "insert_run_set_items", _set_items(used), schemas.SET_ITEMS, run_id=run_id)


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
