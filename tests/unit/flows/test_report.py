"""`rlhf report`: which run it picks, what it prints, and what it says when there is nothing."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.errors import InputError
from flows.config import RunConfig
from flows.figure_texts import (
    BOUNDS,
    DESCRIPTIONS,
    description_of,
    share_of_sft,
    whole_figures,
)
from flows.outcome import StageRow
from flows.report import load_report, print_report
from flows.run_records import RUNS_FILE, append_run, finished_runs
from flows.spine import repository_root
from tasks.artifacts import ArtifactStore

GOOD = {
    "win_rate": {"value": 0.9, "low": 0.85, "high": 0.95, "n": 160, "sft": None},
    "well_formed": {"value": 0.97, "low": 0.9, "high": 1.0, "n": 160, "sft": 0.96},
    "right_product": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 160, "sft": 0.8},
    "right_product_difference": {"value": 0.1, "low": -0.1, "high": 0.2, "n": 160, "sft": None},
    "rm_pair_accuracy": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 100, "sft": None},
    "kl": {"value": 2.0, "low": 1.8, "high": 2.2, "n": 160, "sft": 0.0},
    "distinct": {"value": 0.6, "low": 0.5, "high": 0.7, "n": 160, "sft": 0.9},
    "length": {"value": 12.0, "low": 11.0, "high": 13.0, "n": 160, "sft": 12.0},
    "heldout_scorer_difference": {"value": 0.2, "low": 0.1, "high": 0.3, "n": 160, "sft": None},
    "mutual_agreement": {"value": 0.72},
    "ppo/policy/clip_fraction": {"value": 0.1},
}


def reply(model: str, text: str) -> dict[str, Any]:
    return {
        "model": model,
        "prompt_id": "p_1",
        "family_id": "lamp",
        "question": "My lamp flickers.",
        "text": text,
        "ended": True,
        "words": 3,
        "kl": 0.0,
        "kl_k3": 0.0,
        "score": 0.5,
        "heldout": 0.1,
        "gold": 1.0,
        "right_product": True,
        "well_formed": True,
    }


def finish_run(
    var: Path,
    *,
    name: str = "demo",
    win_rate: float = 0.9,
    reply_text: str = "Go [away].",
    evaluated: bool = True,
    **sections: Any,
) -> None:
    """Leave behind what a finished run leaves behind."""
    rows = [StageRow(stage="collect_rankings", state="made", summary={"mutual_agreement": 0.7})]
    if evaluated:
        payload = var / "payload"
        payload.mkdir(parents=True)
        figures = GOOD | {"win_rate": {**GOOD["win_rate"], "value": win_rate}}
        figures.pop("mutual_agreement")
        (payload / "evaluation.json").write_text(json.dumps(figures), encoding="utf-8")
        samples = [reply("sft", reply_text), reply("ppo", "So sorry!")]
        pl.DataFrame(samples).write_parquet(payload / "samples.parquet")
        ref = ArtifactStore(root=var / "artifacts").publish("evaluate", payload)
        rows.append(StageRow(stage="evaluate", state="made", seconds=2.0, sha256=ref.sha256))
    var.mkdir(exist_ok=True)
    append_run(
        var,
        finished_at="2025-01-01T00:00:00+00:00",
        flow_run_id="1",
        config=RunConfig(name=name, **sections).model_dump(mode="json"),
        rows=rows,
        machine={"load": 0.5},
    )


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLHF_VAR", str(tmp_path / "var"))
    return tmp_path / "var"


def test_json_is_flat_and_every_figure_has_all_five_numbers(
    var: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish_run(var)
    print_report(as_json=True)
    figures = json.loads(capsys.readouterr().out)
    assert figures["win_rate"] == GOOD["win_rate"]
    assert all(set(figure) == {"value", "low", "high", "n", "sft"} for figure in figures.values())
    assert figures["mutual_agreement"]["value"] == 0.7


def test_tables_show_bounds_replies_and_machine(
    var: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish_run(var, win_rate=0.5)
    print_report(as_json=False)
    text = capsys.readouterr().out
    assert text.count("not met") == 1
    for part in ("Go [away].", "So sorry!", "load 0.5", "0.850 to 0.950"):
        assert part in text
    assert "Off-policy" not in text


def test_rankings_from_a_file_are_called_off_policy_and_have_no_bounds(
    var: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"source": "files", "prompts": "p", "sft": "s"}
    finish_run(var, corpus=files, rank={"ranker": "file", "sets": "s", "rankings": "r"})
    print_report(as_json=False)
    text = capsys.readouterr().out
    assert "Off-policy rankings" in text
    assert "met" not in text.split()


def test_another_config_has_no_bounds(var: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish_run(var, name="mine")
    print_report(as_json=False)
    assert "met" not in capsys.readouterr().out.split()


def test_a_name_may_hold_markup_and_odd_line_ends(
    var: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish_run(var, name="a [/b] \u2028 c")
    print_report(as_json=False)
    assert "Run a [/b] ? c" in capsys.readouterr().out


def test_the_newest_run_is_taken_and_a_name_picks_among_runs(var: Path) -> None:
    finish_run(var, name="demo", win_rate=0.1)
    finish_run(var, name="mine", win_rate=0.2)
    finish_run(var, name="stopped_early", evaluated=False)
    assert load_report(var).figures["win_rate"]["value"] == 0.2
    assert load_report(var, "demo").figures["win_rate"]["value"] == 0.1
    with pytest.raises(InputError, match=r"no finished run named other .* demo, mine"):
        load_report(var, "other")
    with pytest.raises(InputError, match="reached the stage evaluate"):
        load_report(var, "stopped_early")


def test_without_a_run_it_says_what_to_run(var: Path) -> None:
    with pytest.raises(InputError, match="rlhf run --config demo"):
        load_report(var)


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_an_unusable_artifact_is_never_reported(var: Path, harm: str) -> None:
    finish_run(var)
    payload = load_report(var).payload
    if harm == "missing":
        shutil.rmtree(payload)
    else:
        (payload / "evaluation.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=f"{harm}.*rlhf run --config demo"):
        load_report(var)


def test_a_line_cut_short_by_a_kill_costs_only_itself(var: Path) -> None:
    finish_run(var, name="one")
    with (var / RUNS_FILE).open("a", encoding="utf-8") as lines:
        lines.write('{"finished_at": "2025')
    finish_run(var, name="two")
    assert [record.name for record in finished_runs(var)] == ["one", "two"]


def test_report_imports_nothing_heavy(var: Path) -> None:
    finish_run(var)
    code = (
        "import sys; from flows.report import print_report; print_report(as_json=False); "
        "sys.exit(int(any(m in sys.modules for m in ('prefect', 'mlflow', 'torch'))))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository_root())


def test_every_bound_can_be_met_and_missed() -> None:
    good = whole_figures(GOOD)
    assert all(bound.is_met(good) for bound in BOUNDS)
    nothing: dict[str, float | None] = dict.fromkeys(("value", "low", "high", "n", "sft"))
    for bound in BOUNDS:
        bad = -1e-9 if bound.high == math.inf else 99.0
        wrong = dict.fromkeys(nothing, bad)
        if bound.number is share_of_sft:
            wrong["sft"] = 1.0
        for figure in (wrong, nothing):
            assert not bound.is_met(good | {bound.key: figure}), bound
        assert not bound.is_met({})
    assert {bound.key for bound in BOUNDS} <= DESCRIPTIONS.keys()


def test_a_bound_holds_at_its_edge() -> None:
    edge = GOOD["heldout_scorer_difference"] | {"low": 0.0}
    above_zero = next(bound for bound in BOUNDS if bound.key == "heldout_scorer_difference")
    assert not above_zero.is_met({above_zero.key: edge})
    win_rate = next(bound for bound in BOUNDS if bound.key == "win_rate")
    assert win_rate.is_met({"win_rate": GOOD["win_rate"] | {"value": 0.80}})


def test_figures_of_the_baselines_are_explained_by_their_parts() -> None:
    assert "DPO" in description_of("dpo_win_rate")
    assert "best of 32" in description_of("best_of_32_gold")
    assert DESCRIPTIONS["gold"] in description_of("best_of_32_gold")
    assert "ranks" in description_of("best_of_8_kl")
    assert "repeat" in description_of("best_of_8_kl_bound")
    assert description_of("dpo_nonsense") == description_of("nonsense") == ""


def test_a_reply_cannot_steer_the_terminal(var: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish_run(var, reply_text="\x1b[2J[red]oh")
    print_report(as_json=False)
    text = capsys.readouterr().out
    assert "?[2J[red]oh" in text
    assert "\x1b[2J" not in text
