"""Plots of who agrees with whom, how people rank, and how well; each is a matplotlib Figure.

Annotators stand one below the other, each figure a dot with its 95 % interval. Drawn through the
object interface: no pyplot, hence no global state and no window.

Omitted on purpose: computing the figures (data/statistics).
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Plot

    from data.statistics import Figure, RankingStatistics
    from data.statistics.figures import Annotator

_MAX_SHOWN = 24
_MAX_IN_MATRIX = 12
_CALM, _WARNING = "tab:blue", "tab:red"
_QUALITY = {
    "quality": ("right, as far as the others can tell", "o", "tab:blue"),
    "gold_passed": ("gold sets passed", "D", "tab:orange"),
    "retest_agreement": ("agrees with oneself on a retest", "s", "tab:green"),
}


def plots(statistics: "RankingStatistics") -> "dict[str, Plot]":
    """Name -> plot, of those annotators who ranked most; without those that have no data."""
    shown = sorted(statistics.annotators, key=lambda it: -it.rankings)[:_MAX_SHOWN]
    drawn = {
        "agreement": agreement(statistics, shown),
        "agreement_matrix": agreement_matrix(statistics, shown),
        "habits": habits(statistics, shown),
        "quality": quality(shown),
        "ties": ties(statistics, shown),
    }
    return {name: plot for name, plot in drawn.items() if plot is not None}


def agreement(statistics: "RankingStatistics", shown: "Sequence[Annotator]") -> "Plot | None":
    """Each annotator's agreement with the others, the highest on top, beside InstructGPT's."""
    from data.statistics.figures import INSTRUCTGPT_AGREEMENT

    known = _known(shown, "agreement")
    if not known:
        return None
    plot, (axes,) = _panels(known)
    axes.axvline(0.5, color="0.75", linestyle=":", label="coins")
    text = f"InstructGPT's labellers, {INSTRUCTGPT_AGREEMENT:.1%}"
    axes.axvline(INSTRUCTGPT_AGREEMENT, color="tab:green", linestyle="--", label=text)
    _draw_overall(axes, statistics.figures["mutual_agreement"], "mean over pairs of annotators")
    _draw_rows(axes, [it.figures["agreement"] for it in known])
    axes.set_xlabel("share of strict pairs ordered alike")
    plot.suptitle("Agreement with the other annotators", fontsize=11)
    _put_legend(plot, axes)
    return plot


def agreement_matrix(
    statistics: "RankingStatistics", shown: "Sequence[Annotator]"
) -> "Plot | None":
    """Agreement of each two annotators, with the number of pairs that it rests on."""
    from matplotlib.figure import Figure as Plot

    names = [it.annotator_id for it in _known(shown[:_MAX_IN_MATRIX], "agreement")]
    cells = {
        places: pair.agreement
        for pair in statistics.annotator_pairs
        if {pair.first, pair.second} <= set(names)
        for places in (
            (names.index(pair.first), names.index(pair.second)),
            (names.index(pair.second), names.index(pair.first)),
        )
    }
    if not cells:
        return None
    size = 1.6 + 0.75 * len(names)
    plot = Plot(figsize=(size + 1.6, size), layout="constrained")
    axes = plot.add_subplot()
    rows = range(len(names))
    values = [[_value_at(cells.get((i, j))) for j in rows] for i in rows]
    image = axes.imshow(values, cmap="RdYlBu", vmin=0.0, vmax=1.0)
    for (i, j), figure in cells.items():
        text = f"{_value_at(figure):.0%}\nn {figure.n}"
        axes.text(j, i, text, ha="center", va="center", fontsize=8)
    axes.set_xticks(rows, [_short(name) for name in names], rotation=30, ha="right")
    axes.set_yticks(rows, [_short(name) for name in names])
    plot.colorbar(image, ax=axes, shrink=0.8, format=_percent)
    axes.set_title("Strict pairs ordered alike by two annotators", fontsize=11)
    return plot


def habits(statistics: "RankingStatistics", shown: "Sequence[Annotator]") -> "Plot | None":
    """How often the response shown earlier, and the longer one, wins; red where not by chance."""
    known = _known(shown, "earlier_wins")
    if not known:
        return None
    plot, panels = _panels(known, count=2)
    titles = {"earlier_wins": "the one shown earlier wins", "longer_wins": "the longer one wins"}
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        axes.axvline(0.5, color="0.75", linestyle=":", label="no habit")
        _draw_overall(axes, statistics.figures[name], "all annotators")
        _draw_rows(axes, [it.figures[name] for it in known], is_calm=_may_be_half)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("share of strict pairs")
    plot.suptitle("Habits: red where the interval leaves out one half", fontsize=11)
    _put_legend(plot, panels[0])
    return plot


def quality(shown: "Sequence[Annotator]") -> "Plot | None":
    """How good each annotator is by the three measures that there are."""
    known = [it for it in shown if any(it.figures[name].n for name in _QUALITY)]
    known.sort(key=lambda it: -(it.figures["quality"].value or 0.0))
    if not known:
        return None
    plot, (axes,) = _panels(known)
    axes.axvline(0.5, color="0.75", linestyle=":", label="coins")
    for row, (name, (label, marker, colour)) in enumerate(_QUALITY.items()):
        figures = [it.figures[name] for it in known]
        if any(figure.n for figure in figures):
            axes.plot([], [], color=colour, marker=marker, linestyle="none", label=label)
            _draw_rows(axes, figures, marker=marker, colour=colour, shift=0.22 * (row - 1))
    axes.set_xlabel("share")
    plot.suptitle("Quality: a reason to talk with somebody, not to drop data", fontsize=11)
    _put_legend(plot, axes)
    return plot


def ties(statistics: "RankingStatistics", shown: "Sequence[Annotator]") -> "Plot | None":
    """How many tiers rankings use, by the number of responses, and who ties how much."""
    from matplotlib.ticker import MaxNLocator

    known = _known(shown, "tie_rate")
    if not known:
        return None
    plot, (left, right) = _panels(known, count=2, share_rows=False)
    _draw_tiers(left, statistics)
    _draw_overall(right, statistics.figures["tie_rate"], "all annotators")
    _draw_rows(right, [it.figures["tie_rate"] for it in known])
    farthest = max(it.figures["tie_rate"].high or it.figures["tie_rate"].value or 0 for it in known)
    right.set_xlim(0, max(0.2, 1.1 * farthest))
    right.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    right.set_title("pairs tied", fontsize=10)
    right.set_xlabel("share of compared pairs")
    plot.suptitle("Ties", fontsize=11)
    _put_legend(plot, right)
    return plot


def _draw_tiers(axes: "Axes", statistics: "RankingStatistics") -> None:
    """One bar a number of responses, cut by the number of tiers; dark: no two are tied."""
    from matplotlib import colormaps

    sizes = sorted({row["k"] for row in statistics.sizes})
    for place, k in enumerate(sizes):
        rows = [row for row in statistics.sizes if row["k"] == k]
        total, start = sum(row["rankings"] for row in rows), 0.0
        for row in sorted(rows, key=lambda it: -it["tiers"]):
            share = row["rankings"] / total
            depth = row["tiers"] / k
            shade = colormaps["Blues"](0.15 + 0.7 * depth)
            axes.barh(place, share, left=start, color=shade, edgecolor="white", height=0.7)
            if share > 0.06:
                at, ink = (start + share / 2, place), "white" if depth > 0.6 else "black"
                axes.text(*at, row["tiers"], ha="center", va="center", color=ink)
            start += share
    labels = [
        f"K = {k}\n{sum(row['rankings'] for row in statistics.sizes if row['k'] == k):,}"
        for k in sizes
    ]
    axes.set_yticks(range(len(sizes)), labels)
    axes.set_ylim(len(sizes) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(_percent)
    axes.set_title("tiers used", fontsize=10)
    axes.set_xlabel("share of rankings")


def _known(shown: "Sequence[Annotator]", name: str) -> "list[Annotator]":
    """Those who have this figure, the highest first."""
    return sorted(
        (it for it in shown if it.figures[name].n), key=lambda it: -(it.figures[name].value or 0.0)
    )


def _panels(
    rows: "Sequence[Annotator]", *, count: int = 1, share_rows: bool = True
) -> "tuple[Plot, list[Axes]]":
    """Panels side by side in which each annotator has a row, the first on top."""
    from matplotlib.figure import Figure as Plot

    plot = Plot(figsize=(2.4 + 4.0 * count, 1.9 + 0.34 * len(rows)), layout="constrained")
    panels = [plot.add_subplot(1, count, place + 1) for place in range(count)]
    for place, axes in enumerate(panels):
        named = place == 0 or not share_rows
        labels = [f"{_short(it.annotator_id)}  ({it.rankings:,})" for it in rows]
        axes.set_yticks(range(len(rows)), labels if named else [])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 1.02)
        axes.xaxis.set_major_formatter(_percent)
        axes.grid(axis="x", alpha=0.3)
    return plot, panels


def _draw_rows(
    axes: "Axes",
    figures: "Sequence[Figure]",
    *,
    marker: str = "o",
    colour: str = _CALM,
    shift: float = 0.0,
    is_calm: "Callable[[Figure], bool]" = lambda _figure: True,
) -> None:
    """A dot a row; without a line where there is no interval."""
    rows = [(row + shift, it) for row, it in enumerate(figures) if it.value is not None]
    colours = [colour if is_calm(it) else _WARNING for _, it in rows]
    axes.scatter(
        [_value_at(it) for _, it in rows], [row for row, _ in rows], c=colours, marker=marker, s=36
    )
    for (row, it), own in zip(rows, colours, strict=True):
        if it.low is not None and it.high is not None:
            axes.hlines(row, it.low, it.high, color=own, linewidth=1.8)


def _draw_overall(axes: "Axes", figure: "Figure", label: str) -> None:
    """A line with its interval as a band."""
    if figure.value is None:
        return
    axes.axvline(figure.value, color="0.35", linewidth=1.2, label=f"{label}, {figure.value:.1%}")
    if figure.low is not None and figure.high is not None:
        axes.axvspan(figure.low, figure.high, color="0.35", alpha=0.12, linewidth=0)


def _value_at(figure: "Figure | None") -> float:
    """Of a cell; blank where there is none."""
    return math.nan if figure is None or figure.value is None else figure.value


def _may_be_half(figure: "Figure") -> bool:
    return figure.low is None or figure.high is None or figure.low <= 0.5 <= figure.high


def _put_legend(plot: "Plot", axes: "Axes") -> None:
    """Below everything, where it hides no dot."""
    handles, labels = axes.get_legend_handles_labels()
    plot.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)


def _percent(share: float, _place: float = 0.0) -> str:
    return f"{share:.0%}"


def _short(name: str) -> str:
    """At most 18 characters, all of which matplotlib's own font has."""
    name = name.encode("latin-1", "replace").decode("latin-1")
    return name if len(name) <= 18 else f"{name[:17]}…"
