"""The real pipeline through its command line: smoke config, and a user's Chinese files."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.run_records import finished_runs
from flows.stages import pipeline_stages
from tasks.code_digest import PACKAGES, SourceTree

ROOT = Path(__file__).parents[2]
RLHF = Path(sys.executable).with_name("rlhf")
STAGES = [stage.name for stage in pipeline_stages()]

pytestmark = pytest.mark.server


def rlhf(
    var: Path, *words: str, hash_seed: str = "0", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RLHF_VAR": str(var), "PYTHONHASHSEED": hash_seed}
    environment.pop("PREFECT_API_URL", None)
    return subprocess.run(
        [RLHF, *words],
        env=environment,
        cwd=cwd or var.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def newest_run(var: Path) -> dict[str, dict[str, Any]]:
    return {stage["stage"]: stage for stage in finished_runs(var)[-1].stages}


def states(var: Path) -> dict[str, str]:
    return {name: stage["state"] for name, stage in newest_run(var).items()}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The var/ of a finished smoke run."""
    var = tmp_path_factory.mktemp("smoke") / "var"
    done = rlhf(var, "run", "--config", "smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    return var


def test_every_stage_is_made_and_reported(smoke: Path) -> None:
    assert states(smoke) == dict.fromkeys(STAGES, "made")
    report = rlhf(smoke, "report", "--json")
    figures = json.loads(report.stdout)
    assert {"win_rate", "kl", "rm_pair_accuracy", "distinct", "heldout_scorer"} <= set(figures)
    assert {"dpo_win_rate", "dpo_kl", "best_of_4_gold", "best_of_4_kl_bound"} <= set(figures)
    assert all(set(f) == {"value", "low", "high", "n", "sft"} for f in figures.values())


def test_second_run_is_cached_and_imports_no_torch(smoke: Path) -> None:
    code = (
        "import sys; from flows.run_command import run_pipeline; "
        "code = run_pipeline('smoke', [], '', ''); "
        "print('torch' in sys.modules); sys.stdout.flush(); import os; os._exit(code)"
    )
    environment = {**os.environ, "RLHF_VAR": str(smoke)}
    environment.pop("PREFECT_API_URL", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    assert states(smoke) == dict.fromkeys(STAGES, "cached")


def test_ppo_setting_reruns_ppo_and_what_follows(smoke: Path) -> None:
    done = rlhf(smoke, "run", "--config", "smoke", "--set", "ppo.learning_rate=1e-4")
    assert done.returncode == 0, done.stdout + done.stderr
    made = [name for name, state in states(smoke).items() if state == "made"]
    assert made == ["train_policy", "evaluate", "register"]


def test_without_baselines_only_what_reads_them_is_made_again(smoke: Path) -> None:
    off = ("--set", "dpo.num_epochs=0", "--set", "evaluate.best_of_n=0")
    done = rlhf(smoke, "run", "--config", "smoke", *off)
    assert done.returncode == 0, done.stdout + done.stderr
    found = states(smoke)
    assert found.pop("train_dpo") == "not needed"
    assert [name for name, state in found.items() if state == "made"] == ["evaluate", "register"]
    figures = json.loads(rlhf(smoke, "report", "--json").stdout)
    assert "win_rate" in figures
    assert not any(name.startswith(("dpo_", "best_of_")) for name in figures)


def test_fresh_directory_and_other_hash_seed_give_equal_bytes(smoke: Path, tmp_path: Path) -> None:
    done = rlhf(tmp_path / "var", "run", "--config", "smoke", hash_seed="4242")
    assert done.returncode == 0, done.stdout + done.stderr
    first = {s["stage"]: s["sha256"] for s in finished_runs(smoke)[0].stages}
    again = {name: stage["sha256"] for name, stage in newest_run(tmp_path / "var").items()}
    assert again == first


def changed_stages(root: Path, file: str, old: str, new: str) -> list[str]:
    """Stages whose own code changes when `file` is edited in a copy of the sources."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package)
    before = digests(root)
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new), encoding="utf-8")
    after = digests(root)
    return [name for name in STAGES if before[name] != after[name]]


def digests(root: Path) -> Mapping[str, str]:
    tree = SourceTree(root=root)
    return {s.name: tree.code_of(s.body.__module__).digest for s in pipeline_stages()}


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("rlhf_core/ppo/losses.py", "0.5 * masked_mean", "0.6 * masked_mean", ["train_policy"]),
        ("rlhf_core/ppo/losses.py", "import torch\n", "import torch  # why\n", []),
        ("data/sql/marts/pairs_raw.sql", "select", "select ", ["build_pairs"]),
        ("data/sql/checks/pairs/no_ties.sql", "select", "select ", ["build_pairs"]),
    ],
)
def test_an_edit_changes_its_stage_alone(
    tmp_path: Path, file: str, old: str, new: str, changed: Sequence[str]
) -> None:
    assert changed_stages(tmp_path, file, old, new) == changed


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def write_chinese_files(folder: Path) -> None:
    """Thirty prompts, each with a demonstration and a set of three ranked replies."""
    objects = ["外套", "台灯", "水壶", "相机", "帐篷", "吉他"]
    problems = ["太小了", "坏了", "还没有到", "颜色不对", "有一道划痕"]
    replies = ["您好😊,我们马上为您更换{}。", "请把{}寄回来。", "别再问{}了。"]
    prompts, demonstrations, sets, rankings = [], [], [], []
    for i, (thing, problem) in enumerate((o, p) for o in objects for p in problems):
        messages = [{"role": "user", "content": f"我的{thing}{problem},怎么办?"}]
        texts = [reply.format(thing) for reply in replies]
        ids = [f"r_{i}_{k}" for k in range(3)]
        prompts.append({"prompt_id": f"p_{i}", "messages": messages})
        demonstrations.append({"messages": messages, "response": texts[0]})
        responses = [
            {"response_id": name, "text": text, "generator": "person"}
            for name, text in zip(ids, texts, strict=True)
        ]
        sets.append(
            {
                "schema": "set/1",
                "set_id": f"s_{i}",
                "prompt_id": f"p_{i}",
                "messages": messages,
                "responses": responses,
                "guideline_version": "1",
                "campaign": "zh",
            }
        )
        rankings.append(
            {
                "schema": "ranking/1",
                "event_id": f"00000000-0000-4000-8000-{i:012d}",
                "set_id": f"s_{i}",
                "annotator_id": "小王",
                "revision": 1,
                "outcome": "ranked",
                "coverage": "full",
                "tiers": dict(zip(ids, (1, 2, 3), strict=True)),
                "display_order": ids[::-1],
                "touched": True,
                "started_at": "2026-01-01T08:00:00+00:00",
                "submitted_at": "2026-01-01T08:01:00+00:00",
                "active_ms": 50000,
                "ui_version": "file",
            }
        )
    for name, rows in (
        ("prompts", prompts),
        ("sft", demonstrations),
        ("sets", sets),
        ("rankings", rankings),
    ):
        write_lines(folder / f"{name}.jsonl", rows)
    (folder / "zh.toml").write_text(
        'base = "smoke"\nname = "zh"\n'
        '[corpus]\nsource = "files"\nprompts = "prompts.jsonl"\nsft = "sft.jsonl"\n'
        '[rank]\nranker = "file"\nsets = "sets.jsonl"\nrankings = "rankings.jsonl"\n',
        encoding="utf-8",
    )


def test_chinese_prompts_sets_and_rankings_run_to_the_end(tmp_path: Path) -> None:
    write_chinese_files(tmp_path)
    done = rlhf(tmp_path / "var", "run", "--config", "zh.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    run = newest_run(tmp_path / "var")
    assert run["sample_prompts"]["state"] == run["generate_responses"]["state"] == "not needed"
    summary = run["collect_rankings"]["summary"]
    assert (summary["rankings_read"], summary["rankings_accepted"]) == (30, 30)
    assert run["build_pairs"]["summary"]["count_pairs"] == 90
    assert "Off-policy rankings" in rlhf(tmp_path / "var", "report").stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("sets.jsonl", '"schema": "set/1"', '"schema": "set/9"', "sets.jsonl:1: schema"),
        ("prompts.jsonl", '"role": "user"', '"role": "robot"', "prompts.jsonl:1"),
        ("sft.jsonl", '"response"', '"reply"', "sft.jsonl:1"),
        ("zh.toml", "rankings.jsonl", "nowhere.jsonl", "nowhere.jsonl"),
    ],
)
def test_a_bad_file_is_one_message_with_exit_code_2(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    write_chinese_files(tmp_path)
    path = tmp_path / file
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    until = ("--set", "pretrain.num_steps=1", "--set", "sft.num_steps=1", "--until", "build_pairs")
    done = rlhf(tmp_path / "var", "run", "--config", "zh.toml", *until, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_rankings_without_a_strict_pair_are_refused(tmp_path: Path) -> None:
    write_chinese_files(tmp_path)
    path = tmp_path / "rankings.jsonl"
    tied = [
        {**row, "tiers": dict.fromkeys(row["tiers"], 1)}
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())
    ]
    write_lines(path, tied)
    until = ("--set", "pretrain.num_steps=1", "--set", "sft.num_steps=1")
    done = rlhf(tmp_path / "var", "run", "--config", "zh.toml", *until, cwd=tmp_path)
    assert done.returncode == 2
    assert "no strict pair can be built" in done.stderr
