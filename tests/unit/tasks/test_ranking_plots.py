"""Plots of rankings: which there are, what they show of the figures, and that odd data draw."""

import io
from pathlib import Path
from typing import Any

import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

from data.statistics import Figure, RankingStatistics, measure
from tasks.ranking_plots import plots
from tests.snapshots import Snapshot


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """x and y agree on six prompts, w never does. x takes the first shown, w the last."""
    made = Snapshot(tmp_path / "snapshot")
    for p in range(6):
        made.prompt(f"p{p}")
        made.set(f"s{p}", f"p{p}", f"a{p} b{p} c{p}")
        for name in ("x", "y"):
            tiers = {f"a{p}": 1, f"b{p}": 2, f"c{p}": 2 + p % 2}
            shown = f"c{p} b{p} a{p}" if name == "y" and p < 3 else ""
            made.rank(f"k{p}{name}", f"s{p}", tiers, annotator=name, shown=shown)
        tiers = {f"a{p}": 3, f"b{p}": 2, f"c{p}": 1}
        made.rank(f"k{p}w", f"s{p}", tiers, annotator="w")
    return made


def draw(statistics: RankingStatistics) -> dict[str, Any]:
    drawn = plots(statistics)
    for plot in drawn.values():
        plot.savefig(io.BytesIO(), format="png")
    return drawn


def dots(plot: Any, panel: int = 0) -> tuple[list[float], list[str]]:
    """Values and colours of the dots of a panel, from the first row on."""
    (collection,) = (it for it in plot.axes[panel].collections if isinstance(it, PathCollection))
    assert collection.get_offsets()[:, 1].tolist() == list(range(len(collection.get_offsets())))
    colours = [to_hex(colour) for colour in collection.get_facecolors()]
    return collection.get_offsets()[:, 0].tolist(), colours


def test_each_annotator_stands_where_its_figures_are(snapshot: Snapshot) -> None:
    statistics = measure(snapshot.write())
    drawn = plots(statistics)
    assert list(drawn) == ["agreement", "agreement_matrix", "habits", "quality", "ties"]
    figures = {it.annotator_id: it.figures for it in statistics.annotators}
    axes = drawn["agreement"].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x  (6)", "y  (6)", "w  (6)"]
    expected = [figures[name]["agreement"].value for name in ("x", "y", "w")]
    assert dots(drawn["agreement"])[0] == pytest.approx(expected)
    assert any("72.6%" in text.get_text() for text in drawn["agreement"].legends[0].get_texts())


def test_a_habit_is_red_only_where_the_interval_leaves_out_one_half(snapshot: Snapshot) -> None:
    plot = plots(measure(snapshot.write()))["habits"]
    names = [label.get_text() for label in plot.axes[0].get_yticklabels()]
    expected = {"x  (6)": "tab:red", "y  (6)": "tab:blue", "w  (6)": "tab:red"}
    assert dict(zip(names, dots(plot)[1], strict=True)) == {
        name: to_hex(colour) for name, colour in expected.items()
    }


def test_the_matrix_is_symmetric_and_blank_on_its_diagonal(snapshot: Snapshot) -> None:
    import numpy as np

    image = plots(measure(snapshot.write()))["agreement_matrix"].axes[0].get_images()[0]
    values = np.ma.filled(image.get_array().astype(float), np.nan)
    assert np.isnan(np.diag(values)).all()
    assert values == pytest.approx(values.T, nan_ok=True)
    assert values[0, 1] == 1.0


def test_without_rankings_there_is_nothing_to_draw(tmp_path: Path) -> None:
    empty = Snapshot(tmp_path / "empty")
    empty.prompt("p")
    empty.set("s", "p", "a b")
    empty.rank("k", "s", {}, outcome="skipped")
    assert draw(measure(empty.write())) == {}


def test_one_annotator_has_habits_but_no_agreement(snapshot: Snapshot) -> None:
    rows = snapshot.tables["ranking"]
    snapshot.tables["ranking"] = [row for row in rows if row[2] == "x"]
    assert list(draw(measure(snapshot.write()))) == ["habits", "ties"]


def test_many_annotators_and_names_of_any_script(tmp_path: Path) -> None:
    """24 rows at most, those who ranked most; long and Chinese names draw without a warning."""
    many = Snapshot(tmp_path / "many")
    for p in range(2):
        many.prompt(f"p{p}")
        many.set(f"s{p}", f"p{p}", f"a{p} b{p}")
        for i in range(28 if p == 0 else 25):
            name = f"标注者_{i:02d}_with_a_long_name"
            many.rank(f"k{p}_{i}", f"s{p}", {f"a{p}": 1, f"b{p}": 2}, annotator=name)
    drawn = draw(measure(many.write()))
    labels = [label.get_text() for label in drawn["agreement"].axes[0].get_yticklabels()]
    assert len(labels) == 24
    assert all("(2)" in label for label in labels)
    assert len(drawn["agreement_matrix"].axes[0].get_yticklabels()) == 12


def test_a_figure_without_interval_is_a_dot_alone() -> None:
    from matplotlib.figure import Figure as Plot

    from tasks.ranking_plots import _draw_rows

    axes = Plot().add_subplot()
    _draw_rows(axes, [Figure(value=0.4, n=3), Figure(), Figure(value=0.5, low=0.4, high=0.6, n=9)])
    assert [type(it) for it in axes.collections] == [PathCollection, LineCollection]
    assert len(axes.collections[0].get_offsets()) == 2
