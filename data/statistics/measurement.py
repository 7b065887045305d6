"""From a snapshot to all figures of its rankings.

Agreement, ties, position, length and quality are of the sets that train (main and overlap); gold
and retest sets give figures of their own; skips and times are of all sets.

Omitted on purpose: any judgement. What is too little agreement, or too strong a habit, depends on
the task; figures come with their intervals, and people decide.
"""

from pathlib import Path

from data.statistics.agreement import agreement_of_each, agreement_of_pairs, overall_agreement
from data.statistics.alpha import krippendorff_alpha
from data.statistics.figures import Annotator, Figure, RankingStatistics
from data.statistics.intervals import Resamples
from data.statistics.quality import annotator_quality
from data.statistics.tables import Columns, Tables, open_tables

_NUM_DISPUTED = 20

# Figure -> statement of data/sql/statistics, and the columns that are divided.
_SHARES = {
    "earlier_wins": ("habits", "earlier_won", "ordered"),
    "longer_wins": ("habits", "longer_won", "unequal"),
    "tie_rate": ("habits", "tied", "compared"),
    "gold_passed": ("gold", "passed", "rankings"),
    "retest_agreement": ("retests", "alike", "ordered"),
    "skipped": ("outcomes", "skipped", "answers"),
    "not_rankable": ("outcomes", "not_rankable", "answers"),
}
_ORDER = (
    "mutual_agreement",
    "mutual_agreement_pooled",
    "implied_accuracy",
    "tie_aware_agreement",
    "tie_rate",
    "tau_b",
    "alpha",
    "earlier_wins",
    "longer_wins",
    "gold_passed",
    "retest_agreement",
    "skipped",
    "not_rankable",
    "seconds",
)


def measure(snapshot: Path, *, seed: int = 0) -> RankingStatistics:
    """All figures of the current answers, with their intervals.

    Args:
        snapshot: Directory with the tables of data.snapshot.
        seed: Of the resamples; equal snapshots and seeds give equal figures.

    Returns:
        The figures; those without data are empty.
    """
    with open_tables(snapshot) as tables:
        resamples = Resamples(tables.counts["families"], seed=seed)
        shared = tables.columns("agreement")
        by_name = {name: tables.columns(name) for name in ("habits", "gold", "retests", "outcomes")}
        times = tables.columns("times")
        figures = {
            **overall_agreement(shared, len(tables.annotator_ids), resamples),
            "alpha": krippendorff_alpha(tables.columns("ratings"), resamples),
            **_shares(by_name, resamples),
            "seconds": resamples.median(times["family_number"], times["seconds"]),
        }
        return RankingStatistics(
            counts=tables.counts,
            figures={name: figures[name] for name in _ORDER},
            annotators=_annotators(tables, shared, by_name, times, resamples),
            annotator_pairs=agreement_of_pairs(shared, tables.annotator_ids, resamples),
            sizes=tables.rows("sizes"),
            skip_reasons=tables.rows("skip_reasons"),
            disputed=tables.rows("disputed", count_rows=_NUM_DISPUTED),
        )


def _shares(by_name: dict[str, Columns], resamples: Resamples) -> dict[str, Figure]:
    return {
        figure: resamples.ratio(
            by_name[name]["family_number"], by_name[name][numerator], by_name[name][denominator]
        )
        for figure, (name, numerator, denominator) in _SHARES.items()
    }


def _annotators(
    tables: Tables,
    shared: Columns,
    by_name: dict[str, Columns],
    times: Columns,
    resamples: Resamples,
) -> list[Annotator]:
    """A row of figures for each annotator."""
    ids = tables.annotator_ids
    figures: dict[str, list[Figure]] = {
        "agreement": agreement_of_each(shared, len(ids), resamples),
        "quality": annotator_quality(tables.columns("votes"), len(ids), resamples),
    }
    for figure, (name, numerator, denominator) in _SHARES.items():
        columns = by_name[name]
        figures[figure] = resamples.ratios(
            columns["family_number"],
            columns["annotator_number"],
            len(ids),
            columns[numerator],
            columns[denominator],
        )
    mine = [times["annotator_number"] == i for i in range(len(ids))]
    figures["seconds"] = [
        resamples.median(times["family_number"][rows], times["seconds"][rows]) for rows in mine
    ]
    outcomes = by_name["outcomes"]
    return [
        Annotator(
            annotator_id=name,
            answers=int(outcomes["answers"][outcomes["annotator_number"] == i].sum()),
            rankings=int(outcomes["rankings"][outcomes["annotator_number"] == i].sum()),
            figures={figure: of_each[i] for figure, of_each in figures.items()},
        )
        for i, name in enumerate(ids)
    ]
