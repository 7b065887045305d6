"""Tables that the command line prints. No Prefect, MLflow or torch."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from rich.console import Console
from rich.table import Table

_STYLES = {"failed": "red", "rebuilt": "yellow", "made": "green", "cached": "cyan"}


def print_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print how each stage of a run went: state, seconds, artifact."""
    table = Table("stage", "state", "artifact", title="Stages", title_justify="left")
    table.add_column("seconds", justify="right")
    total = 0.0
    for row in rows:
        total += row["seconds"]
        style = _STYLES.get(row["state"], "dim")
        state = f"[{style}]{row['state']}[/]"
        table.add_row(row["stage"], state, row["artifact"] or row["why"], f"{row['seconds']:.1f}")
    table.add_section()
    table.add_row("all", "", "", f"{total:.1f}")
    _console().print(table)


def print_stages() -> None:
    """Print the stages in order: what each reads, and what it does."""
    from flows.stages import pipeline_stages

    table = Table("stage", "reads", "config", "what it does")
    for stage in pipeline_stages():
        sections = ", ".join(f.name for f in fields(stage.config_type))
        table.add_row(stage.name, ", ".join(stage.inputs) or "-", sections or "-", stage.about)
    _console().print(table)


def _console() -> Console:
    """Stdout; wide enough for our tables where it is no terminal (a pipe counts as 80 columns)."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)
