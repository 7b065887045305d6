"""From the columns of a request to dialogues.

A row holds `prompt` (text of one user turn) or `messages` (JSON list of {role, content}), and
for the reward model `response`. They become the token ids of training: tasks/dialogue_ids.py.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

from data.messages import parse_prompt_row

Message: TypeAlias = dict[str, str]
Row: TypeAlias = Mapping[Hashable, Any]  # as a data frame hands it out


def prompts_of(rows: Sequence[Row]) -> list[list[Message]]:
    """The dialogue of each row.

    Raises:
        ValueError: A row has not exactly one of the two columns, or it is malformed; the message
            names the row, from 0.
    """
    return [_prompt_of(index, row) for index, row in enumerate(rows)]


def responses_of(rows: Sequence[Row]) -> list[str]:
    """The `response` of each row.

    Raises:
        ValueError: One is missing or blank; the message names the row, from 0.
    """
    for index, row in enumerate(rows):
        if not isinstance(row.get("response"), str) or not row["response"].strip():
            raise ValueError(f"row {index}: response is missing or blank; give text")
    return [row["response"] for row in rows]


def _prompt_of(index: int, row: Row) -> list[Message]:
    # A data frame pads a column that a row lacks with None or NaN.
    given = {name: row[name] for name in ("prompt", "messages") if isinstance(row.get(name), str)}
    try:
        if "messages" in given:
            given["messages"] = json.loads(given["messages"])
        return parse_prompt_row(given)
    except ValueError as error:
        raise ValueError(f"row {index}: {error}") from None
