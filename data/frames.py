"""Typed frames between Python rows and the store's statements: ids that are asked for, new rows.

Facts are looked up chunk by chunk by joining a registered frame of ids, so memory does not grow
with the ledger; rows enter as typed frames, never one by one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import polars as pl

from data.queries import load


def find_rows(
    con: duckdb.DuckDBPyConnection,
    name: str,
    parameters: Mapping[str, str] | None = None,
    **wanted: Iterable[str | None],
) -> list[Any]:
    """Return the rows of a statement of ledger/ that asks for ids.

    Args:
        con: The store.
        name: The statement; it reads the frame `wanted`.
        parameters: Its other parameters.
        wanted: The one column of the frame, repeats allowed.
    """
    distinct = {column: list(dict.fromkeys(values)) for column, values in wanted.items()}
    con.register("wanted", pl.DataFrame(distinct, schema=dict.fromkeys(distinct, pl.String)))
    rows = con.execute(load(f"ledger/{name}"), dict(parameters or {})).fetchall()
    con.unregister("wanted")
    return rows


def write_rows(
    con: duckdb.DuckDBPyConnection,
    name: str,
    rows: Sequence[tuple[Any, ...]],
    schema: pl.Schema,
    **parameters: str,
) -> None:
    """Run a statement of ledger/ that writes rows; it reads them from the frame `written`.

    Args:
        con: The store, in a transaction.
        name: The statement.
        rows: One tuple each, in the order of the schema.
        schema: Columns of the frame.
        parameters: Other parameters of the statement.
    """
    if not rows:
        return
    columns = dict(zip(schema, zip(*rows, strict=True), strict=True))
    con.register("written", pl.DataFrame(columns, schema=schema))
    # After an error the transaction is broken: unregistering would hide the reason.
    con.execute(load(f"ledger/{name}"), parameters)
    con.unregister("written")


def texts_of(rows: Iterable[Mapping[str, Any]], field: str) -> list[str]:
    """Return a field of the rows that have a string there."""
    return [value for row in rows if isinstance(value := row.get(field), str)]
