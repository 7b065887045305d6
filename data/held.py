"""Held rows of a run, ready to be shown: what the annotator said of which texts, and why it waits.

Omitted on purpose: who wrote the responses. Whoever decides on a ranking judges it blind, too.
"""

import json
from typing import Any

import duckdb

from data.jsonl import parse_object
from data.queries import load


def held_rows(
    con: duckdb.DuckDBPyConnection, run_id: str, *, limit: int = 200
) -> list[dict[str, Any]]:
    """Return the lines of a run that wait for a decision or were decided, the undecided first.

    Args:
        con: The store.
        run_id: The run.
        limit: At most this many; who decides on some sees the next ones after the next ingest.

    Returns:
        JSON values for each: event_id (the id to decide on), annotator_id, set_id, revision,
        reason, field, detail, resolution (None, accepted or discarded), messages, active_ms,
        responses (response_id, text, tier, quality; as the annotator saw them).
    """
    rows = con.execute(load("ledger/find_held_lines"), {"run_id": run_id, "max_rows": limit})
    names = [column[0] for column in rows.description or ()]
    return [_shown(dict(zip(names, row, strict=True))) for row in rows.fetchall()]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    ranking = parse_object(row.pop("raw").encode("utf-8"))
    texts = {one["response_id"]: one["text"] for one in row.pop("responses")}
    return {
        "event_id": row.pop("decision_id"),
        **row,
        "messages": json.loads(row["messages"]),
        "active_ms": ranking["active_ms"],
        "responses": [
            {
                "response_id": response_id,
                "text": texts[response_id],
                "tier": ranking.get("tiers", {}).get(response_id),
                "quality": ranking.get("quality", {}).get(response_id),
            }
            for response_id in ranking["display_order"]
        ],
    }
