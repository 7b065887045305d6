"""The human step without a server: publish and end, rank, and see the rest start by itself."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from data.inbox import INBOX_FILE
from data.inbox.assignments import Assignment, Result, next_task, submit
from data.inbox.connection import open_inbox
from flows.human_step import watch
from flows.locks import run_lock
from flows.run_records import finished_runs
from tests.integration.people import answer, rank
from tests.integration.test_pipeline import STAGES, newest_run, rlhf, states

pytestmark = pytest.mark.server

WANTED = 6
SECONDS = 300.0
HUMAN = (
    *("run", "--config", "smoke", "--set", "name=people", "--set", "rank.ranker=human"),
    *("--set", "annotate.gold_fraction=0", "--set", "annotate.retest_fraction=0"),
    *("--set", f"annotate.wanted_rankings={WANTED}"),
)


def status(var: Path) -> dict[str, Any]:
    done = rlhf(var, "status", "--json")
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def batch_named(var: Path, name: str) -> dict[str, Any]:
    (found,) = [batch for batch in status(var)["batches"] if batch["name"] == name]
    return dict(found)


def parent_runs(var: Path, name: str) -> list[Any]:
    from mlflow.tracking.client import MlflowClient

    client = MlflowClient(f"sqlite:///{var / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rlhf")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
    return [run for run in found if "mlflow.parentRunId" not in run.data.tags]


def processes_of(var: Path) -> list[psutil.Process]:
    """Processes that work on this var/."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RLHF_VAR") == str(var):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def wait_until(is_true: Callable[[], bool], said: list[str]) -> None:
    end = time.monotonic() + SECONDS
    while not is_true():
        assert time.monotonic() < end, said
        time.sleep(0.2)


@contextmanager
def watching(var: Path) -> Iterator[list[str]]:
    """What `rlhf annotate` does beside the page. Yields what it says."""
    said: list[str] = []
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(var, stop, said.append))
    thread.start()
    try:
        yield said
    finally:
        stop.set()
        thread.join()


def ranked_in(var: Path) -> set[str]:
    """Event ids of the rankings that the newest run trained on."""
    artifact = var / "artifacts" / newest_run(var)["collect_rankings"]["artifact"]
    return set(pl.read_parquet(artifact / "ranking.parquet")["ranking_id"])


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("people") / "var"


@pytest.fixture(scope="module")
def waiting(var: Path) -> str:
    """What a run that waits has printed."""
    done = rlhf(var, *HUMAN)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_without_rankings_says_what_it_waits_for_and_holds_nothing(
    var: Path, waiting: str
) -> None:
    # Guards: a process or a lock that waits; a run that is reported as finished or failed.
    assert f"Waiting for rankings: 0 of {WANTED} rankings" in waiting
    assert "annotate" in waiting
    assert "run --config smoke --set name=people" in waiting
    assert processes_of(var) == []
    assert finished_runs(var) == []
    now = status(var)
    assert (now["run"], now["page"], now["finished"]) == ("", "", {})
    batch = batch_named(var, "people")
    assert (batch["state"], batch["have"], batch["wanted"]) == ("waiting", 0, WANTED)
    (parent,) = parent_runs(var, "people")
    assert parent.info.status == "RUNNING"
    assert parent.data.tags["rlhf.batch"] == batch["batch_id"]
    assert f"0 of {WANTED}" in parent.data.tags["rlhf.waits_for"]
    assert f"0 of {WANTED}" in rlhf(var, "status").stdout


@pytest.fixture(scope="module")
def late(var: Path, waiting: str) -> Assignment:
    """A task that is in hand before the rest starts, and answered after its end."""
    rank(var, "cy", 0)
    with open_inbox(var / INBOX_FILE) as inbox:
        given = next_task(inbox, "cy", now=datetime.now(UTC))
    assert given is not None
    return given


@pytest.fixture(scope="module")
def trained(var: Path, late: Assignment) -> list[dict[str, Any]]:
    """The rankings that opened the gate, after the rest of the run."""
    rows = rank(var, "ada", WANTED // 2)
    with watching(var) as said:
        time.sleep(2.5)
        assert said == [], "half of the rankings is not enough"
        # Another run holds var/: the watcher waits for its end.
        with run_lock(var):
            rows += rank(var, "bo", WANTED - WANTED // 2)
            time.sleep(2.5)
            assert said == []
        wait_until(lambda: len(said) == 2, said)
    assert "the rest runs now" in said[0]
    assert "the run has ended" in said[1], (var / "annotate-run.log").read_text()
    return rows


def test_enough_rankings_start_the_rest_which_trains_on_exactly_those(
    var: Path, trained: list[dict[str, Any]]
) -> None:
    # Guards: a run that starts too early, twice or never; rankings lost or counted twice.
    assert ranked_in(var) == {row["event_id"] for row in trained}
    run = newest_run(var)
    assert run["collect_rankings"]["summary"]["rankings_accepted"] == WANTED
    assert run["build_pairs"]["summary"]["count_training_rankings"] == WANTED
    before = STAGES[: STAGES.index("collect_rankings")]
    after = STAGES[STAGES.index("collect_rankings") :]
    assert states(var) == dict.fromkeys(before, "cached") | dict.fromkeys(after, "made")
    assert len(finished_runs(var)) == 1
    assert batch_named(var, "people")["state"] == "finished"
    assert status(var)["finished"]["name"] == "people"


def test_the_mlflow_run_that_waited_is_the_one_that_finished(
    var: Path, trained: list[dict[str, Any]]
) -> None:
    (parent,) = parent_runs(var, "people")
    assert parent.info.status == "FINISHED"
    assert "rlhf.waits_for" not in parent.data.tags
    assert parent.data.metrics["collect_rankings/rankings_accepted"] == WANTED
    assert "win_rate" in " ".join(parent.data.metrics)


def test_a_run_without_news_takes_all_but_the_look_from_the_cache(
    var: Path, trained: list[dict[str, Any]]
) -> None:
    done = rlhf(var, *HUMAN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(var) == dict.fromkeys(STAGES, "cached") | {"collect_rankings": "made"}


def test_a_ranking_that_comes_later_is_taken_in_by_the_next_run(
    var: Path, trained: list[dict[str, Any]], late: Assignment
) -> None:
    # Guards: work of a person that is lost because a run had started.
    now = datetime.now(UTC)
    row = answer(late, now)
    with open_inbox(var / INBOX_FILE) as inbox:
        assert submit(inbox, batch_id=late.batch_id, row=row, now=now) is Result.STORED
    done = rlhf(var, *HUMAN, "--until", "build_pairs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ranked_in(var) == {it["event_id"] for it in [*trained, row]}
    made = [name for name, state in states(var).items() if state == "made"]
    assert made == ["collect_rankings", "build_pairs"]


def test_a_deadline_that_nobody_met_is_one_message_with_exit_code_2(
    var: Path, trained: list[dict[str, Any]]
) -> None:
    # Guards: a run that waits for ever, or that trains on nothing.
    over = ("--set", "annotate.deadline_hours=1e-9", "--set", "sample.train=8")
    done = rlhf(var, *HUMAN, *over, "--set", "name=other")
    assert done.returncode == 2
    assert "the deadline has passed and no ranking can be used" in done.stderr
    assert "annotate.deadline_hours" in done.stderr
    assert "Traceback" not in done.stderr
