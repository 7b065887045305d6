"""Rows of every format, right and wrong, each made of one number: the same number, the same row."""

import csv
import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

from data.formats.spreadsheet import COLUMNS
from data.identity import canonical_json

Row = dict[str, Any]

PARTS = (
    "a",
    "the sky",
    "好的",
    "请解释。",
    "👩‍👩‍👧‍👦",
    "🇩🇪",
    "e\u0301",
    "é",
    "\u202e",
    "\u2066x\u2069",
    "\n",
    "\r\n",
    " ",
    "\t",
    '"',
    "\\",
    "'",
    "=1",
    "+",
    "\u2028",
    "\ufeff",
    "\x85",
    ",",
    "<b>",
    "\U00010000",
    "\n\nHuman:",
    "\n\nAssistant: ",
    "0",
)
JUNK: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2,
    1e308,
    2**62,
    "",
    " ",
    "x",
    [],
    {},
    [[]],
    ["a", "a"],
    {"a": 1},
    "\x00",
    "\ud800",
    0.5,
    "1",
)
GRADES = ("good", "fine", "fair", "poor", "好", "不错", "一般", "差")


def text(rng: Random) -> str:
    """Mostly something to read, now and then blank."""
    return "".join(rng.choices(PARTS, k=rng.choice((0, 1, 2, 3, 5, 8)))) or rng.choice(("", "q"))


def few(rng: Random) -> str:
    """One of few texts, so that rows of a file speak of the same thing."""
    return rng.choice(("a", "b", "c", "好", "e\u0301", "é", "d\n"))


def some(rng: Random) -> str:
    return few(rng) if rng.random() < 0.5 else text(rng)


def messages(rng: Random) -> list[Row]:
    turns = [
        {"role": "assistant" if i % 2 else "user", "content": some(rng)}
        for i in range(rng.choice((1, 1, 1, 3)))
    ]
    return [{"role": "system", "content": text(rng)}, *turns] if rng.random() < 0.1 else turns


def reply(rng: Random) -> list[Row]:
    return [{"role": "assistant", "content": some(rng)}]


def transcript(turns: list[Row]) -> str:
    names = {"user": "Human", "assistant": "Assistant", "system": "Human"}
    return "".join(f"\n\n{names[it['role']]}: {it['content']}" for it in turns)


def hh_row(rng: Random) -> Row:
    turns = messages(rng)
    return {name: transcript(turns + reply(rng)) for name in ("chosen", "rejected")}


def trl_row(rng: Random) -> Row:
    shape = rng.randrange(4)
    more = {"annotator": rng.choice(("w1", "w2"))} if rng.random() < 0.7 else {}
    if shape == 0:
        return {"prompt": some(rng), "chosen": some(rng), "rejected": some(rng), **more}
    if shape == 1:
        start = text(rng)
        return {"chosen": start + some(rng), "rejected": start + some(rng), **more}
    turns = messages(rng)
    if shape == 2:
        return {"prompt": turns, "chosen": reply(rng), "rejected": reply(rng), **more}
    return {"chosen": turns + reply(rng), "rejected": turns + reply(rng), **more}


def llama_row(rng: Random) -> Row:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    turns = [{"from": names[it["role"]], "value": it["content"]} for it in messages(rng)]
    sides = {name: {"from": "gpt", "value": some(rng)} for name in ("chosen", "rejected")}
    return {"conversations": turns, **sides}


def openai_row(rng: Random) -> Row:
    return {
        "info": {"id": "t3", "post": some(rng), "title": some(rng), "subreddit": "r"},
        "summaries": [{"text": some(rng), "policy": "p", "note": None} for _ in range(2)],
        "choice": rng.choice((0, 1, 1, 2)),
        "worker": rng.choice(("w1", "w2", None)),
        "batch": "b",
    }


def ultra_row(rng: Random) -> Row:
    if rng.random() < 0.3:
        turns = messages(rng)
        scores = {name: rng.choice((1, 5.5, 10, 11)) for name in ("score_chosen", "score_rejected")}
        return {"chosen": turns + reply(rng), "rejected": turns + reply(rng), **scores}
    kind = rng.choice(("overall_score", "fine-grained_score", "ratings"))
    completions = [
        {
            "model": f"m{i}",
            "response": some(rng),
            **(
                {"annotations": {"a": {"Rating": rng.choice("12345")}}}
                if kind == "ratings"
                else {kind: rng.choice((1, 2.5, 5))}
            ),
        }
        for i in range(rng.choice((2, 3, 4, 10)))
    ]
    return {"source": "s", "instruction": some(rng), "completions": completions}


def graded_row(rng: Random) -> Row:
    if rng.random() < 0.6:
        return {
            "prompt": few(rng),
            "response": some(rng),
            "grade": rng.choice(GRADES),
            "annotator": few(rng),
        }
    responses = [
        {"text": some(rng), "grade": rng.choice(GRADES)} for _ in range(rng.randrange(1, 5))
    ]
    return {"messages": messages(rng), "responses": responses}


def tree_row(rng: Random) -> Row:
    def node(role: str, depth: int) -> Row:
        other = "prompter" if role == "assistant" else "assistant"
        children = [node(other, depth - 1) for _ in range(rng.randrange(4))] if depth else []
        more = {"rank": rng.choice((0, 1, 2, None))} if role == "assistant" else {}
        return {"text": some(rng), "role": role, "replies": children, **more}

    return {"message_tree_id": "t", "prompt": node("prompter", 3)}


def label_studio_row(rng: Random) -> Row:
    names = [f"r{i}" for i in range(rng.choice((2, 3, 4)))]
    items = [{"id": name, "title": "A", "body": some(rng)} for name in names]
    annotations = []
    for number in range(rng.randrange(3)):
        order = rng.sample(names, len(names))
        shape = rng.randrange(3)
        buckets: dict[str, list[str]] = {"_": []}
        for name in order:
            buckets.setdefault(f"rank_{rng.randrange(1, 4)}", []).append(name)
        ranker: Any = (order, {"rank": order}, buckets)[shape]
        annotations.append(
            {
                "id": number,
                "completed_by": rng.choice((1, {"id": 2})),
                "was_cancelled": rng.random() < 0.1,
                "ground_truth": rng.random() < 0.1,
                "updated_at": "2026-01-02T03:04:05Z",
                "lead_time": 1.5,
                "result": [{"from_name": "rank", "type": "ranker", "value": {"ranker": ranker}}],
            }
        )
    return {"id": 1, "data": {"prompt": some(rng), "items": items}, "annotations": annotations}


def argilla_row(rng: Random) -> Row:
    names = [f"response_{i}" for i in range(rng.choice((2, 3, 4)))]
    responses = [
        {
            "id": str(number),
            "user_id": f"u{number}",
            "status": rng.choice(("submitted", "submitted", "discarded", "draft")),
            "values": {
                "rank": {"value": [{"value": it, "rank": rng.randrange(1, 5)} for it in names]}
            },
        }
        for number in range(rng.randrange(3))
    ]
    fields = {"prompt": some(rng), **{name: some(rng) for name in names}}
    return {"fields": fields, "metadata": {}, "responses": responses}


OUR_TEXTS = ("好的", "e\u0301", "a\n\nb", "=1+1")
OUR_SET = {
    "schema": "set/1",
    "set_id": "s_1",
    "prompt_id": "p_1",
    "messages": [{"role": "user", "content": "问题?\u202e"}],
    "responses": [
        {"response_id": f"r_{i}", "text": it, "generator": "g"} for i, it in enumerate(OUR_TEXTS)
    ],
    "guideline_version": "1",
    "campaign": "c",
}


def own_row(rng: Random) -> Row:
    names = [f"r_{i}" for i in range(4)]
    if rng.random() < 0.3:
        responses = [
            {"response_id": f"x_{rng.randrange(99)}", "text": some(rng), "generator": "g"}
            for _ in range(3)
        ]
        number = str(rng.randrange(99))
        return {
            **OUR_SET,
            "set_id": f"s{number}",
            "prompt_id": f"p{number}",
            "messages": messages(rng),
            "responses": responses,
        }
    return {
        "schema": "ranking/1",
        "event_id": f"0b0f4a56-3a0e-4b0e-9f0a-{rng.randrange(10**12):012}",
        "set_id": "s_1",
        "annotator_id": f"ann_{rng.randrange(50)}",
        "revision": 1,
        "outcome": "ranked",
        "coverage": "full",
        "tiers": {name: rng.randrange(1, 4) for name in names},
        "display_order": rng.sample(names, 4),
        "touched": True,
        "started_at": "2025-05-01T09:00:00+00:00",
        "submitted_at": "2025-05-01T09:00:40+00:00",
        "active_ms": 31000,
        "ui_version": text(rng),
    }


ROWS: dict[str, Callable[[Random], Row]] = {
    "hh-rlhf": hh_row,
    "trl": trl_row,
    "llama-factory": llama_row,
    "openai-comparisons": openai_row,
    "ultrafeedback": ultra_row,
    "graded": graded_row,
    "oasst": tree_row,
    "label-studio": label_studio_row,
    "argilla": argilla_row,
    "ranking/1": own_row,
}


def mutate_tree(row: Any, rng: Random) -> Any:
    """The row with one field dropped, renamed, doubled or replaced by junk."""
    nodes: list[tuple[Any, Any]] = []
    stack = [row]
    while stack:
        node = stack.pop()
        keys = (
            list(node)
            if isinstance(node, dict)
            else range(len(node))
            if isinstance(node, list)
            else ()
        )
        for key in keys:
            nodes.append((node, key))
            stack.append(node[key])
    if not nodes:
        return row
    holder, key = rng.choice(nodes)
    action = rng.randrange(4)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        holder[f"{key}_"] = holder.pop(key)
    elif action == 2 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = rng.choice(JUNK)
    return row


def mutate_bytes(raw: bytes, rng: Random) -> bytes:
    """The line with a byte changed, a piece cut out, a key said twice, or a constant in it."""
    action, at = rng.randrange(6), rng.randrange(len(raw) + 1)
    if action == 0:
        return raw[:at]
    if action == 1:
        return raw[:at] + bytes([rng.randrange(256)]) + raw[at:]
    if action == 2:
        return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
    if action == 3:
        return raw[:at] + raw[at + rng.randrange(20) :]
    if action == 4:
        return raw.replace(b"{", b'{"chosen": 1, "chosen": 2, ', 1)
    return raw.replace(b": ", rng.choice((b": NaN, ", b": [[[", b": 1e999 ", b": \\ud800")), 1)


def line_of(form: str, seed: int, mutation: int) -> bytes:
    """One row of a format: 0, 1 = right, 2 = a wrong field, 3 = wrong bytes."""
    rng = Random(seed)  # noqa: S311
    row = ROWS[form](rng)
    if mutation == 2:
        row = mutate_tree(row, rng)
    is_ascii = rng.random() < 0.3 or "\\ud8" in json.dumps(row)
    raw = json.dumps(row, ensure_ascii=is_ascii).encode()
    return mutate_bytes(raw, rng) if mutation == 3 else raw


def csv_of(seeds: list[tuple[int, int]]) -> bytes:
    """A spreadsheet with one annotator's ranks for the set of ours, a seed."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    broken = b""
    for seed, mutation in seeds:
        rng = Random(seed)  # noqa: S311
        for index, shown in enumerate("ABCD"):
            cells = [
                "s_1",
                f"ann_{seed % 97}",
                shown,
                f"r_{index}",
                "",
                OUR_TEXTS[index] if rng.random() < 0.5 else "",
                str(rng.randrange(1, 4)),
                rng.choice(("", "", "4")),
                rng.choice(("", "", "opinion")),
                text(rng),
            ]
            if mutation == 2 and rng.random() < 0.3:
                cells[rng.randrange(len(cells))] = rng.choice(
                    ("", "1.0", "1E+5", "x", '"', "-1", "r_0", "99")
                )
            if mutation == 3 and rng.random() < 0.2:
                cells = cells[: rng.randrange(len(cells))]
            writer.writerow(cells)
        if mutation == 3:
            broken = rng.choice(
                (b"", b'"', b'x"y,1\r\n', b"\xff\xfe,", b"\x00,,\r\n", b'\r\n"a\nb"\r\n')
            )
    return out.getvalue().encode() + broken


def canonical_lines(raw: bytes) -> list[str]:
    """The rows of a file of ours, in their canonical form, read by the plain parser."""
    return [canonical_json(json.loads(line)) for line in raw.splitlines()]
