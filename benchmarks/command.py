"""The command line that all benchmarks share: `python -m benchmarks.NAME [--long] [--profile]`."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import Row, show, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is measured.

    Attributes:
        long: More rounds and the rows that take minutes.
        profile: Print where our own time goes.
        budget: Seconds after which no further round begins.
    """

    long: bool = False
    profile: bool = False
    budget: float = 120.0


def main(measure: Callable[[Options], list[Row]]) -> None:
    """Parse the arguments, measure, print the table and write the rows where wanted."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--long", action="store_true", help="more rounds, and the slow rows")
    parser.add_argument("--profile", action="store_true", help="print where our own time goes")
    parser.add_argument("--budget", type=float, default=120.0, help="seconds to measure for")
    parser.add_argument("--rows", type=Path, help="write the rows to this file, as JSON")
    given = parser.parse_args()
    rows = measure(Options(long=given.long, profile=given.profile, budget=given.budget))
    show(rows)
    if given.rows:
        given.rows.write_text(to_json(rows), encoding="utf-8")
