"""Progress of one stage on the terminal: a bar with time left, or a plain line now and then.

Omitted on purpose: nested bars and colours beyond rich's own. Everything goes to stderr, so that
stdout stays clean for `rlhf report --json`.
"""

import sys
import time
from collections.abc import Generator, Iterable, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0
# Of a million rankings, moving the bar for each would cost more than some of the checks.
SECONDS_BETWEEN_MOVES = 0.1


def track(items: Iterable[Item], description: str, *, total: int | None = None) -> Generator[Item]:
    """Yield each of `items`, showing how far we are and how long it will take.

    Args:
        items: What to iterate over.
        description: A few words before the bar.
        total: Number of items; taken from `len(items)` where there is one, else unknown.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    console = Console(stderr=True)
    if console.is_terminal:
        yield from _bar(items, description, total, console)
    else:
        yield from _lines(items, description, total)


def _bar(
    items: Iterable[Item], description: str, total: int | None, console: Console
) -> Generator[Item]:
    columns = (
        TextColumn("{task.description:>20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(description, total=total)
        last = time.monotonic()
        done = 0
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now - last >= SECONDS_BETWEEN_MOVES:
                last = now
                progress.update(bar, completed=done)
        progress.update(bar, completed=done)


def _lines(items: Iterable[Item], description: str, total: int | None) -> Generator[Item]:
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            sys.stderr.write(f"  {progress_line(description, done, total, now - start)}\n")
            sys.stderr.flush()


def progress_line(description: str, done: int, total: int | None, seconds: float) -> str:
    """One plain line: what, how many, seconds so far and, with a known total, seconds left."""
    if not total:
        return f"{description} {done}, {seconds:.0f} s"
    left = seconds / done * max(0, total - done)
    return f"{description} {done}/{total}, {seconds:.0f} s, about {left:.0f} s left"
