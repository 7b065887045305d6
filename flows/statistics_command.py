"""`rlhf rankings stats`: how far the annotators of a run agree, and how each of them ranks.

Omitted on purpose: plots, which MLflow holds with the stage collect_rankings. No torch, Prefect or
MLflow is imported.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from data.errors import InputError
from data.snapshot import TABLES
from data.statistics import Figure, RankingStatistics, measure
from flows.environment import var_directory
from flows.run_records import RunRecord, finished_runs
from flows.words import console, plain, program
from tasks.artifacts import ArtifactError, ArtifactStore

STAGE = "collect_rankings"

DESCRIPTIONS = {
    "mutual_agreement": "strict pairs that two annotators order alike, mean over pairs of them; "
    "InstructGPT's labellers: 0.726",
    "mutual_agreement_pooled": "the same, the pairs of all annotators together",
    "implied_accuracy": "how often each would have to be right to agree so often",
    "tie_aware_agreement": "all compared pairs; a tie against an order counts half",
    "tie_rate": "compared pairs that are tied",
    "tau_b": "Kendall's tau-b of two annotators' rankings, -1 to 1",
    "alpha": "Krippendorff's alpha of mid-ranks, ordinal; 0 is chance",
    "earlier_wins": "strict pairs won by the response shown earlier; 0.5 is no habit",
    "longer_wins": "strict pairs won by the longer response",
    "gold_passed": "gold rankings with no damaged response above a whole one",
    "retest_agreement": "pairs that an annotator orders alike the second time",
    "skipped": "answers that skip",
    "not_rankable": 'answers that say "none is acceptable"',
    "seconds": "median active time of a ranking",
}
_QUALITY = {
    "agreement": "agrees with others",
    "quality": "right (Dawid-Skene)",
    "gold_passed": "gold passed",
    "retest_agreement": "agrees with oneself",
}
_HABITS = {
    "earlier_wins": "earlier wins",
    "longer_wins": "longer wins",
    "tie_rate": "ties",
    "skipped": "skipped",
    "not_rankable": "not rankable",
}
_NUM_DISPUTED = 5


def print_statistics(
    *, name: str = "", snapshot: Path | None = None, as_json: bool = False
) -> None:
    """Print the figures of the rankings of a run.

    Args:
        name: The newest finished run of this name; empty for any.
        snapshot: A directory with the tables of a snapshot, in place of a run.
        as_json: Print one JSON object instead of tables.

    Raises:
        InputError: There is no such run or snapshot; says what to do.
    """
    if snapshot is None:
        record = _newest(finished_runs(var_directory()), name)
        title = f"Run [bold]{plain(record.name)}[/], finished {plain(record.finished_at)}"
        statistics = measure(_payload(record), seed=record.config["seed"])
    else:
        title = plain(str(snapshot))
        statistics = measure(_checked(snapshot))
    if as_json:
        shape = json.dumps(statistics.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        sys.stdout.write(shape + "\n")
        return
    terminal = console()
    terminal.print(f"{title}: {_amount(statistics)}", soft_wrap=True)
    terminal.print(figures_table(statistics))
    terminal.print(annotators_table(statistics, "How good each annotator is", _QUALITY))
    terminal.print(annotators_table(statistics, "How each annotator ranks", _HABITS))
    for line in _distributions(statistics):
        terminal.print(plain(line), soft_wrap=True)
    if statistics.disputed:
        terminal.print(disputed_table(statistics))


def figures_table(statistics: RankingStatistics) -> Table:
    """Each figure over all annotators, with its interval and what it means."""
    table = Table("figure", title="Figures of the current rankings", title_justify="left")
    for heading in ("value", "95 % interval", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what it says")
    for name, figure in statistics.figures.items():
        digits = 1 if name == "seconds" else 3
        interval = ""
        if figure.low is not None and figure.high is not None:
            interval = f"{figure.low:.{digits}f} to {figure.high:.{digits}f}"
        value = "" if figure.value is None else f"{figure.value:.{digits}f}"
        table.add_row(name, value, interval, f"{figure.n:,}", plain(DESCRIPTIONS[name]))
    return table


def annotators_table(statistics: RankingStatistics, title: str, columns: dict[str, str]) -> Table:
    """A row an annotator; yellow where the earlier shown wins more or less than half."""
    table = Table("annotator", title=f"{title}, %", title_justify="left")
    table.add_column("rankings", justify="right")
    for heading in columns.values():
        table.add_column(heading, justify="right")
    is_timed = "earlier_wins" in columns
    if is_timed:
        table.add_column("seconds", justify="right")
    for row in statistics.annotators:
        cells = [_percent(row.figures[name]) for name in columns]
        if is_timed and not _may_be_half(row.figures["earlier_wins"]):
            cells[0] = f"[yellow]{cells[0]}[/]"
        if is_timed:
            cells.append(_cell(row.figures["seconds"], 1.0))
        table.add_row(plain(row.annotator_id), f"{row.rankings:,}", *cells)
    return table


def disputed_table(statistics: RankingStatistics) -> Table:
    """The sets on which annotators agree least."""
    table = Table("set", "prompt", title="Sets that divide the annotators", title_justify="left")
    for heading in ("annotators", "strict pairs", "ordered alike, %"):
        table.add_column(heading, justify="right")
    for row in statistics.disputed[:_NUM_DISPUTED]:
        counts = (str(row["annotators"]), str(row["pairs"]), f"{100 * row['agreement']:.0f}")
        table.add_row(plain(row["set_id"]), plain(row["prompt_id"]), *counts)
    return table


def _amount(statistics: RankingStatistics) -> str:
    counts = statistics.counts
    return (
        f"{counts['rankings']:,} rankings among {counts['answers']:,} answers of "
        f"{counts['annotators']:,} annotators to prompts of {counts['families']:,} families; "
        f"{counts['shared_sets']:,} sets ranked by several."
    )


def _distributions(statistics: RankingStatistics) -> list[str]:
    """How many tiers rankings use, and why sets were skipped, in a line each."""
    lines = []
    for k in sorted({row["k"] for row in statistics.sizes}):
        rows = [row for row in statistics.sizes if row["k"] == k]
        total = sum(row["rankings"] for row in rows)
        used = ", ".join(f"{row['tiers']} in {row['rankings'] / total:.0%}" for row in rows)
        lines.append(f"K = {k}: {total:,} rankings; tiers used: {used}")
    if statistics.skip_reasons:
        reasons = ", ".join(f"{row['reason']} {row['answers']}" for row in statistics.skip_reasons)
        lines.append(f"Skipped because of: {reasons}")
    return lines


def _percent(figure: Figure) -> str:
    return _cell(figure, 100.0)


def _cell(figure: Figure, unit: float) -> str:
    """A value with its interval in short."""
    if figure.value is None:
        return "-"
    value = f"{unit * figure.value:.0f}"
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({unit * figure.low:.0f} to {unit * figure.high:.0f})"


def _may_be_half(figure: Figure) -> bool:
    return figure.low is None or figure.high is None or figure.low <= 0.5 <= figure.high


def _newest(records: Sequence[RunRecord], name: str) -> RunRecord:
    """The newest run of that name that collected rankings."""
    collected = [it for it in records if name in ("", it.name) and it.artifact_of(STAGE)]
    if collected:
        return collected[-1]
    what = f"no finished run named {name}" if name else "no finished run"
    known = ", ".join(dict.fromkeys(it.name for it in records if it.artifact_of(STAGE)))
    hint = f" Runs that did: {known}." if known else ""
    raise InputError(
        f"{what} in {var_directory()} has collected rankings.{hint} Start one with: {program()} run"
    )


def _payload(record: RunRecord) -> Path:
    """The snapshot of a run, verified."""
    ref = record.artifact_of(STAGE)
    if ref is None:
        raise RuntimeError(f"a run without {STAGE} was chosen")
    try:
        return ArtifactStore(root=var_directory() / "artifacts").load(ref)
    except ArtifactError as error:
        raise InputError(f"{error}. Make it again with: {program()} run") from None


def _checked(snapshot: Path) -> Path:
    missing = [name for name in TABLES if not (snapshot / f"{name}.parquet").is_file()]
    if missing:
        raise InputError(
            f"{snapshot}: no snapshot, {missing[0]}.parquet is missing; give a folder "
            f"{STAGE}/... of {var_directory() / 'artifacts'}"
        )
    return snapshot
