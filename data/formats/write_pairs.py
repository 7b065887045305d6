"""Pairs of a run as JSON lines for other trainers: TRL preference rows, or HH-RLHF transcripts.

One file a split, named so that `datasets` finds the splits of the folder. Both forms carry columns
that TRL ignores: group (the prompt: its pairs belong into one batch), weight, tier_gap, annotator
and pair_id.

Omitted on purpose: TRL's column margin. A gap between tiers is no strength of preference.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from data.corpus_frames import decode_messages
from data.formats.files import write_file
from data.formats.hh_rlhf import render_transcript
from data.formats.write_tasks import Written
from data.identity import sha256_text
from data.messages import Message

SPLITS = ("train", "validation", "test")

_Row = dict[str, Any]
_Write = Callable[[list[Message], str, str], _Row | None]


def write_trl(pairs: Path, folder: Path) -> Written:
    """Write conversational rows with an explicit prompt.

    Args:
        pairs: Directory of a build_pairs artifact.
        folder: Where train.jsonl, validation.jsonl and test.jsonl go.
    """
    return _write(pairs, folder, _trl_row)


def write_hh_rlhf(pairs: Path, folder: Path) -> Written:
    """Write pairs of transcripts; dialogues that have none in this form are left out.

    Args:
        pairs: Directory of a build_pairs artifact.
        folder: Where train.jsonl, validation.jsonl and test.jsonl go.
    """
    return _write(pairs, folder, _hh_row)


def _trl_row(messages: list[Message], chosen: str, rejected: str) -> _Row:
    return {
        "prompt": messages,
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def _hh_row(messages: list[Message], chosen: str, rejected: str) -> _Row | None:
    texts = [render_transcript(messages, reply) for reply in (chosen, rejected)]
    if None in texts:
        return None
    return {"chosen": texts[0], "rejected": texts[1]}


def _write(pairs: Path, folder: Path, write: _Write) -> Written:
    frame = pl.read_parquet(pairs / "pairs.parquet", glob=False)
    prompts = pl.read_parquet(pairs / "prompts.parquet", glob=False)
    responses = pl.read_parquet(pairs / "responses.parquet", glob=False)
    messages = {name: decode_messages(it) for name, it in prompts["prompt_id", "messages"].rows()}
    texts: dict[str, str] = dict(responses["response_id", "text"].rows())
    count, left_out = 0, []
    for split in SPLITS:
        lines = []
        for pair in frame.filter(pl.col("split") == split).iter_rows(named=True):
            chosen, rejected = texts[pair["chosen_id"]], texts[pair["rejected_id"]]
            row = write(messages[pair["prompt_id"]], chosen, rejected)
            if row is None:
                reason = "a turn that this form would read as another"
                left_out.append(f"{pair['chosen_id']} over {pair['rejected_id']}: {reason}")
                continue
            lines.append({**row, **_extra(pair)})
        file = folder / f"{split}.jsonl"
        if lines:
            write_file(file, _json_lines(lines))
        else:
            # One of an earlier export would be loaded beside the others, as a split of this one.
            file.unlink(missing_ok=True)
        count += len(lines)
    return Written(count, tuple(left_out))


def _extra(pair: Mapping[str, Any]) -> _Row:
    names = f"{pair['ranking_id']}|{pair['chosen_id']}|{pair['rejected_id']}"
    return {
        "group": pair["prompt_id"],
        "weight": pair["weight"],
        "tier_gap": pair["tier_gap"],
        "annotator": pair["annotator_id"],
        "pair_id": "pair_" + sha256_text(names)[:16],
    }


def _json_lines(rows: list[_Row]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"
