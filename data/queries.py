"""SQL by name: every statement lives in data/sql/<folder>/<name>.sql and is loaded from there.

Omitted on purpose: building SQL from strings. Values are bound as parameters, tables enter as
registered frames.
"""

from functools import cache
from importlib.resources import files


@cache
def load(name: str) -> str:
    """Return the SQL of ``folder/name``, without the extension.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    return (files("data") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


@cache
def names(folder: str) -> tuple[str, ...]:
    """Return the names ``folder/name`` of all statements of ``folder/``, in alphabetical order.

    The slash is part of the name: so a literal in the source is seen to name a folder of SQL.
    """
    found = (entry.name for entry in (files("data") / "sql" / folder).iterdir())
    return tuple(
        sorted(f"{folder}{name.removesuffix('.sql')}" for name in found if name.endswith(".sql"))
    )
