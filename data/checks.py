"""Checks: statements that return the rows that must not exist, and an error when one does.

Cross-row rules (tiers dense, items = responses of the set, weights, splits) cannot be constraints
of a table. The validator keeps them row by row; these checks prove it on the stored tables.
"""

import duckdb

from data.queries import load, names

_SHOWN_ROWS = 3


class CheckError(RuntimeError):
    """A rule that no input can break was broken: a fault of this program, not of the user."""


def run_checks(con: duckdb.DuckDBPyConnection, folder: str, parameters: dict[str, str]) -> None:
    """Run every check of a folder of sql/, such as "checks/pairs/".

    Raises:
        CheckError: Naming the check and its first rows.
    """
    for name in names(folder):
        rows = con.execute(load(name), parameters).fetchmany(_SHOWN_ROWS)
        if rows:
            raise CheckError(f"check {name} found rows that must not exist, such as {rows}")
