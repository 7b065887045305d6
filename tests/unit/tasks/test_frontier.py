"""Best-of-n of the SFT policy beside trained policies: figures, payload and plot."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlhf_core.evaluation.config import EvaluateConfig
from rlhf_core.evaluation.intervals import Estimate
from tasks.context import StageContext
from tasks.frontier import best_of_n_sampling, report_frontier, settled_scores
from tasks.plots import frontier
from tasks.replies import Reply
from tasks.stage_log import StageLog


def reply(prompt: str, text: str, score: float, gold: float | None) -> Reply:
    return Reply(
        model="best_of_n",
        prompt_id=prompt,
        family_id=prompt,
        question="My lamp flickers.",
        text=text,
        ended=True,
        words=1,
        kl=0.0,
        kl_k3=0.0,
        score=score,
        heldout=score / 2,
        gold=gold,
        right_product=None,
        well_formed=None,
    )


# Two prompts with three replies each; the second has one that repeats, at a score of its own.
REPLIES = [
    reply("a", "x", 1.0, 5.0),
    reply("a", "y", 2.0, 8.0),
    reply("a", "z", 3.0, 2.0),
    reply("b", "u", 0.5, 4.0),
    reply("b", "u", 0.5 + 1e-7, 4.0),
    reply("b", "v", 0.0, 1.0),
]
FIGURES: dict[str, dict[str, Any]] = {
    "kl": {"value": 0.3, "low": 0.2, "high": 0.5, "n": 2, "sft": 0.0},
    "reward": {"value": 2.0, "low": 1.5, "high": 2.5, "n": 2, "sft": 1.0},
    "gold": {"value": 6.0, "low": 5.0, "high": 7.0, "n": 2, "sft": 4.0},
}


def mean(values: Sequence[float], families: Sequence[str]) -> Estimate:
    assert families == ["a", "b"]
    value = sum(values) / len(values)
    return Estimate(value, value - 1, value + 1, len(values))


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "log").mkdir()
    return StageContext(
        out=out,
        seed=0,
        threads=1,
        device="cpu",
        var=tmp_path,
        checkpoints=tmp_path,
        log=StageLog(tmp_path / "log"),
    )


def test_figures_of_the_largest_n_by_hand(context: StageContext) -> None:
    # Guards: a choice by gold, prompts mixed up, a repeated reply that is taken for two.
    found = report_frontier(context, REPLIES, FIGURES, mean)
    assert found.keys() == {f"best_of_3_{name}" for name in ("gold", "reward", "kl", "kl_bound")}
    assert found["best_of_3_gold"]["value"] == pytest.approx((2 + 4) / 2)
    assert found["best_of_3_gold"]["sft"] == pytest.approx((5 + 3) / 2)
    assert found["best_of_3_reward"]["value"] == pytest.approx((3.0 + 0.5) / 2)
    bound = math.log(3) - 2 / 3
    assert found["best_of_3_kl_bound"] == {"value": pytest.approx(bound)}
    # Prompt b: an atom of mass 2/3 above a continuum of mass 1/3 (integral of 3u^2 ln(3u^2)).
    mass = 1 - (1 / 3) ** 3
    low = (1 / 3) ** 3 * (math.log(3) + 2 * (math.log(1 / 3) - 1 / 3))
    of_b = mass * math.log(mass / (2 / 3)) + low
    assert found["best_of_3_kl"]["value"] == pytest.approx((bound + of_b) / 2)


def test_the_whole_curve_is_kept_and_drawn(context: StageContext) -> None:
    # Guards: a payload that holds less than the plot.
    report_frontier(context, REPLIES, FIGURES, mean)
    rows = json.loads((context.out / "best_of_n.json").read_text(encoding="utf-8"))
    assert [row["n"] for row in rows] == [1, 2, 3]
    assert rows[0]["kl"] == pytest.approx(0)
    assert rows[1]["gold"] == pytest.approx(((8 + 2 + 2) / 3 + (4 + 4 + 4) / 3) / 2)
    assert rows[1]["gold_low"] == pytest.approx(rows[1]["gold"] - 1)
    assert (context.log.directory / "plots" / "frontier.png").is_file()
    assert (context.log.directory / "tables" / "best_of_n.json").is_file()


def test_two_sizes_are_reported_where_there_are_many(context: StageContext) -> None:
    # Guards: figures whose names no two runs share.
    replies = [reply(p, f"{i}", float(i), float(i)) for p in "ab" for i in range(10)]
    names = report_frontier(context, replies, FIGURES, mean).keys()
    assert {name.rpartition("_")[0] for name in names} >= {"best_of_8", "best_of_10"}


def test_without_gold_the_held_out_scorer_says_what_it_is_worth(context: StageContext) -> None:
    # Guards: a crash, or gold of None, where the prompts come from files.
    replies = [replace(own, gold=None) for own in REPLIES]
    figures = {"heldout_scorer": FIGURES["gold"], **FIGURES}
    del figures["gold"]
    found = report_frontier(context, replies, figures, mean)
    assert found["best_of_3_heldout_scorer"]["value"] == pytest.approx((1.5 + 0.25) / 2)
    assert "best_of_3_gold" not in found


def test_the_plot_shows_both_kls_and_each_policy_with_its_intervals() -> None:
    # Guards: axes exchanged, a policy at the wrong place.
    measured = {"gold": 1.0, "gold_low": 0.9, "gold_high": 1.1}
    curve = [
        {"n": n, "kl": 0.1 * n, "kl_bound": 0.2 * n, **{k: n * v for k, v in measured.items()}}
        for n in (1, 2, 3)
    ]
    policies = {
        "PPO": {"kl": 0.7, "kl_low": 0.6, "kl_high": 0.9, **measured},
        "DPO": {"kl": 0.01, "kl_low": -0.1, "kl_high": 0.2, **measured},
    }
    (axes,) = frontier(curve, policies, ["gold"]).axes
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    xs = {name: list(map(float, line.get_xdata())) for name, line in lines.items()}
    assert xs["best of n, KL by ranks"] == pytest.approx([0.1, 0.2, 0.3])
    assert xs["best of n, KL ln n - (n - 1) / n"] == pytest.approx([0.2, 0.4, 0.6])
    bars = {container.get_label(): container for container in axes.containers}
    assert bars.keys() == {"PPO", "DPO"}
    (segments, _) = (bar.get_segments()[0] for bar in bars["PPO"].lines[2])
    assert segments.tolist() == [pytest.approx([0.6, 1.0]), pytest.approx([0.9, 1.0])]
    assert axes.get_xlim()[1] > 0.7


def test_equal_replies_have_equal_scores() -> None:
    # Guards: rounding that makes an order of a tie.
    assert settled_scores(REPLIES[3:]) == [0.5, 0.5, 0.0]


@pytest.mark.parametrize(("best_of_n", "batch_size"), [(32, 8), (2, 128), (1000, 1)])
def test_sampling_for_the_curve_needs_no_more_memory(best_of_n: int, batch_size: int) -> None:
    # Guards: a batch of thousands of rows, each with logits over the whole vocabulary.
    config = EvaluateConfig(batch_size=32, responses_per_prompt=8, best_of_n=best_of_n)
    sampling = best_of_n_sampling(config)
    assert (sampling.responses_per_prompt, sampling.batch_size) == (best_of_n, batch_size)
