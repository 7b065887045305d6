"""Our own JSON lines: set/1 and ranking/1 rows, mixed or each in a file.

Omitted on purpose: every check of what is in them, which the one strict door does.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.fields import shorten
from data.formats.items import Content, Format, Item, OwnRow, ReadOptions, field_of, read_items
from data.formats.source import Record
from data.jsonl import ROW_LIMITS, RowError
from data.rankings import SCHEMA as RANKING_SCHEMA
from data.sets import SCHEMA as SET_SCHEMA

_SCHEMAS = (SET_SCHEMA, RANKING_SCHEMA)


def _convert(record: Record) -> Iterator[Content]:
    schema = field_of(record.row, "schema")
    if not isinstance(schema, str) or schema not in _SCHEMAS:
        message = f"schema is {shorten(schema)}; this reader knows {' and '.join(_SCHEMAS)}"
        raise RowError("SCHEMA_VERSION", "schema", message)
    yield OwnRow(row=record.row)


def _matches(row: Mapping[str, Any]) -> bool:
    return row.get("schema") in _SCHEMAS


def _read(path: Path, _: ReadOptions) -> Iterator[Item]:
    """Sets first: a ranking may stand before its set."""
    for is_set in (True, False):
        for item in read_items(path, _convert, limits=ROW_LIMITS):
            if _is_set(item) == is_set:
                yield item


def _is_set(item: Item) -> bool:
    return isinstance(item.content, OwnRow) and item.content.row["schema"] == SET_SCHEMA


FORMAT = Format("ranking/1", "Ours: set/1 and ranking/1, JSON lines", _matches, _read)
