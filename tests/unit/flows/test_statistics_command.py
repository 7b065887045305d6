"""`rlhf rankings stats`: whose rankings it measures, what it prints, and what it refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import InputError
from flows.config import RunConfig
from flows.outcome import StageRow
from flows.run_records import append_run
from flows.spine import repository_root
from flows.statistics_command import DESCRIPTIONS, print_statistics
from tasks.artifacts import ArtifactStore
from tests.snapshots import Snapshot


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RLHF_VAR", str(tmp_path / "var"))
    return tmp_path / "var"


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Six prompts; x and y agree on each, w takes what is shown first, z skips one."""
    made = Snapshot(tmp_path / "snapshot")
    for p in range(6):
        made.prompt(f"p{p}")
        made.set(f"s{p}", f"p{p}", f"a{p} b{p}")
        for name in ("x", "y"):
            made.rank(f"k{p}{name}", f"s{p}", {f"a{p}": 1, f"b{p}": 2}, annotator=name)
        made.rank(f"k{p}w", f"s{p}", {f"a{p}": 2, f"b{p}": 1}, annotator="w", shown=f"b{p} a{p}")
    made.rank("kz", "s0", {}, annotator="z", outcome="skipped")
    return made


def finish_run(var: Path, snapshot: Snapshot, name: str, *, collects: bool = True) -> Path:
    """Leave behind what a finished run leaves behind; returns its payload."""
    rows, payload = [StageRow(stage="split", state="made")], Path()
    if collects:
        work = var / "work"
        shutil.copytree(snapshot.write(), work)
        store = ArtifactStore(root=var / "artifacts")
        ref = store.publish("collect_rankings", work)
        payload = store.load(ref)
        rows.append(StageRow(stage="collect_rankings", state="made", sha256=ref.sha256))
    var.mkdir(exist_ok=True)
    append_run(
        var,
        finished_at="2025-01-01T00:00:00+00:00",
        flow_run_id="1",
        config=RunConfig(name=name).model_dump(mode="json"),
        rows=rows,
        machine={},
    )
    return payload


def test_tables_of_a_snapshot(snapshot: Snapshot, capsys: pytest.CaptureFixture[str]) -> None:
    print_statistics(snapshot=snapshot.write())
    text = capsys.readouterr().out
    lines = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    assert "18 rankings among 19 answers of 4 annotators to prompts of 6 families; 6 sets" in text
    assert "0.333" in lines["mutual_agreement"]
    assert "0.726" in text
    assert "K = 2: 18 rankings; tiers used: 2 in 100%" in text
    assert "Skipped because of: unclear 1" in text
    assert lines["s0"].split("│")[3:6] == [f"{3:>11} ", f"{3:>13} ", f"{33:>17} "]


def test_who_always_takes_the_first_is_seen(
    snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    print_statistics(snapshot=snapshot.write())
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ w ")]
    assert "0 (0 to 46)" in rows[0]
    assert "100 (54 to" in rows[1]


def test_json_is_what_the_page_gets(snapshot: Snapshot, capsys: pytest.CaptureFixture[str]) -> None:
    print_statistics(snapshot=snapshot.write(), as_json=True)
    shape = json.loads(capsys.readouterr().out)
    assert shape["figures"].keys() == DESCRIPTIONS.keys()
    assert [row["annotator_id"] for row in shape["annotators"]] == ["w", "x", "y", "z"]


def test_the_newest_run_that_collected_is_taken_and_a_name_picks(
    var: Path, snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    finish_run(var, snapshot, "first")
    snapshot.rank("k9", "s0", {"a0": 1, "b0": 2}, annotator="new")
    finish_run(var, snapshot, "second")
    finish_run(var, snapshot, "stopped_early", collects=False)
    print_statistics()
    assert "Run second, finished 2025-01-01T00:00:00+00:00: 19 rankings" in capsys.readouterr().out
    print_statistics(name="first")
    assert "Run first, finished 2025-01-01T00:00:00+00:00: 18 rankings" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"no finished run named other .* first, second"):
        print_statistics(name="other")


def test_without_a_run_it_says_what_to_run(var: Path) -> None:
    with pytest.raises(InputError, match=r"no finished run in .* rlhf run"):
        print_statistics()


def test_a_damaged_artifact_is_never_measured(var: Path, snapshot: Snapshot) -> None:
    payload = finish_run(var, snapshot, "demo")
    (payload / "ranking.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        print_statistics()


def test_a_folder_that_is_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no snapshot, prompt\.parquet is missing"):
        print_statistics(snapshot=tmp_path)


def test_a_skip_reason_cannot_steer_the_terminal(
    snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = snapshot.tables["ranking"]
    rows[-1] = (*rows[-1][:6], "\x1b[2J[red]oh", rows[-1][7])
    print_statistics(snapshot=snapshot.write())
    text = capsys.readouterr().out
    assert "?[2J[red]oh" in text
    assert "\x1b[2J" not in text


def test_statistics_import_nothing_heavy(snapshot: Snapshot) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from flows.statistics_command import print_statistics; "
        f"print_statistics(snapshot=Path({str(snapshot.write())!r})); "
        "sys.exit(int(any(m in sys.modules for m in ('prefect', 'mlflow', 'torch'))))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository_root())
