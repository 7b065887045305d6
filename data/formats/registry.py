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


def format_of(path: Path, name: str = AUTO) -> Format:
    """Return the format with a name; of "auto", the one that the first row is in.

    Raises:
        InputError: If there is no such format, or the first row does not tell.
    """
    if name != AUTO:
        if name not in FORMATS:
            raise InputError(f"--format {name}: no such format; use one of {', '.join(FORMATS)}")
        return FORMATS[name]
    if path.suffix.casefold() == ".csv":
        return spreadsheet.FORMAT
    for record, _ in zip(read_records(path), range(_LOOKED_AT), strict=False):
        if record.error is not None:
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
    raise InputError(
        f"{path}: none of the first rows can be read, so its format is not known;"
        f" say --format with one of {', '.join(FORMATS)}"
    )
