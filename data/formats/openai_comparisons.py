"""OpenAI's comparisons of summaries (summarize_from_feedback): two texts, a choice, a worker.

The prompt is the post as those models read it. Workers keep their ids.

Omitted on purpose: the published split, which is per row although posts repeat (we split by
prompt), the confidence, and the axis ratings of single summaries.

References:
    Stiennon et al. 2020, Learning to summarize from human feedback, arXiv:2009.01325.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.fields import shorten
from data.formats.items import (
    UNKNOWN,
    Answer,
    Format,
    Item,
    ReadOptions,
    field_of,
    object_of,
    objects_of,
    read_items,
    text_of,
)
from data.formats.preferences import pair_answer
from data.formats.source import Record
from data.jsonl import RowError

ANNOTATOR = "openai-comparisons"


def _prompt(info: Mapping[str, Any]) -> str:
    """The post or the article as a prompt."""
    if isinstance(info.get("article"), str):
        return f"Article: {info['article']}\n\nTL;DR:"
    post = text_of(info, "post", "info")
    parts = [f"SUBREDDIT: r/{info['subreddit']}"] if isinstance(info.get("subreddit"), str) else []
    if isinstance(info.get("title"), str):
        parts.append(f"TITLE: {info['title']}")
    return "\n\n".join([*parts, f"POST: {post}", "TL;DR:"])


def _convert(row: Mapping[str, Any], annotator: str) -> Answer:
    prompt = _prompt(object_of(field_of(row, "info"), "info"))
    summaries = objects_of(row, "summaries")
    texts = [text_of(one, "text", f"summaries.{i}") for i, one in enumerate(summaries)]
    choice = field_of(row, "choice")
    if len(texts) != 2 or type(choice) is not int or choice not in (0, 1):
        message = f"choice is {shorten(choice)} for {len(texts)} summaries"
        raise RowError("BAD_CHOICE", "choice", message)
    policies = [
        policy if isinstance(policy := one.get("policy"), str) and policy else UNKNOWN
        for one in summaries
    ]
    worker = row.get("worker")
    return pair_answer(
        [{"role": "user", "content": prompt}],
        texts[choice],
        texts[1 - choice],
        annotator=worker if isinstance(worker, str) and worker else annotator,
        generators=(policies[choice], policies[1 - choice]),
    )


def _matches(row: Mapping[str, Any]) -> bool:
    return {"info", "summaries", "choice"} <= row.keys()


def _read(path: Path, options: ReadOptions) -> Iterator[Item]:
    def convert(record: Record) -> Iterator[Answer]:
        yield _convert(record.row, options.annotator or ANNOTATOR)

    return read_items(path, convert)


FORMAT = Format(
    "openai-comparisons",
    "OpenAI summarize_from_feedback: comparisons, JSON lines",
    _matches,
    _read,
    is_pairs=True,
)
