"""All formats by name, and the one that a file is in.

Omitted on purpose: guessing. A file whose first row fits no format, or two, is asked about.
"""

from pathlib import Path

from data.errors import InputError
from data.formats import (
    argilla,
    graded,
    hh_rlhf,
    label_studio,
    llama_factory,
    oasst,
    openai_comparisons,
    own,
    spreadsheet,
    trl,
    ultrafeedback,
)
from data.formats.items import Format
from data.formats.source import read_records
from data.jsonl import open_bytes

FORMATS = {
    module.FORMAT.name: module.FORMAT
    for module in (
        own,
        spreadsheet,
        label_studio,
        argilla,
        hh_rlhf,
        trl,
        ultrafeedback,
        openai_comparisons,
        oasst,
        llama_factory,
        graded,
    )
}
AUTO = "auto"

_LOOKED_AT = 20
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "a zip or Excel file", b"PAR1": "Parquet"}


def format_of(path: Path, name: str = AUTO) -> Format:
    """Return the format with a name; of "auto", the one that the first row is in.

    Raises:
        InputError: If there is no such format, or the first row does not tell.
    """
    if name not in (AUTO, *FORMATS):
        raise InputError(f"--format {name}: no such format; use one of {', '.join(FORMATS)}")
    _refuse_packed(path)
    if name != AUTO:
        return FORMATS[name]
    if path.suffix.casefold() == ".csv":
        return spreadsheet.FORMAT
    error = "it holds no row"
    for record, _ in zip(read_records(path), range(_LOOKED_AT), strict=False):
        if record.error is not None:
            error = f"its rows cannot be read: {record.error.message}"
            continue
        fitting = [one for one in FORMATS.values() if one.matches(record.row)]
        if len(fitting) == 1:
            return fitting[0]
        found = "no format" if not fitting else " and ".join(one.name for one in fitting)
        keys = ", ".join(list(record.row)[:8])
        raise InputError(
            f"{path}:{record.place.line}: this row (fields {keys[:200]}) fits {found};"
            f" say --format with one of {', '.join(FORMATS)}"
        )
    raise InputError(f"{path}: {error}; give JSON lines, a JSON array or CSV, as UTF-8")


def _refuse_packed(path: Path) -> None:
    """Refuse what no reader here opens, in the words of a person who has such a file."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: no regular file; write it to one first")
    with open_bytes(path) as file:
        head = file.read(4)
    for mark, what in _PACKED.items():
        if head.startswith(mark):
            raise InputError(f"{path}: this is {what}; unpack or export it as JSON lines or CSV")
