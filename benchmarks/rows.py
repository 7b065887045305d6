"""A row of results, as text and as JSON.

Omitted on purpose: comparisons between runs; machines and neighbours differ, ratios within a run
are what can be compared.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.timing import Ratio

COLUMNS = ("what", "ours", "peer", "ratio (min..max)", "goal", "reached")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison.

    Attributes:
        what: What was done, with its sizes.
        ours: What ours took.
        peer: Who else did it, and what that took.
        ratio: What is held against the goal; None where there is no result.
        goal: The least ratio wanted; None where nothing was promised.
        unit: "x" for times faster, "%" where ratio and goal are shares.
        note: The reason why a goal is missed, or what a reader must know.
    """

    what: str
    ours: str
    peer: str
    ratio: Ratio | None
    goal: float | None = None
    unit: str = "x"
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the median is at least the goal; None where there is no goal."""
        if self.goal is None:
            return None
        return self.ratio is not None and self.ratio.median >= self.goal

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of COLUMNS."""
        verdict = {None: "-", True: "yes", False: "no"}[self.reached]
        return (
            self.what,
            self.ours,
            self.peer,
            self._ratio_text(),
            "-" if self.goal is None else self._number(self.goal),
            f"{verdict}; {self.note}" if self.note else verdict,
        )

    def _ratio_text(self) -> str:
        if self.ratio is None:
            return "-"
        median, low, high = (self._number(value) for value in self.ratio)
        return f"{median} ({low}..{high})"

    def _number(self, value: float) -> str:
        return f"{100 * value:.0f} %" if self.unit == "%" else f"{value:.3g}x"


def to_json(rows: Iterable[Row]) -> str:
    """Rows as JSON."""
    return json.dumps([dataclasses.asdict(row) for row in rows])


def from_json(text: str) -> list[Row]:
    """Undo `to_json`."""
    return [
        Row(**{**value, "ratio": Ratio(*value["ratio"]) if value["ratio"] else None})
        for value in json.loads(text)
    ]


def show(rows: Sequence[Row]) -> None:
    """Print rows as a table."""
    table = Table(*COLUMNS, show_lines=True)
    for row in rows:
        table.add_row(*row.cells())
    Console().print(table)


def markdown(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
