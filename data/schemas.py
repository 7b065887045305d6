"""Polars schemas of the frames between the parser and the store, one constant each.

The schemas of a corpus (prompts, SFT, pretraining) stand in data.corpus_frames.
"""

from typing import Final

import polars as pl

NEW_PROMPTS: Final = pl.Schema(
    {
        "prompt_id": pl.String,
        "messages": pl.String,
        "content_sha256": pl.String,
        "norm_sha256": pl.String,
    }
)

NEW_RESPONSES: Final = pl.Schema(
    {
        "response_id": pl.String,
        "prompt_id": pl.String,
        "text_sha256": pl.String,
        "text": pl.String,
    }
)

NEW_SETS: Final = pl.Schema(
    {
        "set_id": pl.String,
        "prompt_id": pl.String,
        "k": pl.UInt8,
        "purpose": pl.String,
        "retest_of": pl.String,
        "guideline_version": pl.String,
        "campaign": pl.String,
        "count_words": pl.UInt32,
        "shown_sha256": pl.String,
        "content_sha256": pl.String,
    }
)

SET_ITEMS: Final = pl.Schema(
    {"set_id": pl.String, "response_id": pl.String, "generator": pl.String}
)

NEW_ANNOTATORS: Final = pl.Schema({"annotator_id": pl.String, "role": pl.String})

NEW_EVENTS: Final = pl.Schema(
    {
        "event_id": pl.String,
        "payload_sha256": pl.String,
        "source_seq": pl.Int64,
        "payload": pl.String,
    }
)

RUN_EVENTS: Final = pl.Schema({"event_id": pl.String})

ANSWERS_KEPT_OUT: Final = pl.Schema(
    {"set_id": pl.String(), "annotator_id": pl.String(), "revision": pl.Int64()}
)

NEW_RANKINGS: Final = pl.Schema(
    {
        "ranking_id": pl.String(),
        "set_id": pl.String(),
        "annotator_id": pl.String(),
        "revision": pl.UInt16(),
        "supersedes": pl.String(),
        "outcome": pl.String(),
        "coverage": pl.String(),
        "skip_reason": pl.String(),
        "active_ms": pl.UInt32(),
        "started_at": pl.Datetime("us", "UTC"),
        "submitted_at": pl.Datetime("us", "UTC"),
        "ui_version": pl.String(),
    }
)

NEW_RANKING_ITEMS: Final = pl.Schema(
    {
        "ranking_id": pl.String,
        "response_id": pl.String,
        "tier": pl.UInt8,
        "display_pos": pl.UInt8,
        "quality": pl.UInt8,
        "flags": pl.String,
    }
)

NEW_QUARANTINE: Final = pl.Schema(
    {
        "raw_sha256": pl.String,
        "reason": pl.String,
        "source_seq": pl.Int64,
        "event_id": pl.String,
        "field": pl.String,
        "detail": pl.String,
        "raw": pl.String,
        "is_held": pl.Boolean,
        "resolution": pl.String,
        "set_id": pl.String,
        "annotator_id": pl.String,
        "revision": pl.UInt16,
    }
)

HELD_LINES: Final = pl.Schema(
    {"source_seq": pl.Int64, "decision_id": pl.String, "resolution": pl.String}
)
