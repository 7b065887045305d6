"""Pairs: given rankings, expect exactly these rows and weights."""

import itertools
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import InputError
from data.pairs import PairsConfig, build_pairs
from tests.oracles.pairs_loops import consensus_pairs, raw_pairs
from tests.random_snapshots import fill

Read = Callable[..., list[dict[str, Any]]]
Y = "y1 y2 y3 y4"


def pairs_of(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["chosen_id"], row["rejected_id"]) for row in rows}


def test_the_six_pairs_of_the_seed(snapshot: Any, read_pairs: Read) -> None:
    """y4 > y3 > y1 > y2."""
    snapshot.prompt("p")
    snapshot.set("s", "p", Y)
    snapshot.rank("r", "s", {"y4": 1, "y3": 2, "y1": 3, "y2": 4})
    rows = read_pairs()
    assert [(row["chosen_id"], row["rejected_id"], row["tier_gap"]) for row in rows] == [
        ("y1", "y2", 1),
        ("y3", "y1", 1),
        ("y3", "y2", 2),
        ("y4", "y1", 2),
        ("y4", "y2", 3),
        ("y4", "y3", 1),
    ]
    assert {row["weight"] for row in rows} == {1 / 6}
    names = "split family_id prompt_id set_id ranking_id annotator_id"
    assert list(rows[0]) == [*names.split(), "chosen_id", "rejected_id", "tier_gap", "weight"]
    assert [rows[0][name] for name in names.split()] == ["train", "f_p", "p", "s", "r", "ann"]


def test_tied_pairs_are_left_out_and_their_weight_with_them(
    snapshot: Any, read_pairs: Read
) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c")
    snapshot.rank("r", "s", {"a": 1, "b": 2, "c": 2})
    rows = read_pairs()
    assert pairs_of(rows) == {("a", "b"), ("a", "c")}
    assert {row["weight"] for row in rows} == {1 / 3}


def test_a_wholly_tied_ranking_halves_the_weight_of_the_other(
    snapshot: Any, read_pairs: Read
) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", Y)
    snapshot.rank("r1", "s", {"y4": 1, "y3": 2, "y1": 3, "y2": 4}, annotator="ann")
    snapshot.rank("r2", "s", dict.fromkeys(Y.split(), 1), annotator="bob")
    rows = read_pairs()
    assert len(rows) == 6
    assert {row["weight"] for row in rows} == {1 / 12}


def test_coverage_says_what_absent_responses_mean(snapshot: Any, read_pairs: Read) -> None:
    for name in ("top", "subset"):
        snapshot.prompt(name)
        snapshot.set(name, name, f"{name}1 {name}2 {name}3 {name}4")
        snapshot.rank(f"r_{name}", name, {f"{name}1": 1, f"{name}2": 2}, coverage=name)
    rows = read_pairs()
    assert pairs_of(rows) == {
        ("top1", "top2"),
        ("top1", "top3"),
        ("top1", "top4"),
        ("top2", "top3"),
        ("top2", "top4"),
        ("subset1", "subset2"),
    }
    gaps = {(row["chosen_id"], row["rejected_id"]): row["tier_gap"] for row in rows}
    assert (gaps["top1", "top3"], gaps["top2", "top4"]) == (2, 1)


def test_what_never_trains(snapshot: Any, read_pairs: Read, out: Path) -> None:
    snapshot.prompt("p")
    snapshot.prompt("q")
    for purpose in ("main", "overlap", "gold", "retest", "calibration"):
        snapshot.set(purpose, "p", f"{purpose}_a {purpose}_b", purpose=purpose)
        snapshot.rank(f"r_{purpose}", purpose, {f"{purpose}_a": 1, f"{purpose}_b": 2})
    snapshot.set("other", "q", "q_a q_b")
    snapshot.rank("r_skip", "other", {}, outcome="skipped")
    snapshot.rank("r_none", "other", {}, outcome="not_rankable", annotator="bob")
    rows = read_pairs()
    assert {row["set_id"] for row in rows} == {"main", "overlap"}
    assert {row["weight"] for row in rows} == {1 / 2}
    prompts = pl.read_parquet(out / "prompts.parquet", glob=False)
    assert prompts.columns == ["prompt_id", "family_id", "split", "messages", "stratum"]
    assert prompts["prompt_id"].to_list() == ["p", "q"]
    responses = pl.read_parquet(out / "responses.parquet", glob=False)
    assert responses.columns == ["response_id", "prompt_id", "text", "generator"]
    assert responses.height == 12


def test_the_highest_revision_counts(snapshot: Any, read_pairs: Read) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b")
    snapshot.rank("r1", "s", {"a": 1, "b": 2})
    snapshot.rank("r2", "s", {"a": 2, "b": 1}, revision=2)
    (row,) = read_pairs()
    assert (row["ranking_id"], row["chosen_id"], row["weight"]) == ("r2", "b", 1.0)


def test_consensus_keeps_what_several_agree_on(snapshot: Any, read_pairs: Read) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c")
    snapshot.rank("r1", "s", {"a": 1, "b": 2, "c": 3}, annotator="one")
    snapshot.rank("r2", "s", {"a": 1, "b": 2, "c": 2}, annotator="two")
    snapshot.rank("r3", "s", {"a": 2, "b": 1, "c": 3}, annotator="three")
    snapshot.prompt("q")
    snapshot.set("t", "q", "d e")
    snapshot.rank("r4", "t", {"d": 1, "e": 2})
    rows = {(row["chosen_id"], row["rejected_id"]): row for row in read_pairs(mode="consensus")}
    # a > b by 2 of 3 leans 1/6 only; b > c by 2.5 of 3; d > e has one vote.
    assert set(rows) == {("a", "c"), ("b", "c")}
    assert rows["a", "c"]["weight"] == pytest.approx(1 / 3)
    assert rows["b", "c"]["weight"] == pytest.approx(1 / 3 * (2 * 2.5 / 3 - 1))
    assert rows["a", "c"]["ranking_id"] == rows["a", "c"]["annotator_id"] == "consensus"


def test_no_strict_pair_is_said(snapshot: Any, out: Path) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b")
    snapshot.rank("r", "s", {"a": 1, "b": 1})
    with pytest.raises(InputError, match=r"no strict pair can be built .*tied_pairs 1"):
        build_pairs(snapshot.write(), out, PairsConfig())
    assert list(out.iterdir()) == []


def test_counts(snapshot: Any, out: Path) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c")
    snapshot.rank("r1", "s", {"a": 1, "b": 1, "c": 2})
    snapshot.rank("r2", "s", {}, outcome="skipped", annotator="bob")
    assert build_pairs(snapshot.write(), out, PairsConfig()) == {
        "count_current_rankings": 2,
        "count_skipped": 1,
        "count_not_rankable": 0,
        "count_training_rankings": 1,
        "count_tied_pairs": 1,
        "count_pairs": 2,
        "count_prompts": 1,
    }


def test_same_snapshot_same_bytes(snapshot: Any, read_pairs: Read, out: Path) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", Y)
    snapshot.rank("r", "s", {"y4": 1, "y3": 2, "y1": 3, "y2": 4})
    read_pairs()
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    for rows in snapshot.tables.values():
        rows.reverse()
    read_pairs()
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


@pytest.mark.parametrize(
    "bad", [{"mode": "soft"}, {"min_votes": 0}, {"min_lean": 0.0}, {"min_lean": 0.6}]
)
def test_config_names_the_field(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        PairsConfig(**bad)


RANKINGS = st.lists(st.lists(st.integers(1, 3), min_size=2, max_size=4), min_size=1, max_size=4)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(RANKINGS)
def test_raw_pairs_equal_an_oracle_in_python(
    snapshot: Any, read_pairs: Read, rankings: list[list[int]]
) -> None:
    """Each ranking is a set of its own of one prompt; tiers are made dense."""
    for rows in snapshot.tables.values():
        rows.clear()
    snapshot.prompt("p")
    expected: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for index, tiers in enumerate(rankings):
        ids = [f"r{index}_{position}" for position in range(len(tiers))]
        dense = sorted(set(tiers))
        named = {one: dense.index(tier) + 1 for one, tier in zip(ids, tiers, strict=True)}
        snapshot.set(f"s{index}", "p", " ".join(ids))
        snapshot.rank(f"k{index}", f"s{index}", named)
        for a, b in itertools.permutations(ids, 2):
            if named[a] < named[b]:
                possible = len(ids) * (len(ids) - 1) // 2
                expected[a, b] = Fraction(1, possible * len(rankings))
    if not expected:
        with pytest.raises(InputError):
            read_pairs()
        return
    found = {(row["chosen_id"], row["rejected_id"]): row["weight"] for row in read_pairs()}
    assert found == pytest.approx({pair: float(weight) for pair, weight in expected.items()})


ANY = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@ANY
@given(st.data())
def test_raw_pairs_of_any_snapshot_equal_plain_loops(
    snapshot: Any, read_pairs: Read, data: st.DataObject
) -> None:
    """Several sets and annotators a prompt, revisions, ties, partial rankings, gold and retests."""
    fill(snapshot, data, coverages=("full", "top", "subset"))
    expected = raw_pairs(snapshot)
    rows = read_pairs() if expected else []
    found = {
        (f"{row['set_id']} {row['annotator_id']}", row["chosen_id"], row["rejected_id"]): row
        for row in rows
    }
    assert len(found) == len(rows)
    assert_same(found, expected)


@ANY
@given(st.data(), st.integers(1, 3), st.sampled_from([(0.1, 1, 10), (0.2, 1, 5), (0.5, 1, 2)]))
def test_consensus_of_any_snapshot_equals_plain_loops(
    snapshot: Any, read_pairs: Read, data: st.DataObject, votes: int, lean: tuple[float, int, int]
) -> None:
    fill(snapshot, data, coverages=("full", "top", "subset"))
    expected = consensus_pairs(snapshot, votes, Fraction(*lean[1:]))
    rows = read_pairs(mode="consensus", min_votes=votes, min_lean=lean[0]) if expected else []
    found = {(row["prompt_id"], row["chosen_id"], row["rejected_id"]): row for row in rows}
    assert len(found) == len(rows)
    assert_same(found, expected)


def assert_same(found: dict[Any, dict[str, Any]], expected: dict[Any, Any]) -> None:
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert row["tier_gap"] == expected[key].tier_gap
        assert row["weight"] == pytest.approx(float(expected[key].weight), rel=1e-12)


def test_a_prompt_ranked_in_several_sets_weighs_one(snapshot: Any, read_pairs: Read) -> None:
    """Three rankings of two sets of K = 3 and K = 2: each has a third of the prompt."""
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c")
    snapshot.set("t", "p", "c d", purpose="overlap")
    snapshot.rank("r1", "s", {"a": 1, "b": 2, "c": 3}, annotator="x")
    snapshot.rank("r2", "s", {"a": 3, "b": 2, "c": 1}, annotator="y")
    snapshot.rank("r3", "t", {"c": 1, "d": 2}, annotator="x")
    rows = read_pairs()
    assert {row["weight"] for row in rows if row["set_id"] == "s"} == {1 / 9}
    assert {row["weight"] for row in rows if row["set_id"] == "t"} == {1 / 3}
    assert sum(row["weight"] for row in rows) == pytest.approx(1)


def test_a_revision_to_a_skip_takes_the_ranking_away(snapshot: Any, read_pairs: Read) -> None:
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b")
    snapshot.rank("r1", "s", {"a": 1, "b": 2}, annotator="x")
    snapshot.rank("r2", "s", {}, annotator="x", revision=2, outcome="skipped")
    snapshot.rank("r3", "s", {"a": 2, "b": 1}, annotator="y")
    (row,) = read_pairs()
    assert (row["annotator_id"], row["chosen_id"], row["weight"]) == ("y", "b", 1.0)


def test_what_top_rankings_leave_out_is_neither_compared_nor_tied(
    snapshot: Any, read_pairs: Read, out: Path
) -> None:
    """Two leave out b and c; two put b above c: two votes, not four."""
    snapshot.prompt("p")
    snapshot.set("s", "p", "a b c")
    for name in ("w", "x"):
        snapshot.rank(f"r{name}", "s", {"a": 1}, annotator=name, coverage="top")
    for name in ("y", "z"):
        snapshot.rank(f"r{name}", "s", {"a": 1, "b": 2, "c": 3}, annotator=name)
    rows = read_pairs(mode="consensus", min_votes=3)
    assert pairs_of(rows) == {("a", "b"), ("a", "c")}
    assert build_pairs(snapshot.path, out, PairsConfig())["count_tied_pairs"] == 0
