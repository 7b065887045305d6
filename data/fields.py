"""Small checks of one field of a parsed row, shared by all row formats at the door.

Each returns the value with its type known, or raises RowError with the code of its kind.
"""

import re
from collections.abc import Mapping, Set
from typing import Any

from data.jsonl import RowError

_ID = re.compile(r"[\w.:@/+-]{1,128}")
_SHOWN_CHARACTERS = 80


def check_schema(row: Mapping[str, Any], schema: str) -> None:
    """Refuse a row that does not name the one schema this reader knows."""
    if "schema" not in row:
        raise RowError("MISSING_FIELD", "schema", "missing: schema")
    if row["schema"] != schema:
        message = f"schema is {shorten(row['schema'])}; this reader knows {schema!r}"
        raise RowError("SCHEMA_VERSION", "schema", message)


def check_keys(row: Mapping[str, Any], required: Set[str], optional: Set[str]) -> None:
    """Refuse a row with a field missing, then one with a field too many; none is in both sets."""
    if not row.keys() >= required:
        missing = sorted(required - row.keys())
        raise RowError("MISSING_FIELD", missing[0], f"missing: {', '.join(missing)}")
    if len(row) != len(required) + sum(map(row.__contains__, optional)):
        unknown = sorted(row.keys() - required - optional)
        raise RowError("UNKNOWN_FIELD", unknown[0], f"unknown: {', '.join(unknown)}")


def require_text(row: Mapping[str, Any], field: str) -> str:
    """Return a string field; it may be empty."""
    value = row[field]
    if not isinstance(value, str):
        raise wrong_type(field, "a string", value)
    return value


def require_id(row: Mapping[str, Any], field: str) -> str:
    """Return a string field that can serve as an id."""
    value = require_text(row, field)
    if not _ID.fullmatch(value):
        message = f"{field} must be 1 to 128 letters, digits or _.:@/+-, found {shorten(value)}"
        raise RowError("BAD_ID", field, message)
    return value


def require_integer(row: Mapping[str, Any], field: str) -> int:
    """Return an integer field; true, 1.0 and "1" are not integers."""
    value = row[field]
    if type(value) is not int:
        raise wrong_type(field, "an integer", value)
    return value


def require_list(row: Mapping[str, Any], field: str) -> list[Any]:
    """Return a list field."""
    value = row[field]
    if not isinstance(value, list):
        raise wrong_type(field, "a list", value)
    return value


def require_object(row: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Return an object field; a missing one is an empty one."""
    value = row.get(field, {})
    if not isinstance(value, dict):
        raise wrong_type(field, "an object", value)
    return value


def wrong_type(field: str, expected: str, value: object) -> RowError:
    """Return the error for a field of another type than expected."""
    return RowError("BAD_TYPE", field, f"{field} must be {expected}, found {shorten(value)}")


def shorten(value: object) -> str:
    """Show a value as Python writes it, short enough for one line."""
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 3] + "..."
