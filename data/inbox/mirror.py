"""What runs tell the lead's page: held rows and statistics, JSON by key.

Keys are "held:<batch id>" and "statistics:<batch id>". This is a view of the ledger, overwritten
at each ingest; nothing here is the truth.
"""

import sqlite3
from datetime import datetime

from data.inbox.connection import write
from data.inbox.times import to_text
from data.queries import load


def put(con: sqlite3.Connection, key: str, value_json: str, *, now: datetime) -> None:
    """Keep a JSON text under a key, in place of the earlier one."""
    with write(con):
        con.execute(
            load("inbox/put_mirror"), {"name": key, "value": value_json, "at": to_text(now)}
        )


def get(con: sqlite3.Connection, key: str) -> str | None:
    """Return the JSON text of a key, None where nothing was put."""
    row = con.execute(load("inbox/get_mirror"), {"name": key}).fetchone()
    return row["value"] if row else None
