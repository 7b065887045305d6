"""Prompts, sets and rankings for the tests of the ledger."""

import json
import uuid
from typing import Any

from data import identity


def make_prompts(texts: list[str]) -> list[dict[str, Any]]:
    rows = []
    for index, text in enumerate(texts):
        messages = [{"role": "user", "content": text}]
        rows.append(
            {
                "prompt_id": identity.prompt_id(messages),
                "family_id": f"f{index}",
                "split": "train",
                "messages": identity.canonical_json(messages),
                "stratum": "all",
            }
        )
    return rows


def make_set(prompt: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    responses = [
        {
            "response_id": identity.response_id(prompt["prompt_id"], text),
            "text": text,
            "generator": "sft",
        }
        for text in texts
    ]
    ids = [one["response_id"] for one in responses]
    return {
        "schema": "set/1",
        "set_id": identity.set_id(prompt["prompt_id"], ids),
        "prompt_id": prompt["prompt_id"],
        "messages": json.loads(prompt["messages"]),
        "responses": responses,
        "guideline_version": "1",
        "campaign": "test",
    }


def make_ranking(
    one: dict[str, Any], tiers: list[int | None], annotator: str = "ann", **changes: Any
) -> dict[str, Any]:
    ids = [response["response_id"] for response in one["responses"]]
    row = {
        "schema": "ranking/1",
        "set_id": one["set_id"],
        "annotator_id": annotator,
        "revision": 1,
        "outcome": "ranked",
        "coverage": "full",
        "tiers": dict(zip(ids, tiers, strict=True)),
        "display_order": ids,
        "touched": True,
        "started_at": "2026-11-22T11:50:00+00:00",
        "submitted_at": "2026-11-22T11:52:00+00:00",
        "active_ms": 96000,
        "ui_version": "test/1",
        **changes,
    }
    return {"event_id": str(uuid.uuid5(uuid.NAMESPACE_URL, identity.canonical_json(row))), **row}
