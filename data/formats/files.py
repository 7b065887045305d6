"""Files that are written as a whole or not at all.

Omitted on purpose: adding to a file (data.formats.folder).
"""

import os
from collections.abc import Iterable
from pathlib import Path

from data.errors import InputError


def write_file(path: Path, parts: Iterable[str]) -> None:
    """Write a text file under a temporary name, flush it to the disk and rename it.

    Args:
        path: The file; its folder is made when missing.
        parts: Its text in order.

    Raises:
        InputError: If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # No newline translation: a text must come back byte for byte.
            with temporary.open("w", encoding="utf-8", newline="") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk, so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
