"""Plots for people who would rather look than read; each returns a matplotlib Figure.

Drawn through the object interface: no pyplot, hence no global state and no window.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves(
    history: Sequence[Mapping[str, float]],
    names: Sequence[str],
    *,
    x_label: str,
    title: str,
) -> "Figure":
    """One panel a metric, over the index in `history`, each on a scale of its own."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(names), 3.0), layout="constrained")
    for panel, name in enumerate(names, start=1):
        axes = figure.add_subplot(1, len(names), panel)
        axes.plot([metrics[name] for metrics in history], linewidth=1.2)
        axes.set_xlabel(x_label)
        axes.set_title(name, fontsize=10)
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=11)
    return figure


def histograms(samples: Mapping[str, Sequence[float]], *, x_label: str, title: str) -> "Figure":
    """Overlaid histograms on common bins, named in a legend."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    values = [value for sample in samples.values() for value in sample]
    low, high = min(values), max(values)
    for name, sample in samples.items():
        axes.hist(sample, bins=40, range=(low, high), alpha=0.55, density=True, label=name)
    axes.set_xlabel(x_label)
    axes.set_ylabel("density")
    axes.set_title(title, fontsize=11)
    axes.legend()
    return figure


def calibration(probabilities: Sequence[float], outcomes: Sequence[float]) -> "Figure":
    """Share of pairs that the labels order as the model does, by the model's own probability.

    Args:
        probabilities: sigmoid(raw margin) of the response that the model prefers, in [0.5, 1].
        outcomes: 1 where the label agrees, else 0.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0.5, 1], [0.5, 1], color="grey", linestyle="--", label="calibrated")
    bins: list[list[tuple[float, float]]] = [[] for _ in range(10)]
    for probability, outcome in zip(probabilities, outcomes, strict=True):
        bins[min(int((probability - 0.5) * 20), 9)].append((probability, outcome))
    points = [
        (sum(p for p, _ in held) / len(held), sum(o for _, o in held) / len(held), len(held))
        for held in bins
        if held
    ]
    axes.scatter(
        [x for x, _, _ in points], [y for _, y, _ in points], s=[4 + n for *_, n in points]
    )
    axes.plot([x for x, _, _ in points], [y for _, y, _ in points], label="reward model")
    axes.set_xlabel("probability of the preferred response")
    axes.set_ylabel("share that the labels prefer")
    axes.set_title("calibration on validation pairs (raw scores)", fontsize=10)
    axes.legend()
    return figure
