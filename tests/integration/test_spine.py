"""The orchestration spine with toy stages on the real Prefect, MLflow, DuckDB and store."""

import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flows.outcome import StageFailedError
from flows.run_records import finished_runs

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect_server")]

MADE = {"numbers": "made", "scaled": "made", "total": "made"}
CACHED = {"numbers": "cached", "scaled": "cached", "total": "cached"}


@pytest.fixture
def toy(toy_path: Path) -> ModuleType:
    return import_module("toy_run")


def calls(var: Path) -> list[str]:
    return (var / "calls.txt").read_text().split()


def client(var: Path) -> Any:
    from mlflow.tracking.client import MlflowClient

    return MlflowClient(f"sqlite:///{var / 'mlflow.db'}")


def children(var: Path) -> list[Any]:
    mlflow = client(var)
    experiment = mlflow.get_experiment_by_name("rlhf").experiment_id
    runs = mlflow.search_runs([experiment], order_by=["attributes.start_time ASC"])
    return [run for run in runs if "mlflow.parentRunId" in run.data.tags]


def parents(var: Path) -> list[Any]:
    mlflow = client(var)
    experiment = mlflow.get_experiment_by_name("rlhf").experiment_id
    runs = mlflow.search_runs([experiment], order_by=["attributes.start_time ASC"])
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


def test_second_run_is_cached_and_imports_no_torch(
    toy: ModuleType, toy_path: Path, tmp_path: Path
) -> None:
    assert toy.run_toy(tmp_path) == MADE
    done = subprocess.run(
        [sys.executable, toy_path / "toy_run.py", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {"states": CACHED, "torch": False}
    assert calls(tmp_path) == ["numbers", "scaled", "total"]


def test_config_change_reruns_only_what_reads_it(toy: ModuleType, tmp_path: Path) -> None:
    toy.run_toy(tmp_path)
    changed = toy.ToyConfig(scale=toy.ScaleConfig(factor=3.0))
    assert toy.run_toy(tmp_path, changed) == MADE | {"numbers": "cached"}


def test_equal_bytes_stop_the_rerun(toy: ModuleType, toy_path: Path, tmp_path: Path) -> None:
    """An edit that changes no payload byte reruns its own stage and nothing after it."""
    root = tmp_path / "project"
    shutil.copytree(toy_path, root)
    toy.run_toy(tmp_path, root=root)
    changed = toy.ToyConfig(scale=toy.ScaleConfig(factor=2.0000001))
    states = toy.run_toy(tmp_path, changed, root=root)
    assert states == CACHED | {"scaled": "made"}


def test_code_edit_reruns_and_comment_edit_does_not(
    toy: ModuleType, toy_path: Path, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(toy_path, root)
    toy.run_toy(tmp_path, root=root)
    source = root / "toy" / "settings.py"
    source.write_text(source.read_text() + "\n# a comment\n")
    assert toy.run_toy(tmp_path, root=root) == CACHED
    source.write_text(source.read_text() + "\nUNUSED = 1\n")
    states = toy.run_toy(tmp_path, root=root)
    assert states == MADE, "every toy stage reaches toy.settings"


def test_flipped_byte_is_noticed_and_rebuilt(
    toy: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    toy.run_toy(tmp_path)
    payload = next(tmp_path.glob("artifacts/scaled/*/scaled.jsonl"))
    good = payload.read_bytes()
    payload.write_bytes(good.replace(b"6", b"7"))
    assert toy.run_toy(tmp_path) == CACHED | {"scaled": "rebuilt"}
    assert payload.read_bytes() == good
    assert "damaged" in caplog.text
    assert str(payload.parent) in caplog.text
    assert list(tmp_path.glob("artifacts/.damaged-scaled-*/*/scaled.jsonl"))


def test_missing_artifact_is_rebuilt(toy: ModuleType, tmp_path: Path) -> None:
    toy.run_toy(tmp_path)
    shutil.rmtree(next(tmp_path.glob("artifacts/numbers/*/numbers.jsonl")).parent)
    assert toy.run_toy(tmp_path) == CACHED | {"numbers": "rebuilt"}


def test_finished_work_survives_a_loss_of_prefects_records(toy: ModuleType, tmp_path: Path) -> None:
    """Guards: a kill between artifact and Prefect's record must not cost the training."""
    toy.run_toy(tmp_path)
    shutil.rmtree(tmp_path / "prefect-results")
    assert toy.run_toy(tmp_path) == MADE
    assert calls(tmp_path) == ["numbers", "scaled", "total"]


def test_failure_names_the_stage_and_the_next_run_goes_on(toy: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "break").touch()
    with pytest.raises(StageFailedError, match="stage scaled failed: RuntimeError: the toy broke"):
        toy.run_toy(tmp_path)
    assert not list(tmp_path.glob("artifacts/.tmp-*"))
    assert [run.info.status for run in parents(tmp_path)] == ["FAILED"]
    assert {run.data.tags["stage"]: run.info.status for run in children(tmp_path)} == {
        "numbers": "FINISHED",
        "scaled": "FAILED",
    }
    (tmp_path / "break").unlink()
    assert toy.run_toy(tmp_path) == MADE | {"numbers": "cached"}
    assert calls(tmp_path) == ["numbers", "scaled", "scaled", "total"]


def test_mlflow_holds_what_each_stage_left(toy: ModuleType, tmp_path: Path) -> None:
    toy.run_toy(tmp_path)
    toy.run_toy(tmp_path)
    first, second = parents(tmp_path)
    assert first.info.status == second.info.status == "FINISHED"
    assert first.data.metrics == second.data.metrics
    assert second.data.metrics["total/total"] == 12.0
    assert second.data.params["scale.factor"] == "2.0"
    runs = {run.data.tags["stage"]: run for run in children(tmp_path)}
    assert len(children(tmp_path)) == 3
    link = json.loads(second.data.tags["stage.scaled"])
    assert link["run_id"] == runs["scaled"].info.run_id
    assert link["state"] == "cached"
    mlflow = client(tmp_path)
    history = mlflow.get_metric_history(runs["scaled"].info.run_id, "toy/loss")
    assert [point.step for point in history] == [0, 1, 2]
    inputs = [(i.dataset.name, len(i.dataset.digest)) for i in runs["scaled"].inputs.dataset_inputs]
    assert sorted(inputs) == [("numbers/numbers.jsonl", 32), ("scaled/scaled.jsonl", 32)]
    tables = [f.path for f in mlflow.list_artifacts(runs["numbers"].info.run_id, "tables")]
    assert tables == ["tables/files.json", "tables/numbers_jsonl.json", "tables/values.json"]


def test_lost_mlflow_record_is_logged_again(toy: ModuleType, tmp_path: Path) -> None:
    toy.run_toy(tmp_path)
    lost = next(run for run in children(tmp_path) if run.data.tags["stage"] == "scaled")
    client(tmp_path).delete_run(lost.info.run_id)
    assert toy.run_toy(tmp_path) == CACHED
    again = next(run for run in children(tmp_path) if run.data.tags["stage"] == "scaled")
    assert again.info.run_id != lost.info.run_id
    assert again.data.metrics == lost.data.metrics
    link = json.loads(parents(tmp_path)[-1].data.tags["stage.scaled"])
    assert link["run_id"] == again.info.run_id


def test_broken_mlflow_warns_and_fails_nothing(
    toy: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////dev/null/mlflow.db")
    assert toy.run_toy(tmp_path) == MADE
    assert "MLflow: cannot open the tracking store" in caplog.text
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert toy.run_toy(tmp_path) == CACHED
    assert len(children(tmp_path)) == 3, "the lost records are logged from the artifact store"


def test_from_stage_makes_it_and_the_rest_again(toy: ModuleType, tmp_path: Path) -> None:
    toy.run_toy(tmp_path)
    assert toy.run_toy(tmp_path, first="scaled") == MADE | {"numbers": "cached"}
    assert toy.run_toy(tmp_path, last="scaled") == {"numbers": "cached", "scaled": "cached"}


ASKED = {"numbers": "made", "scaled": "made", "total": "waiting"}


def asking(toy: ModuleType, factor: float = 2.0) -> Any:
    return toy.ToyConfig(scale=toy.ScaleConfig(factor=factor, by_people=True))


def test_a_stage_that_waits_for_people_ends_the_run_and_the_next_one_goes_on(
    toy: ModuleType, tmp_path: Path
) -> None:
    # Guards: a parent run for each look; one that the sweep of dead runs closes; a stage that
    # people answer taken from the cache; a run that waits among the finished ones.
    assert toy.run_toy(tmp_path, asking(toy)) == ASKED
    assert toy.run_toy(tmp_path, asking(toy), waiting=("b_toy",)) == ASKED | {"numbers": "cached"}
    (parent,) = parents(tmp_path)
    assert parent.info.status == "RUNNING"
    assert parent.data.tags["rlhf.waits_for"] == "1 answer"
    assert finished_runs(tmp_path) == []
    assert calls(tmp_path) == ["numbers", "scaled", "scaled"]

    (tmp_path / "answer").write_text("3")
    states = toy.run_toy(tmp_path, asking(toy), waiting=("b_toy",))
    assert states == MADE | {"numbers": "cached"}
    (finished,) = parents(tmp_path)
    assert finished.info.run_id == parent.info.run_id
    assert finished.info.status == "FINISHED"
    assert finished.data.metrics["total/total"] == 18.0
    assert not {"rlhf.waiting", "rlhf.waits_for"} & finished.data.tags.keys()
    assert len(finished_runs(tmp_path)) == 1

    # Equal answers: the stage is made again, nothing after it is.
    assert toy.run_toy(tmp_path, asking(toy)) == CACHED | {"scaled": "made"}


def test_a_later_answer_makes_what_follows_again(toy: ModuleType, tmp_path: Path) -> None:
    # Guards: an artifact of earlier answers found under the same key, also where Prefect forgot.
    for answer in ("3", "4", "3"):
        (tmp_path / "answer").write_text(answer)
        toy.run_toy(tmp_path, asking(toy))
        assert parents(tmp_path)[-1].data.metrics["total/total"] == 6.0 * int(answer)
        shutil.rmtree(tmp_path / "prefect-results")


def test_runs_that_wait_are_closed_when_nothing_waits_for_them(
    toy: ModuleType, tmp_path: Path
) -> None:
    # Guards: parents that stay open for ever, and a run that goes on under another config's parent.
    toy.run_toy(tmp_path, asking(toy, factor=5.0))
    toy.run_toy(tmp_path, asking(toy, factor=7.0), waiting=("b_toy",))
    assert [run.info.status for run in parents(tmp_path)] == ["RUNNING", "RUNNING"]
    toy.run_toy(tmp_path, waiting=("b_toy",))
    assert [run.info.status for run in parents(tmp_path)] == ["RUNNING", "RUNNING", "FINISHED"]
    toy.run_toy(tmp_path)
    assert [run.info.status for run in parents(tmp_path)[:2]] == ["KILLED", "KILLED"]
    assert "finished or gone" in parents(tmp_path)[0].data.tags["rlhf.swept"]


def test_a_run_that_is_killed_after_it_went_on_is_swept(toy: ModuleType, tmp_path: Path) -> None:
    # Guards: the mark of waiting on a run whose process died, which would never be closed.
    toy.run_toy(tmp_path, asking(toy))
    (tmp_path / "answer").write_text("3")
    (tmp_path / "break").touch()
    with pytest.raises(StageFailedError):
        toy.run_toy(tmp_path, asking(toy), waiting=("b_toy",))
    (parent,) = parents(tmp_path)
    assert parent.info.status == "FAILED"
    assert "rlhf.waiting" not in parent.data.tags


def test_ledger_has_a_row_for_each_execution(toy: ModuleType, tmp_path: Path) -> None:
    import duckdb

    toy.run_toy(tmp_path)
    toy.run_toy(tmp_path)
    with duckdb.connect(str(tmp_path / "store.duckdb"), read_only=True) as connection:
        rows = connection.sql("select stage, inputs from artifact order by stage").fetchall()
    assert [row[0] for row in rows] == ["numbers", "scaled", "total"]
    assert list(json.loads(rows[1][1])) == ["numbers"]


def test_artifacts_are_bytewise_equal_in_fresh_directories(toy: ModuleType, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        toy.run_toy(tmp_path / name)
    names = [
        sorted(
            p.relative_to(tmp_path / d).as_posix()
            for p in (tmp_path / d).glob("artifacts/*/*/*.json*")
        )
        for d in ("a", "b")
    ]
    assert names[0] == names[1]
