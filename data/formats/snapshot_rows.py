"""Sets and rankings of a finished run as rows of ours.

Sets come from the tables of the snapshot, rankings as they were received: the snapshot has no
times, and a row with the same id and other content would be a conflict.

Omitted on purpose: what was held or set aside; it is not part of the run.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from data.corpus_frames import decode_messages
from data.formats.door import new_rankings
from data.formats.folder import facts_of
from data.identity import canonical_json
from data.jsonl import RowError, parse_object, read_lines
from data.rankings import Ranking, read_ranking
from data.sets import ResponseSet, parse_set

_Row = dict[str, Any]


def read_sets(snapshot: Path, *, guideline_version: str, campaign: str) -> list[ResponseSet]:
    """Return the sets of a run, in the order of their ids.

    Args:
        snapshot: Directory of a collect_rankings artifact.
        guideline_version: Of the run's campaign.
        campaign: Its name.
    """
    tables = {
        name: pl.read_parquet(snapshot / f"{name}.parquet", glob=False)
        for name in ("prompt", "response", "ranking_set", "ranking_set_item")
    }
    messages = {
        name: decode_messages(it) for name, it in tables["prompt"]["prompt_id", "messages"].rows()
    }
    responses = {
        name: {"response_id": name, "text": text, "generator": generator}
        for name, text, generator in tables["response"]["response_id", "text", "generator"].rows()
    }
    items: dict[str, list[_Row]] = {}
    for set_id, name in tables["ranking_set_item"]["set_id", "response_id"].rows():
        items.setdefault(set_id, []).append(responses[name])
    sets = []
    columns = ("set_id", "prompt_id", "purpose", "retest_of")
    for set_id, prompt, purpose, retest_of in tables["ranking_set"].select(columns).iter_rows():
        row = {
            "schema": "set/1",
            "set_id": set_id,
            "prompt_id": prompt,
            "messages": messages[prompt],
            "responses": items[set_id],
            "guideline_version": guideline_version,
            "campaign": campaign,
            "purpose": purpose,
        }
        sets.append(parse_set(row if retest_of is None else {**row, "retest_of": retest_of}))
    return sets


def read_rankings(snapshot: Path, sets: list[ResponseSet], *, now: datetime) -> list[Ranking]:
    """Return the rankings that the run accepted, in the order in which they were received."""
    ids = pl.read_parquet(snapshot / "ranking.parquet", glob=False)["ranking_id"]
    accepted = set(ids.to_list())
    known = new_rankings(now)
    known.sets = {one.set_id: facts_of(one) for one in sets}
    rankings = []
    for line in read_lines(snapshot / "rankings.jsonl"):
        try:
            ranking = read_ranking(parse_object(line.raw, size=line.size), known)
        except RowError:
            continue
        known.add(ranking)
        if ranking.event_id in accepted:
            rankings.append(ranking)
    return rankings


def set_row(one: ResponseSet) -> str:
    """Return a set as a line of a set/1 file."""
    row: _Row = {
        "schema": "set/1",
        "set_id": one.set_id,
        "prompt_id": one.prompt_id,
        "messages": one.messages,
        "responses": [
            {"response_id": it.response_id, "text": it.text, "generator": it.generator}
            for it in one.responses
        ],
        "guideline_version": one.guideline_version,
        "campaign": one.campaign,
    }
    if one.purpose != "main":
        row["purpose"] = one.purpose
    if one.retest_of is not None:
        row["retest_of"] = one.retest_of
    return canonical_json(row) + "\n"
