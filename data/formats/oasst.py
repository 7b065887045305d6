"""OpenAssistant message trees -> prompts.jsonl, sft.jsonl, sets.jsonl and rankings.jsonl.

    python -m data.formats.oasst TREES.jsonl OUT_DIR

Each group of sibling replies of which at least two carry a rank becomes a set, with its dialogue as
the prompt; rank 0 is the best. A sibling without a rank, deleted, blank or equal to a better one is
left out of the set; of more than nine the best nine stay. The best reply of each set is an SFT row,
and so is the first reply of a group that has fewer than two ranks, which its reviewers let pass.
A blank turn is left out with all that follows it. The tree is the family; trees that begin with the
same text are one family.

Omitted on purpose: ranks of the users' own turns (they say nothing about a policy), labels, emojis.

References:
    Koepf et al. 2023, OpenAssistant Conversations, arXiv:2304.07327; message trees as exported by
    https://github.com/LAION-AI/Open-Assistant.
"""

import json
import sys
import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError
from data.families import normalise
from data.fields import require_id, require_list, require_text, wrong_type
from data.identity import canonical_json, prompt_id, response_id, set_id
from data.jsonl import Limits, RowError, input_error, read_objects
from data.messages import Message
from data.sets import MAX_RESPONSES, MIN_RESPONSES

# A tree is one line: the largest published ones pass the limits of a row.
TREE_LIMITS = Limits(line_bytes=16 * 2**20, depth=256)
ANNOTATOR = "oasst-consensus"
_TIME = "2023-01-01T00:00:00+00:00"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/LAION-AI/Open-Assistant")
_ROLES = {"prompter": "user", "assistant": "assistant"}

_Row = dict[str, Any]


class Files(NamedTuple):
    """Rows of the four files."""

    prompts: list[_Row]
    sft: list[_Row]
    sets: list[_Row]
    rankings: list[_Row]


class _Reply(NamedTuple):
    text: str
    rank: int | None
    generator: str


def convert(trees: Path) -> Files:
    """Read message trees.

    Args:
        trees: JSONL, one tree per line.

    Returns:
        Rows in the order of the file.

    Raises:
        InputError: At the first line that is no message tree.
    """
    files = Files([], [], [], [])
    families: dict[str, str] = {}
    seen: set[str] = set()
    for number, tree in read_objects(trees, limits=TREE_LIMITS):
        try:
            groups = list(_groups(tree))
            tree_id = require_id(_with(tree, "message_tree_id"), "message_tree_id")
        except RowError as error:
            raise input_error(trees, number, error) from None
        family = families.setdefault(normalise(tree["prompt"]["text"]), tree_id)
        for messages, replies in groups:
            _add_group(files, messages, replies, family, seen)
    return files


def write(files: Files, out: Path) -> None:
    """Write the rows of each file to `out`, a directory that is made when missing."""
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in files._asdict().items():
        lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
        text = "".join(f"{line}\n" for line in lines)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8")


def _groups(tree: _Row) -> Iterator[tuple[list[Message], list[_Reply]]]:
    """Yield each dialogue that ends with the user, with the replies to it, depth first."""
    stack: list[tuple[_Row, list[Message], str]] = [(_with(tree, "prompt"), [], "prompt")]
    while stack:
        holder, history, path = stack.pop()
        node = holder["prompt"] if path == "prompt" else holder
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


def _with(row: _Row, field: str) -> _Row:
    if field not in row:
        raise RowError("MISSING_FIELD", field, f"missing: {field}")
    return row


def _message(node: object, path: str) -> Message:
    if not isinstance(node, dict):
        raise wrong_type(path, "an object", node)
    role = _ROLES.get(require_text(_with(node, "role"), "role"))
    if role is None:
        raise RowError("BAD_MESSAGES", f"{path}.role", "role must be prompter or assistant")
    return {"role": role, "content": require_text(_with(node, "text"), "text")}


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


def _add_group(
    files: Files, messages: list[Message], replies: list[_Reply], family: str, seen: set[str]
) -> None:
    ranked = _distinct(replies)[:MAX_RESPONSES]
    if len(ranked) < MIN_RESPONSES:
        if replies:
            files.sft.append({"messages": messages, "response": replies[0].text, "family": family})
        return
    files.sft.append({"messages": messages, "response": ranked[0].text, "family": family})
    prompt = prompt_id(messages)
    if prompt not in seen:
        files.prompts.append({"prompt_id": prompt, "messages": messages, "family": family})
        seen.add(prompt)
    shown = [reply for reply in replies if reply in ranked]
    ids = {reply: response_id(prompt, reply.text) for reply in shown}
    name = set_id(prompt, ids.values())
    if name in seen:
        return
    seen.add(name)
    files.sets.append(_set_row(name, prompt, messages, ids))
    files.rankings.append(_ranking_row(name, ids, ranked))


def _distinct(replies: list[_Reply]) -> list[_Reply]:
    """Return the ranked replies, best first, without those equal to a better one."""
    best: dict[str, _Reply] = {}
    ranked = [reply for reply in replies if reply.rank is not None]
    for reply in sorted(ranked, key=lambda one: one.rank or 0):
        best.setdefault(unicodedata.normalize("NFC", reply.text.strip()), reply)
    return list(best.values())


def _set_row(name: str, prompt: str, messages: list[Message], ids: dict[_Reply, str]) -> _Row:
    return {
        "schema": "set/1",
        "set_id": name,
        "prompt_id": prompt,
        "messages": messages,
        "responses": [
            {"response_id": one, "text": reply.text, "generator": reply.generator}
            for reply, one in ids.items()
        ],
        "guideline_version": "oasst",
        "campaign": "oasst",
    }


def _ranking_row(name: str, ids: dict[_Reply, str], ranked: list[_Reply]) -> _Row:
    ranks = sorted({reply.rank for reply in ranked if reply.rank is not None})
    tiers = {ids[reply]: ranks.index(reply.rank) + 1 for reply in ranked if reply.rank is not None}
    row = {
        "schema": "ranking/1",
        "set_id": name,
        "annotator_id": ANNOTATOR,
        "revision": 1,
        "outcome": "ranked",
        "coverage": "full",
        "tiers": tiers,
        "display_order": list(ids.values()),
        "touched": True,
        "started_at": _TIME,
        "submitted_at": _TIME,
        "active_ms": 0,
        "ui_version": "import/oasst",
    }
    return {**row, "event_id": str(uuid.uuid5(_NAMESPACE, canonical_json(row)))}


def main(arguments: list[str]) -> int:
    """Convert a file, say what was made, and return the exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m data.formats.oasst TREES.jsonl OUT_DIR\n")
        return 2
    trees, out = map(Path, arguments)
    try:
        files = convert(trees)
        write(files, out)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{out}: cannot be written ({error.strerror})\n")
        return 2
    for name, rows in files._asdict().items():
        sys.stdout.write(f"{out / name}.jsonl: {len(rows)} rows\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
