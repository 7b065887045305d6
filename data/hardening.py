"""What SQL may touch: the database itself and named directories, nothing else.

References:
    [1] DuckDB 2.0, Securing DuckDB, https://duckdb.org/docs/2.0/operations_manual/securing_duckdb
"""

import glob
from collections.abc import Sequence
from pathlib import Path

import duckdb


def harden(con: duckdb.DuckDBPyConnection, allowed: Sequence[Path]) -> None:
    """Take away what SQL does not need: other files, extensions, and changing this again [1].

    Args:
        con: A connection whose settings have not been locked.
        allowed: Directories that remain readable and writable.
    """
    # A name with glob characters is checked in its escaped form when it is read.
    directories = [str(directory.resolve()) for directory in allowed]
    escaped = [glob.escape(directory) for directory in directories]
    con.execute(
        "set allowed_directories = $directories",
        {"directories": list(dict.fromkeys(directories + escaped))},
    )
    con.execute("set enable_external_access = false")
    con.execute("set autoinstall_known_extensions = false")
    con.execute("set autoload_known_extensions = false")
    con.execute("set lock_configuration = true")
