"""What was ready when it was looked at may be over when var/ is free: then nothing runs."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data.inbox import INBOX_FILE, batches
from data.inbox.connection import open_inbox
from flows import pipeline, run_command
from flows.human_step import untried_batches
from flows.outcome import StageFailedError
from tests.integration.people import rank
from tests.unit.data.inbox.builders import BATCH, make_inbox, make_task

CONFIG = '{"name": "run", "seed": 3}'


class Runs:
    """Runs that are not real, and what happens while they wait for var/."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.locked: list[str] = []
        self.names: list[str] = []
        self.withdraws = False
        self.error: Exception | None = None

    @contextmanager
    def lock(self, _var: Path, *, wait: bool = False) -> Iterator[None]:
        self.locked.append(f"wait={wait}")
        if self.withdraws:
            withdraw(self.var)
        yield

    def run(self, config: Any, _span: object) -> list[dict[str, Any]]:
        self.names.append(config.name)
        if self.error is not None:
            raise self.error
        return [{"stage": "evaluate"}]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    make_inbox(tmp_path / INBOX_FILE, [make_task("s_0"), make_task("s_1")], wanted=1, config=CONFIG)
    made = Runs(tmp_path)
    monkeypatch.setenv("RLHF_VAR", str(tmp_path))
    monkeypatch.setattr(pipeline, "prepare_environment", lambda _: None)
    monkeypatch.setattr(pipeline, "run_lock", made.lock)
    monkeypatch.setattr(pipeline, "_run", made.run)
    return made


def withdraw(var: Path) -> None:
    with open_inbox(var / INBOX_FILE) as inbox:
        batches.withdraw(inbox, BATCH, now=datetime.now(UTC))


@pytest.mark.parametrize("batch_id", ["", BATCH])
def test_train_leaves_alone_what_was_withdrawn_while_it_waited(runs: Runs, batch_id: str) -> None:
    # Guards: an old batch that is published again, and withdraws the one that people rank now.
    rank(runs.var, "ada", 1)
    runs.withdraws = True
    assert pipeline.train.fn(batch_id) == []
    assert runs.locked == ["wait=False"]
    assert runs.names == []


@pytest.mark.parametrize("batch_id", ["", BATCH, "b_ffffffffffffffff"])
def test_train_without_anything_ready_waits_for_nobody(runs: Runs, batch_id: str) -> None:
    # Guards: a schedule whose runs queue up behind a training of hours.
    if batch_id not in ("", BATCH):
        rank(runs.var, "ada", 1)
    assert pipeline.train.fn(batch_id) == []
    assert runs.locked == []


def test_train_notes_what_failed_and_tries_it_again_only_by_name(runs: Runs) -> None:
    rank(runs.var, "ada", 1)
    runs.error = StageFailedError("sft", ValueError("odd"), [])
    with pytest.raises(StageFailedError):
        pipeline.train.fn()
    assert untried_batches(runs.var) == []
    runs.error = None
    assert pipeline.train.fn() == []
    assert pipeline.train.fn(BATCH) == [{"stage": "evaluate"}]
    assert runs.names == ["run", "run"]


@pytest.mark.parametrize("is_withdrawn", [True, False])
def test_a_run_for_a_batch_ends_at_once_where_that_is_over(
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_withdrawn: bool,
) -> None:
    # Guards: the watcher's child, which publishes again what was withdrawn while it waited.
    began: list[str] = []

    def run_flow(*_: object) -> list[dict[str, Any]]:
        began.append("run")
        raise KeyboardInterrupt

    monkeypatch.setattr(run_command, "prepare_environment", lambda _: None)
    monkeypatch.setattr(run_command, "run_lock", runs.lock)
    monkeypatch.setattr(run_command, "prefect_api", lambda: nullcontext(lambda: True))
    monkeypatch.setattr(run_command, "_run_flow", run_flow)
    runs.withdraws = is_withdrawn
    code = run_command.run_pipeline("smoke", [], "", "", wait=True, batch_id=BATCH)
    assert runs.locked == ["wait=True"]
    assert began == ([] if is_withdrawn else ["run"])
    assert code == (0 if is_withdrawn else run_command.EXIT_INTERRUPTED)
    assert ("finished or withdrawn" in capsys.readouterr().out) == is_withdrawn
