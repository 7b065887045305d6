"""Typed frames between Python rows and the store's statements: ids that are asked for, new rows.

Facts are looked up chunk by chunk by joining a registered frame of ids, so memory does not grow
with the ledger; rows enter as typed frames, never one by one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import polars as pl

from data.queries import load


class _Lent:
    """A frame that a statement may read until it is taken back.

    A view that is dropped lives on until its transaction ends, and with it what it shows: without
    this, all rows of an ingest would stay in memory.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame: pl.DataFrame | None = frame

    def take_back(self) -> None:
        self._frame = None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        if self._frame is None:
            raise RuntimeError("this frame was taken back")
        return self._frame.__arrow_c_stream__(requested_schema)


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
    frame = pl.DataFrame(distinct, schema=dict.fromkeys(distinct, pl.String))
    with _lent(con, "wanted", frame):
        return con.execute(load(f"ledger/{name}"), dict(parameters or {})).fetchall()


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
    with _lent(con, "written", pl.DataFrame(columns, schema=schema)):
        con.execute(load(f"ledger/{name}"), parameters)


def texts_of(rows: Iterable[Mapping[str, Any]], field: str) -> list[str]:
    """Return a field of the rows that have a string there."""
    return [value for row in rows if isinstance(value := row.get(field), str)]


@contextmanager
def _lent(con: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame) -> Iterator[None]:
    lent = _Lent(frame)
    con.register(name, lent)
    yield
    # Not after an error: the transaction is broken then, and unregistering would hide the reason.
    con.unregister(name)
    lent.take_back()
