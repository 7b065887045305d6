"""OpenAssistant message trees, one tree a line: ranked siblings become sets with a ranking.

Each group of sibling replies of which at least two carry a rank becomes a set, with its dialogue as
the prompt; rank 0 is the best. A sibling without a rank, deleted, blank or equal to a better one is
left out of the set; of more than nine the best nine stay. The first reply of a group that has fewer
than two ranks is an SFT row: its reviewers let it pass. A blank turn is left out with all that
follows it.

Omitted on purpose: ranks of the users' own turns (they say nothing about a policy), labels, emojis.

References:
    Koepf et al. 2023, OpenAssistant Conversations, arXiv:2304.07327; message trees as exported by
    https://github.com/LAION-AI/Open-Assistant.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from data.fields import require_id, require_list, require_text, wrong_type
from data.formats.items import (
    Answer,
    Candidate,
    Content,
    Demonstration,
    Format,
    Item,
    ReadOptions,
    dense_tiers,
    field_of,
    read_items,
)
from data.formats.source import Record
from data.jsonl import RowError
from data.messages import Message
from data.sets import MAX_RESPONSES, MIN_RESPONSES

ANNOTATOR = "oasst-consensus"
_TIME = "2023-01-01T00:00:00+00:00"
_ROLES = {"prompter": "user", "assistant": "assistant"}

_Row = dict[str, Any]


class _Reply(NamedTuple):
    text: str
    rank: int | None
    generator: str


def convert(tree: _Row, annotator: str = ANNOTATOR) -> Iterator[Content]:
    """Yield what each group of replies of a tree says.

    Raises:
        RowError: If it is no message tree.
    """
    field_of(tree, "message_tree_id")
    require_id(tree, "message_tree_id")
    for messages, replies in list(_groups(tree)):
        ranked = _distinct(replies)[:MAX_RESPONSES]
        if len(ranked) >= MIN_RESPONSES:
            yield _answer(messages, replies, ranked, annotator)
        elif replies:
            yield Demonstration(messages=messages, response=replies[0].text)


def _groups(tree: _Row) -> Iterator[tuple[list[Message], list[_Reply]]]:
    """Yield each dialogue that ends with the user, with the replies to it, depth first."""
    root = field_of(tree, "prompt")
    stack: list[tuple[_Row, list[Message], str]] = [(root, [], "prompt")]
    while stack:
        node, history, path = stack.pop()
        messages = [*history, _message(node, path)]
        if not messages[-1]["content"].strip():
            continue
        children = require_list({"replies": [], **node}, "replies")
        if messages[-1]["role"] == "user":
            yield (
                messages,
                [
                    reply
                    for index, child in enumerate(children)
                    if (reply := _reply(child, f"{path}.replies.{index}")) is not None
                ],
            )
        nodes = [(child, messages, f"{path}.replies.{i}") for i, child in enumerate(children)]
        stack.extend(reversed(nodes))


def _message(node: object, path: str) -> Message:
    if not isinstance(node, dict):
        raise wrong_type(path, "an object", node)
    field_of(node, "role"), field_of(node, "text")
    role = _ROLES.get(require_text(node, "role"))
    if role is None:
        raise RowError("BAD_MESSAGES", f"{path}.role", "role must be prompter or assistant")
    return {"role": role, "content": require_text(node, "text")}


def _reply(node: object, path: str) -> _Reply | None:
    """Return an assistant's reply that can be shown, None for anything else."""
    message = _message(node, path)
    if not isinstance(node, dict) or message["role"] != "assistant":
        return None
    rank = node.get("rank")
    if rank is not None and type(rank) is not int:
        raise wrong_type(f"{path}.rank", "an integer or null", rank)
    if node.get("deleted") is True or not message["content"].strip():
        return None
    generator = "oasst/model" if node.get("synthetic") is True else "oasst/person"
    return _Reply(message["content"], rank, generator)


def _distinct(replies: list[_Reply]) -> list[_Reply]:
    """Return the ranked replies, best first, without those equal to a better one."""
    best: dict[str, _Reply] = {}
    ranked = [reply for reply in replies if reply.rank is not None]
    for reply in sorted(ranked, key=lambda one: one.rank or 0):
        best.setdefault(unicodedata.normalize("NFC", reply.text.strip()), reply)
    return list(best.values())


def _answer(
    messages: list[Message], replies: list[_Reply], ranked: list[_Reply], annotator: str
) -> Answer:
    shown = [reply for reply in replies if reply in ranked]
    ranks = {reply.text: float(reply.rank or 0) for reply in ranked}
    return Answer(
        annotator=annotator,
        messages=messages,
        candidates=tuple(Candidate(it.text, it.text, it.generator) for it in dict.fromkeys(shown)),
        tiers=dense_tiers(ranks, is_higher_better=False),
        is_order_known=False,
        started_at=_TIME,
        submitted_at=_TIME,
    )


def _matches(row: Mapping[str, Any]) -> bool:
    return {"message_tree_id", "prompt"} <= row.keys()


def _read(path: Path, options: ReadOptions) -> Iterator[Item]:
    def convert_record(record: Record) -> Iterator[Content]:
        return convert(record.row, options.annotator or ANNOTATOR)

    return read_items(path, convert_record)


FORMAT = Format("oasst", "OpenAssistant message trees, JSON lines", _matches, _read)
