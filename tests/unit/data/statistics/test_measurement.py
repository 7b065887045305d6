"""All figures of a snapshot: against loops over random snapshots, and tiny cases by hand."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.statistics import Figure, RankingStatistics, measure
from tests.oracles.ranking_statistics import agreement_of, agreement_with_others, figures_of
from tests.random_snapshots import fill
from tests.snapshots import Snapshot


def check(found: dict[str, Figure], expected: dict[str, float | None]) -> None:
    values = {name: found[name].value for name in expected}
    assert values == pytest.approx(expected)
    for name in expected:
        figure = found[name]
        assert (figure.value is None) == (figure.n == 0), name
        if figure.low is not None and figure.high is not None and figure.value is not None:
            assert figure.low <= figure.value <= figure.high, name


PROPERTY = settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@PROPERTY
@given(st.data())
def test_full_rankings_equal_plain_loops(snapshot: Snapshot, data: st.DataObject) -> None:
    fill(snapshot, data, coverages=("full",))
    compare_with_loops(snapshot, tau=True)


@PROPERTY
@given(st.data())
def test_partial_rankings_equal_plain_loops(snapshot: Snapshot, data: st.DataObject) -> None:
    """Without tau-b, which scipy knows of full rankings only."""
    fill(snapshot, data, coverages=("full", "top", "subset"))
    compare_with_loops(snapshot, tau=False)


def compare_with_loops(snapshot: Snapshot, *, tau: bool) -> None:
    statistics = measure(snapshot.write())
    agreement = agreement_of(snapshot, tau=tau)
    check(statistics.figures, {**figures_of(snapshot), **agreement})
    for row in statistics.annotators:
        check(row.figures, figures_of(snapshot, row.annotator_id))
        expected = agreement_with_others(snapshot, row.annotator_id)
        check(row.figures, {"agreement": expected})
    json.dumps(statistics.to_json(), allow_nan=False)


def test_agreement_by_hand(snapshot: Snapshot) -> None:
    """x and y order 2 of 3 pairs alike, x and z none of one."""
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c")
    snapshot.rank("k1", "s", {"a": 1, "b": 2, "c": 3}, annotator="x")
    snapshot.rank("k2", "s", {"a": 2, "b": 1, "c": 3}, annotator="y")
    snapshot.prompt("q")
    snapshot.set("t", "q", "d e")
    snapshot.rank("k3", "t", {"d": 1, "e": 2}, annotator="x")
    snapshot.rank("k4", "t", {"d": 2, "e": 1}, annotator="z")
    statistics = measure(snapshot.write())
    figures = statistics.figures
    assert figures["mutual_agreement"].value == pytest.approx((2 / 3 + 0) / 2)
    assert figures["mutual_agreement"].n == 4
    assert figures["mutual_agreement_pooled"].value == pytest.approx(2 / 4)
    assert figures["implied_accuracy"].value == 0.5
    assert figures["tau_b"].value == pytest.approx((1 / 3 - 1) / 2)
    assert [(it.first, it.second, it.agreement.value) for it in statistics.annotator_pairs] == [
        ("x", "y", pytest.approx(2 / 3)),
        ("x", "z", 0.0),
    ]
    own = {it.annotator_id: it.figures["agreement"] for it in statistics.annotators}
    assert {name: (it.value, it.n) for name, it in own.items()} == {
        "x": (0.5, 4),
        "y": (pytest.approx(2 / 3), 3),
        "z": (0.0, 1),
    }
    assert statistics.disputed == [
        {"set_id": "t", "prompt_id": "q", "pairs": 1, "agreement": 0.0, "annotators": 2},
        {
            "set_id": "s",
            "prompt_id": "p",
            "pairs": 3,
            "agreement": pytest.approx(2 / 3),
            "annotators": 2,
        },
    ]


def test_a_tie_against_an_order_counts_half_and_is_no_strict_pair(snapshot: Snapshot) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c")
    snapshot.rank("k1", "s", {"a": 1, "b": 1, "c": 2}, annotator="x")
    snapshot.rank("k2", "s", {"a": 1, "b": 2, "c": 2}, annotator="y")
    figures = measure(snapshot.write()).figures
    # a-b tie / strict, a-c alike, b-c strict / tie.
    assert (figures["mutual_agreement"].value, figures["mutual_agreement"].n) == (1.0, 1)
    assert figures["tie_aware_agreement"].value == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert figures["tie_rate"].value == pytest.approx(2 / 6)
    assert figures["tau_b"].value == pytest.approx(1 / 2)
    assert figures["implied_accuracy"].value == 1.0


@pytest.mark.parametrize(
    ("agreement", "accuracy"),
    [(0.726, 0.836), (0.63, 0.755), (0.77, 0.867), (0.5, 0.5), (1.0, 1.0)],
)
def test_what_each_rater_must_be_right_for_an_agreement(agreement: float, accuracy: float) -> None:
    from data.statistics.agreement import implied_accuracy

    figure = implied_accuracy(Figure(value=agreement, low=0.3, high=agreement, n=7))
    assert figure.value == pytest.approx(accuracy, abs=5e-4)
    assert (figure.low, figure.n) == (0.5, 7)
    assert implied_accuracy(Figure()) == Figure()


def test_position_and_length_by_hand(snapshot: Snapshot) -> None:
    """Shown c, a, b; order a > b > c: of a-b, a-c, b-c the earlier shown wins the first only."""
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c", texts={"a": "long", "b": "lon", "c": "lon"})
    snapshot.rank("k", "s", {"a": 1, "b": 2, "c": 3}, shown="c a b")
    figures = measure(snapshot.write()).figures
    assert (figures["earlier_wins"].value, figures["earlier_wins"].n) == (pytest.approx(1 / 3), 3)
    assert (figures["longer_wins"].value, figures["longer_wins"].n) == (1.0, 2)


@pytest.mark.parametrize(
    ("tiers", "passed"),
    [
        ({"damaged": 3, "a": 1, "z": 2}, 1.0),
        ({"damaged": 2, "a": 1, "z": 2}, 1.0),
        ({"damaged": 2, "a": 1, "z": 3}, 0.0),
        ({"damaged": 1, "a": 1, "z": 1}, 1.0),
    ],
)
def test_gold_fails_where_the_damaged_one_is_above_any(
    snapshot: Snapshot, tiers: dict[str, int], passed: float
) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "damaged a z", purpose="gold")
    snapshot.rank("k", "s", tiers)
    figures = measure(snapshot.write()).figures
    assert (figures["gold_passed"].value, figures["gold_passed"].n) == (passed, 1)
    assert figures["tie_rate"].n == figures["earlier_wins"].n == 0


def test_a_retest_is_compared_with_the_same_annotators_answer(snapshot: Snapshot) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c")
    snapshot.set("again", "p", "a b c", purpose="retest", retest_of="s")
    snapshot.rank("k1", "s", {"a": 1, "b": 2, "c": 3}, annotator="x")
    snapshot.rank("k2", "s", {"a": 3, "b": 2, "c": 1}, annotator="y")
    snapshot.rank("k3", "again", {"a": 1, "b": 3, "c": 2}, annotator="x")
    statistics = measure(snapshot.write())
    figure = statistics.figures["retest_agreement"]
    assert (figure.value, figure.n) == (pytest.approx(2 / 3), 3)
    assert statistics.annotators[1].figures["retest_agreement"] == Figure()
    assert statistics.counts["shared_sets"] == 1
    assert statistics.figures["mutual_agreement"].value == 0.0


@pytest.mark.parametrize("purpose", ["gold", "retest", "calibration"])
def test_sets_that_do_not_train_say_nothing_of_agreement(snapshot: Snapshot, purpose: str) -> None:
    again = "s" if purpose == "retest" else None
    snapshot.prompt("p")
    snapshot.set("s", "p", "damaged a")
    snapshot.set("t", "p", "damaged a", purpose=purpose, retest_of=again)
    for name in ("x", "y"):
        snapshot.rank(f"k{name}", "t", {"a": 1, "damaged": 2}, annotator=name)
    statistics = measure(snapshot.write())
    names = ("mutual_agreement", "tau_b", "alpha", "tie_rate", "earlier_wins", "longer_wins")
    assert [statistics.figures[name].n for name in names] == [0] * 6
    assert statistics.counts["shared_sets"] == 0
    assert statistics.annotators[0].figures["quality"] == Figure()
    assert statistics.sizes == []
    assert statistics.figures["skipped"].n == 2


def test_only_the_highest_revision_counts(snapshot: Snapshot) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b")
    snapshot.rank("k1", "s", {"a": 1, "b": 2}, annotator="x")
    snapshot.rank("k2", "s", {"a": 2, "b": 1}, annotator="x", revision=2, active_ms=9000)
    snapshot.rank("k3", "s", {"a": 2, "b": 1}, annotator="y", active_ms=0)
    statistics = measure(snapshot.write())
    assert statistics.figures["mutual_agreement"].value == 1.0
    assert statistics.counts == {
        "answers": 2,
        "rankings": 2,
        "annotators": 2,
        "shared_sets": 1,
        "families": 1,
    }
    assert (statistics.figures["seconds"].value, statistics.figures["seconds"].n) == (9.0, 1)


def test_distributions(snapshot: Snapshot) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c")
    snapshot.rank("k1", "s", {"a": 1, "b": 1, "c": 2}, annotator="x")
    snapshot.rank("k2", "s", {"a": 1, "b": 2, "c": 3}, annotator="y")
    snapshot.rank("k3", "s", {}, annotator="z", outcome="skipped")
    snapshot.rank("k4", "s", {}, annotator="w", outcome="not_rankable")
    statistics = measure(snapshot.write())
    assert statistics.sizes == [
        {"k": 3, "tiers": 2, "rankings": 1},
        {"k": 3, "tiers": 3, "rankings": 1},
    ]
    assert statistics.skip_reasons == [{"reason": "unclear", "answers": 1}]
    assert [(row.annotator_id, row.answers, row.rankings) for row in statistics.annotators] == [
        ("w", 1, 0),
        ("x", 1, 1),
        ("y", 1, 1),
        ("z", 1, 0),
    ]
    assert (statistics.figures["skipped"].value, statistics.figures["skipped"].n) == (0.25, 4)


def test_no_answers_at_all(snapshot: Snapshot) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b")
    statistics = measure(snapshot.write())
    assert set(statistics.figures.values()) == {Figure()}
    assert statistics.annotators == statistics.annotator_pairs == statistics.disputed == []
    assert statistics.counts["answers"] == statistics.counts["families"] == 0


def test_json_and_summary_have_the_same_keys_whatever_the_data(snapshot: Snapshot) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b")
    empty = measure(snapshot.write())
    snapshot.rank("k1", "s", {"a": 1, "b": 2})
    some = measure(snapshot.write())
    assert empty.summary().keys() == some.summary().keys()
    assert len(some.summary()) == 5 + 3 * 14
    assert some.summary()["tie_rate"] == 0.0
    shape = some.to_json()
    assert shape["schema"] == "statistics/1"
    assert shape["references"] == {"mutual_agreement": 0.726}
    assert list(shape["figures"]) == list(empty.to_json()["figures"])
    assert shape["figures"]["tie_rate"] == {
        "value": 0.0,
        "low": 0.0,
        "high": pytest.approx(0.975),
        "n": 1,
    }
    assert set(shape) == {"schema", "references", *RankingStatistics.__dataclass_fields__}


def test_equal_snapshots_give_equal_figures(snapshot: Snapshot) -> None:
    for p in range(8):
        snapshot.prompt(f"p{p}")
        snapshot.set(f"s{p}", f"p{p}", f"a{p} b{p} c{p}")
        for name, shift in (("x", 0), ("y", p % 2), ("z", p % 3)):
            ids = [f"a{p}", f"b{p}", f"c{p}"]
            tiers: dict[str, Any] = {ids[(i + shift) % 3]: i + 1 for i in range(3)}
            snapshot.rank(f"k{p}{name}", f"s{p}", tiers, annotator=name)
    first = measure(snapshot.write())
    for rows in snapshot.tables.values():
        rows.reverse()
    assert measure(snapshot.write()) == first
    assert measure(snapshot.write(), seed=1).figures["tau_b"] != first.figures["tau_b"]
