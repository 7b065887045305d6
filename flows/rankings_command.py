"""`rlhf rankings import` and `validate`: files through the door, and what became of their rows.

Omitted on purpose: the formats (data.formats), and writing for other tools (rankings_export.py).
"""

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from rich.table import Table

from data.errors import InputError
from data.formats.folder import Folder, open_folder
from data.formats.importing import Importer, ImportReport
from data.formats.items import Direction, ReadOptions
from data.formats.published import PublishedSets
from data.formats.registry import format_of
from data.inbox import INBOX_FILE
from data.inbox.connection import open_inbox
from data.tiers import COVERAGES
from flows.environment import var_directory
from flows.words import console, plain

_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReadArguments:
    """What the command line says of the files."""

    form: str = "auto"
    direction: str = ""
    coverage: str = "full"
    order: str = ""
    score_range: str = ""
    annotators: tuple[str, ...] = ()

    def options(self) -> ReadOptions:
        """Return the options of the readers.

        Raises:
            InputError: An argument has no such value.
        """
        directions = {name: name for name in get_args(Direction)}
        if self.direction not in directions:
            message = "use higher-is-better or lower-is-better"
            raise InputError(f"--direction {self.direction}: no such direction; {message}")
        if self.coverage not in COVERAGES:
            raise InputError(f"--coverage {self.coverage}: use {', '.join(COVERAGES)}")
        return ReadOptions(
            direction=directions[self.direction],
            coverage=self.coverage,
            order=tuple(word.strip() for word in self.order.split(",") if word.strip()),
            score_range=self._range(),
            annotator=next((it for it in reversed(self.annotators) if "=" not in it), ""),
        )

    def names(self) -> dict[str, str]:
        """Return annotator of a source -> our id; tools name theirs by number, with or without."""
        names: dict[str, str] = {}
        for given in self.annotators:
            theirs, is_pair, ours = given.rpartition("=")
            if is_pair:
                names |= {theirs: ours, f"label-studio:{theirs}": ours, f"argilla:{theirs}": ours}
        return names

    def _range(self) -> tuple[float, float] | None:
        if not self.score_range:
            return None
        match = _RANGE.fullmatch(self.score_range)
        if match is None or float(match[1]) >= float(match[2]):
            raise InputError(f"--range {self.score_range}: write it as 1..5")
        return float(match[1]), float(match[2])


def import_rankings(
    sources: Sequence[Path], arguments: ReadArguments, *, out: Path, accept_held: bool
) -> int:
    """Take files into a folder and the inbox, and print what became of their rows.

    Args:
        sources: The files, in order.
        arguments: What the command line says of them.
        out: The folder of the four files; made when missing.
        accept_held: Take in what would wait for a person.

    Returns:
        The exit code: 2 if nothing in some file could be taken.

    Raises:
        InputError: A file cannot be read, or an argument is wrong; nothing was written.
    """
    options, now = arguments.options(), datetime.now(UTC)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder with --out")
    with _published(now) as published, _locked(out), open_folder(out, now) as folder:
        importer = Importer(folder, published, names=arguments.names(), accept_held=accept_held)
        reports = [importer.take(it, format_of(it, arguments.form), options) for it in sources]
        folder.add_best_responses()
        added = folder.commit()
        sent = published.commit() if published is not None else []
    _print_reports(reports)
    terminal = console()
    for name, rows in added.items():
        terminal.print(plain(f"{out / name}: {rows} rows added"), soft_wrap=True)
    for batch, rows, is_finished in sent:
        words = "sent to the run that waits for them"
        if is_finished:
            words = "stored; no run waits for them, the next rlhf run takes them in"
        terminal.print(plain(f"batch {batch}: {rows} rankings {words}"), soft_wrap=True)
    if not added and not sent:
        terminal.print("nothing new")
    in_vain = (it.quarantined and not (it.accepted or it.duplicate) for it in reports)
    return 2 if any(in_vain) else 0


def validate_files(files: Sequence[Path], arguments: ReadArguments) -> int:
    """Check files and print what is wrong with their rows.

    Returns:
        The exit code: 2 if any row is quarantined.

    Raises:
        InputError: A file cannot be read, or an argument is wrong.
    """
    options, now = arguments.options(), datetime.now(UTC)
    with _published(now) as published:
        importer = Importer(Folder(None, now), published, names=arguments.names())
        reports = [importer.take(it, format_of(it, arguments.form), options) for it in files]
    _print_reports(reports)
    return 2 if any(it.quarantined for it in reports) else 0


@contextmanager
def _published(now: datetime) -> Iterator[PublishedSets | None]:
    inbox = var_directory() / INBOX_FILE
    if not inbox.exists():
        yield None
        return
    with open_inbox(inbox, read_only=True) as con:
        yield PublishedSets(con, now)


def _print_reports(reports: Sequence[ImportReport]) -> None:
    table = Table("file", "format")
    for heading in ("rows", "answers", "accepted", "duplicate", "held", "quarantined"):
        table.add_column(heading, justify="right")
    for it in reports:
        counts = (it.rows, it.read, it.accepted, it.duplicate, it.held, it.quarantined)
        table.add_row(plain(it.path.name), it.format_name, *map(str, counts))
    terminal = console()
    terminal.print(table)
    for it in reports:
        if not it.read:
            terminal.print(plain(f"{it.path}: holds no row"), soft_wrap=True)
        for code, number in sorted(it.reasons.items()):
            first = it.examples[code]
            terminal.print(plain(f"{number} x {code}, first at {first}"), soft_wrap=True)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One import at a time into a folder: two would each write a file without the other's rows."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{out}: cannot be made or opened ({error.strerror})") from None
    try:
        # The folder itself is locked, so that no lock file is left in it.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InputError(f"{out}: another import writes to it; wait for its end") from None
    finally:
        os.close(descriptor)
