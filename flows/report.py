"""`rlhf report`: the figures of a finished run, from its verified evaluate artifact.

Omitted on purpose: recomputing anything. No torch, Prefect or MLflow is imported.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from data.errors import InputError
from flows.config_files import SHIPPED
from flows.environment import var_directory
from flows.figure_texts import BOUNDS, Figure, description_of, in_reading_order, whole_figures
from flows.run_records import RunRecord, finished_runs
from flows.words import console, plain, program
from tasks.artifacts import ArtifactError, ArtifactStore

NUM_REPLIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run is reported by.

    Attributes:
        record: The run.
        figures: {key: {value, low, high, n, sft}}, None where a figure has no such number.
        payload: Directory of the evaluate artifact.
    """

    record: RunRecord
    figures: dict[str, Figure]
    payload: Path

    @property
    def is_demo(self) -> bool:
        """Whether it is the shipped demo, for which bounds are known."""
        config = self.record.config
        return bool(config["corpus"]["source"] == "support_desk" and config["name"] == "demo")

    @property
    def is_off_policy(self) -> bool:
        """Whether the ranked responses are not the run's own model's."""
        return bool(self.record.config["rank"]["ranker"] == "file")


def print_report(*, as_json: bool, name: str = "") -> None:
    """Print the figures of the newest finished run.

    Args:
        as_json: Print one flat JSON object instead of tables.
        name: Only runs of this name; empty for any.

    Raises:
        InputError: There is no such run, or its artifact is unusable; says what to run.
    """
    report = load_report(var_directory(), name)
    if as_json:
        ordered = {key: report.figures[key] for key in in_reading_order(report.figures)}
        sys.stdout.write(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n")
        return
    terminal = console()
    for line in describe_run(report):
        terminal.print(line)
    terminal.print(figures_table(report))
    if report.is_demo:
        terminal.print(bounds_table(report))
    terminal.print(replies_table(read_replies(report.payload)))


def print_replies(name: str) -> None:
    """Print the newest run of that name in two lines, and its replies before and after PPO.

    Raises:
        InputError: There is no such run, or its artifact is unusable.
    """
    report = load_report(var_directory(), name)
    terminal = console()
    for line in describe_run(report):
        terminal.print(line)
    terminal.print(replies_table(read_replies(report.payload)))


def load_report(var: Path, name: str = "") -> Report:
    """The newest finished run of that name that was evaluated, its artifact verified.

    Raises:
        InputError: There is none, or its artifact is missing or damaged.
    """
    record = _newest(finished_runs(var), name, var)
    ref = record.artifact_of("evaluate")
    if ref is None:
        raise RuntimeError("a run without evaluate was chosen")
    try:
        payload = ArtifactStore(root=var / "artifacts").load(ref)
    except ArtifactError as error:
        raise InputError(f"{error}. Make it again with: {_command(record.name)}") from None
    figures = json.loads((payload / "evaluation.json").read_text(encoding="utf-8"))
    agreement = record.summary_of("collect_rankings").get("mutual_agreement")
    if agreement is not None:
        figures["mutual_agreement"] = {"value": agreement}
    return Report(record=record, figures=whole_figures(figures), payload=payload)


def describe_run(report: Report) -> list[str]:
    """Sentences that go before the tables."""
    record = report.record
    lines = [
        f"Run [bold]{plain(record.name)}[/], seed {record.config['seed']}, finished "
        f"{plain(record.finished_at)}; its stages took {record.seconds:.0f} s."
    ]
    if record.machine:
        measured = ", ".join(f"{plain(key)} {value:g}" for key, value in record.machine.items())
        lines.append(f"Machine when it began: {measured}.")
    if report.is_off_policy:
        lines.append(
            "[yellow]Off-policy rankings[/]: the ranked responses come from a file, not from this "
            "run's SFT model. What the reward model says of PPO's replies is extrapolation."
        )
    return lines


def figures_table(report: Report) -> Table:
    """Each figure with its interval, the SFT model's value beside it, and what it means."""
    table = Table("figure", title="Figures of the test split", title_justify="left")
    for heading in ("value", "95 % interval", "SFT", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what it says")
    for key in in_reading_order(report.figures):
        figure = report.figures[key]
        low, high, count = figure["low"], figure["high"], figure["n"]
        interval = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        row = (_shown(figure["value"]), interval, _shown(figure["sft"]))
        table.add_row(
            plain(key), *row, "" if count is None else f"{count:.0f}", description_of(key)
        )
    return table


def bounds_table(report: Report) -> Table:
    """What the demo must reach, and whether it does."""
    table = Table("figure", "must be", title="Bounds of the demo", title_justify="left")
    table.add_column("is", justify="right")
    table.add_column("")
    for bound in BOUNDS:
        mark = "[green]met[/]" if bound.is_met(report.figures) else "[red]not met[/]"
        table.add_row(bound.key, bound.text, _shown(bound.number_in(report.figures)), mark)
    return table


def read_replies(payload: Path) -> list[dict[str, Any]]:
    """The first reply of each model to the first test prompts, not chosen by score."""
    import polars as pl

    from tasks.figures import before_after
    from tasks.replies import Reply

    replies = [
        Reply(**row) for row in pl.read_parquet(payload / "samples.parquet").iter_rows(named=True)
    ]
    by_model = {name: [r for r in replies if r.model == name] for name in ("sft", "ppo")}
    return [dict(row) for row in before_after(by_model["sft"], by_model["ppo"])[:NUM_REPLIES]]


def replies_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Replies before and after PPO, side by side, with the reward model's score."""
    title = "Replies to test prompts before (SFT) and after (PPO), with normalised scores"
    table = Table("prompt", title=title, title_justify="left", show_lines=True)
    table.add_column("SFT", ratio=1)
    table.add_column("PPO", ratio=1)
    for row in rows:
        before, after = (f"{row[m]}  ({row[f'{m}_reward']:+.2f})" for m in ("sft", "ppo"))
        table.add_row(*(plain(text) for text in (row["prompt"], before, after)))
    return table


def _newest(records: Sequence[RunRecord], name: str, var: Path) -> RunRecord:
    of_name = [record for record in records if name in ("", record.name)]
    evaluated = [record for record in of_name if record.artifact_of("evaluate")]
    if evaluated:
        return evaluated[-1]
    what = f"no finished run named {name}" if name else "no finished run"
    if of_name:
        raise InputError(
            f"{what} in {var} reached the stage evaluate. Run it to the end with: "
            f"{_command(of_name[-1].name)}"
        )
    known = ", ".join(dict.fromkeys(record.name for record in records))
    hint = f" Finished runs: {known}." if known else ""
    raise InputError(f"{what} in {var}.{hint} Start one with: {_command(name or 'demo')}")


def _command(name: str) -> str:
    is_shipped = (SHIPPED / f"{name}.toml").is_file()
    which = f" --config {name}" if is_shipped else f", with the config named {name}"
    return f"{program()} run{which}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
