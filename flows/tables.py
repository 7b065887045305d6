"""Tables that the command line prints. No Prefect, MLflow or torch."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from rich.table import Table

from flows.notices import notices
from flows.words import console, plain

_STYLES = {
    "failed": "red",
    "rebuilt": "yellow",
    "waiting": "yellow",
    "made": "green",
    "cached": "cyan",
}


def print_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print how each stage of a run went: state, seconds, artifact; then what they have to say."""
    table = Table("stage", "state", "artifact", title="Stages", title_justify="left")
    table.add_column("seconds", justify="right")
    rows = list(rows)
    total = 0.0
    for row in rows:
        total += row["seconds"]
        style = _STYLES.get(row["state"], "dim")
        state = f"[{style}]{row['state']}[/]"
        artifact = plain(row["artifact"] or row["why"])
        table.add_row(plain(row["stage"]), state, artifact, f"{row['seconds']:.1f}")
    table.add_section()
    table.add_row("all", "", "", f"{total:.1f}")
    terminal = console()
    terminal.print(table)
    for notice in notices(rows):
        terminal.print(plain(notice), soft_wrap=True)


def print_stages() -> None:
    """Print the stages in order: what each reads, and what it does."""
    from flows.stages import pipeline_stages

    table = Table("stage", "reads", "config", "what it does")
    for stage in pipeline_stages():
        sections = ", ".join(f.name for f in fields(stage.config_type))
        table.add_row(
            stage.name, ", ".join(stage.inputs) or "-", sections or "-", plain(stage.about)
        )
    console().print(table)
