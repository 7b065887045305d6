"""Plots for people who would rather look than read; each returns a matplotlib Figure.

Drawn through the object interface: no pyplot, hence no global state and no window.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


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
        axes.plot([metrics.get(name, math.nan) for metrics in history], linewidth=1.2)
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


def frontier(
    curve: Sequence[Mapping[str, Any]],
    policies: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
) -> "Figure":
    """What best-of-n gives for its KL, and where trained policies stand; one panel a measure.

    The x axis is the root of the KL: there best-of-n is nearly straight (arXiv:2210.10760).

    Args:
        curve: One row an n: "n", "kl", "kl_bound", and each measure with _low and _high.
        policies: {policy: the same of "kl" and each measure}.
        names: The measures.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(names), 4.0), layout="constrained")
    for panel, name in enumerate(names, start=1):
        axes = figure.add_subplot(1, len(names), panel)
        axes.set_xscale("function", functions=(_signed_root, _signed_square))
        _draw_best_of_n(axes, curve, name)
        for policy, colour in zip(policies, ("tab:red", "tab:green"), strict=False):
            row = policies[policy]
            errors = [
                [[max(row[it] - row[f"{it}_low"], 0)], [max(row[f"{it}_high"] - row[it], 0)]]
                for it in ("kl", name)
            ]
            axes.errorbar(
                row["kl"],
                row[name],
                xerr=errors[0],
                yerr=errors[1],
                color=colour,
                marker="o",
                linestyle="none",
                label=policy,
            )
        farthest = max(row["kl"] for row in (*curve, *policies.values()))
        axes.set_xlim(0, 1.15 * max(farthest, curve[-1]["kl_bound"]))
        axes.set_xticks([x for x in (0, 0.1, 0.5, 1, 2, 3, 5, 10, 20) if x <= axes.get_xlim()[1]])
        axes.set_xlabel("KL from SFT, nats a reply")
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", fontsize=9)
    figure.suptitle("best-of-n by the reward model against trained policies", fontsize=11)
    return figure


def _draw_best_of_n(axes: "Axes", curve: Sequence[Mapping[str, Any]], name: str) -> None:
    """The curve with its band by the KL of ranks, and dashed by that without repeats."""
    kl, values = [row["kl"] for row in curve], [row[name] for row in curve]
    low, high = ([row[f"{name}_{end}"] for row in curve] for end in ("low", "high"))
    axes.fill_between(kl, low, high, color="tab:blue", alpha=0.18, linewidth=0)
    axes.plot(kl, values, color="tab:blue", label="best of n, KL by ranks")
    bound = [row["kl_bound"] for row in curve]
    label = "best of n, KL ln n - (n - 1) / n"
    axes.plot(bound, values, color="black", linestyle=(0, (2, 5)), linewidth=1.2, label=label)
    for row in curve:
        if row["n"] & (row["n"] - 1) == 0:  # 1, 2, 4, ...
            axes.plot(row["kl"], row[name], color="tab:blue", marker=".")
            axes.annotate(
                "1 (SFT)" if row["n"] == 1 else f"{row['n']}",
                (row["kl"], row[name]),
                textcoords="offset points",
                xytext=(6, -8),
                fontsize=8,
                color="tab:blue",
            )


def _signed_root(x: "NDArray[Any]") -> "NDArray[Any]":
    import numpy as np

    return np.sign(x) * np.sqrt(np.abs(x))


def _signed_square(x: "NDArray[Any]") -> "NDArray[Any]":
    import numpy as np

    return np.sign(x) * x**2
