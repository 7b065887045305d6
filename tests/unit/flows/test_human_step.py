"""Who starts the rest of a run: the watcher beside the page, a schedule, and what `status` says."""

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from data.inbox import INBOX_FILE, accounts, assignments, batches, events, mirror
from data.inbox.connection import open_inbox
from data.inbox.decisions import decide
from flows import human_step
from flows.human_step import (
    RUN_LOG,
    finish_batch,
    note_failure,
    ready_batches,
    refresh_key,
    untried_batches,
    watch,
)
from flows.locks import PAGE_LOCK, hold, run_lock
from flows.outcome import StageRow
from flows.run_command import waiting_text
from flows.run_records import append_run
from flows.status_command import read_status, sentences
from tests.integration.people import rank
from tests.unit.data.inbox.builders import BATCH, make_batch, make_inbox, make_row, make_task

CONFIG = '{"name": "run", "seed": 3}'
TASKS = [make_task(f"s_{index}") for index in range(4)]


class Started:
    """A process as the watcher sees it."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.command, self.env, self.pid = list(command), env, 4711
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode


class Watched:
    """A watcher whose processes are not real; `look` is one look at the inbox."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.said: list[str] = []
        self.started: list[Started] = []
        self.told: list[str] = []
        self.watcher = human_step._Watcher(var=var, say=self.said.append)

    def start(self, command: Sequence[str], env: Mapping[str, str], _log: object) -> Started:
        self.started.append(Started(command, env))
        return self.started[-1]

    def look(self) -> int:
        """Look once. Returns how many processes were started so far."""
        self.watcher.look()
        return len(self.started)

    def end(self, code: int) -> None:
        self.started[-1].returncode = code


@pytest.fixture
def var(tmp_path: Path) -> Path:
    make_inbox(tmp_path / INBOX_FILE, TASKS, wanted=2, config=CONFIG)
    return tmp_path


@pytest.fixture
def watched(var: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    made = Watched(var)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(human_step, "_start_apart", made.start)
    monkeypatch.setattr(human_step, "emit_enough", made.told.append)
    return made


def option(command: Sequence[str], name: str) -> str:
    return command[command.index(name) + 1]


def finish(var: Path) -> None:
    with open_inbox(var / INBOX_FILE) as inbox:
        end = events.head(inbox)
    seq, sha = end.seq, end.sha256
    named = {"batch_id": BATCH, "inbox_id": end.inbox_id, "inbox_seq": seq, "inbox_sha256": sha}
    finish_batch(var, named)


def test_the_rest_starts_once_with_the_config_of_the_batch(watched: Watched) -> None:
    # Guards: a run that starts too early, again while it runs, or with another config.
    assert watched.look() == 0
    rank(watched.var, "ada", 1)
    assert watched.look() == 0
    rank(watched.var, "bo", 1)
    assert [watched.look(), watched.look()] == [1, 1]
    command = watched.started[0].command
    assert Path(option(command, "--config")).read_text() == CONFIG
    assert "--wait" in command
    assert option(command, "--batch") == BATCH
    assert "--until" not in command
    assert watched.started[0].env["RLHF_VAR"] == str(watched.var)
    finish(watched.var)
    watched.end(0)
    assert [watched.look(), watched.look()] == [1, 1]
    assert "2 of 2 rankings" in watched.said[0]
    assert "report" in watched.said[1]
    assert len(watched.said) == 2


def test_a_run_that_failed_starts_again_only_when_there_is_more(watched: Watched) -> None:
    # Guards: a training that diverges, started once a second.
    rank(watched.var, "ada", 2)
    assert watched.look() == 1
    watched.end(1)
    assert [watched.look(), watched.look()] == [1, 1]
    assert "exit code 1" in watched.said[-1]
    assert RUN_LOG in watched.said[-1]
    (batch,) = read_status(watched.var).batches
    assert (batch.state, RUN_LOG in batch.why) == ("failed", True)
    # The page was stopped and started: another watcher, which knows nothing of it.
    watched.watcher = human_step._Watcher(var=watched.var, say=watched.said.append)
    assert watched.look() == 1
    rank(watched.var, "ada", 1)
    assert watched.look() == 2


def test_a_failure_that_a_busy_inbox_does_not_take_is_noted_later(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guards: a run that failed, and that nobody knows of.
    rank(watched.var, "ada", 2)
    watched.look()
    watched.end(1)

    def busy(*_: object) -> None:
        raise InputError("the inbox is busy")

    with monkeypatch.context() as patched:
        patched.setattr(human_step, "note_failure", busy)
        with pytest.raises(InputError):
            watched.look()
    assert watched.look() == 1
    assert read_status(watched.var).batches[0].state == "failed"


def test_nothing_starts_while_a_run_holds_var(watched: Watched) -> None:
    rank(watched.var, "ada", 2)
    with run_lock(watched.var):
        assert watched.look() == 0
    assert watched.look() == 1


def test_a_deadline_opens_the_gate_too(watched: Watched) -> None:
    now = datetime.now(UTC)
    with open_inbox(watched.var / INBOX_FILE) as inbox:
        soon = make_batch(wanted=2, deadline=now - timedelta(seconds=1), config=CONFIG)
        batches.publish(inbox, soon, TASKS, now=now)
    assert watched.look() == 1


def test_what_the_lead_asks_for_is_taken_in_once(watched: Watched) -> None:
    rank(watched.var, "ada", 1)
    ask(watched.var, "2026-01-01T08:00:00+00:00")
    assert [watched.look(), watched.look()] == [1, 1]
    assert option(watched.started[0].command, "--until") == "collect_rankings"
    watched.end(0)
    assert [watched.look(), watched.look()] == [1, 1]
    with open_inbox(watched.var / INBOX_FILE, read_only=True) as inbox:
        answer = json.loads(mirror.get(inbox, refresh_key(BATCH)) or "")
    assert answer["exit_code"] == 0
    assert answer["done_at"]
    ask(watched.var, "2026-01-01T09:00:00+00:00")
    assert watched.look() == 2


@pytest.mark.parametrize("end", ["finish", "withdraw"])
def test_nothing_is_taken_in_for_a_batch_that_is_over(watched: Watched, end: str) -> None:
    # Guards: a run that publishes it again, and withdraws the batch that people rank now.
    if end == "finish":
        finish(watched.var)
    else:
        with open_inbox(watched.var / INBOX_FILE) as inbox:
            batches.withdraw(inbox, BATCH, now=datetime.now(UTC))
    ask(watched.var, "2026-01-01T08:00:00+00:00")
    assert watched.look() == 0


def ask(var: Path, at: str) -> None:
    with open_inbox(var / INBOX_FILE) as inbox:
        asked = json.dumps({"at": at})
        mirror.put(inbox, refresh_key(BATCH), asked, now=datetime.now(UTC))


def test_a_server_with_the_deployment_is_told_instead(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(human_step, "has_train_deployment", lambda: True)
    rank(watched.var, "ada", 2)
    assert [watched.look(), watched.look()] == [0, 0]
    assert watched.told == [BATCH]
    rank(watched.var, "ada", 1)
    assert watched.look() == 0
    assert watched.told == [BATCH], "the server has not begun yet"
    note_failure(watched.var, ready_batches(watched.var)[0], "stage sft failed")
    assert watched.look() == 0
    assert watched.told == [BATCH]
    rank(watched.var, "ada", 1)
    assert watched.look() == 0
    assert watched.told == [BATCH, BATCH]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InputError("the inbox is busy"), "the inbox is busy"),
        (sqlite3.OperationalError("disk I/O error"), "OperationalError: disk I/O error"),
        (KeyError("batch_id"), "KeyError: 'batch_id'"),
    ],
)
def test_trouble_is_said_once_and_the_watch_goes_on(
    var: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    # Guards: a thread that dies silently while the page stays up; a line each second.
    said: list[str] = []
    stop, looks = threading.Event(), iter(range(5))

    def look(_: object) -> None:
        if next(looks) == 4:
            stop.set()
        raise error

    monkeypatch.setattr(human_step, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(human_step._Watcher, "look", look)
    watch(var, stop, said.append)
    assert said == [f"cannot look for rankings: {text}"]


def test_without_an_inbox_nothing_is_ready(tmp_path: Path) -> None:
    assert ready_batches(tmp_path) == []
    assert sentences(read_status(tmp_path))[0] == "Nothing waits for people."


def test_a_schedule_does_not_repeat_what_failed(var: Path) -> None:
    # Guards: a broken training every ten minutes for a night.
    rank(var, "ada", 2)
    (ready,) = untried_batches(var)
    note_failure(var, ready, "stage sft failed")
    assert untried_batches(var) == []
    assert len(ready_batches(var)) == 1
    rank(var, "ada", 1)
    assert len(untried_batches(var)) == 1
    finish(var)
    assert ready_batches(var) == untried_batches(var) == []


def test_status_says_what_waits_for_whom(var: Path) -> None:
    def state() -> str:
        return read_status(var).batches[0].state

    rank(var, "ada", 1)
    text = "\n".join(sentences(read_status(var)))
    assert "waiting for 1 of 2 rankings" in text
    assert "annotate" in text
    assert "ada (annotator, 1 done)" in text
    assert "No run is at work." in text
    with hold(var / PAGE_LOCK, "http://127.0.0.1:1"), run_lock(var):
        text = "\n".join(sentences(read_status(var)))
    assert "http://127.0.0.1:1" in text
    assert "A run is at work" in text
    rank(var, "ada", 1)
    assert state() == "ready"
    note_failure(var, ready_batches(var)[0], "stage sft failed")
    assert state() == "failed"
    assert "stage sft failed" in "\n".join(sentences(read_status(var)))
    finish(var)
    assert state() == "finished"
    with open_inbox(var / INBOX_FILE) as inbox:
        accounts.disable(inbox, "ada")
    assert "ada" not in "\n".join(sentences(read_status(var)))


def test_status_says_the_way_out_where_nobody_can_rank_what_is_left(tmp_path: Path) -> None:
    # Guards: a lead, alone, who discards a ranking of their own and waits for ever.
    make_inbox(tmp_path / INBOX_FILE, TASKS[:2], wanted=2, config=CONFIG)
    with open_inbox(tmp_path / INBOX_FILE) as inbox:
        accounts.disable(inbox, "boss")
        accounts.add(inbox, "me", role="lead", now=datetime.now(UTC))

    def way_out() -> str:
        (batch,) = read_status(tmp_path).batches
        assert batch.state == "waiting"
        text = "\n".join(sentences(read_status(tmp_path)))
        assert batch.is_stuck == ("annotators add" in text)
        return text if batch.is_stuck else ""

    first = rank(tmp_path, "me", 1)[0]
    assert way_out() == ""
    discard(tmp_path, first)
    rank(tmp_path, "me", 1)
    assert "--set annotate.wanted_rankings=1" in way_out()
    with open_inbox(tmp_path / INBOX_FILE) as inbox:
        accounts.add(inbox, "ada", now=datetime.now(UTC))
    assert way_out() == ""


def hold_answer(inbox: sqlite3.Connection, who: str) -> None:
    now = datetime.now(UTC)
    given = assignments.next_task(inbox, who, now=now)
    assert given is not None
    row = make_row(given)
    assignments.submit(inbox, batch_id=given.batch_id, row=row, is_held=True, now=now)


def test_status_sends_to_the_lead_who_has_to_decide(tmp_path: Path) -> None:
    # Guards: "add somebody", where all sets have their answers and a lead has to decide.
    retest = make_task("again", purpose="retest", retest_of="s_0")
    make_inbox(tmp_path / INBOX_FILE, [*TASKS[:2], retest], "ada", wanted=2, config=CONFIG)
    with open_inbox(tmp_path / INBOX_FILE) as inbox:
        for _ in range(2):
            hold_answer(inbox, "ada")
    (batch,) = read_status(tmp_path).batches
    assert (batch.state, batch.waits_for) == ("waiting", "0 of 2 rankings (2 held for a lead)")
    text = "\n".join(sentences(read_status(tmp_path)))
    assert "a lead has to decide on what is held" in text
    assert "nobody who has an account" not in text


def test_the_number_that_status_names_opens_the_gate(tmp_path: Path) -> None:
    # Guards: a way out that is none, since so many rankings would want one of each set.
    tasks = [make_task("s_0", want=3), make_task("s_1", generators=("ada", "bo", "boss"))]
    make_inbox(tmp_path / INBOX_FILE, tasks, "ada", "bo", wanted=2, config=CONFIG)
    for who in ("ada", "bo"):
        rank(tmp_path, who, 1)
    (batch,) = read_status(tmp_path).batches
    assert batch.waits_for == "2 of 2 rankings, and an answer to each set (1 without)"
    assert batch.fewer == 1
    with open_inbox(tmp_path / INBOX_FILE) as inbox:
        batches.publish(inbox, make_batch(wanted=batch.fewer), [], now=datetime.now(UTC))
    assert read_status(tmp_path).batches[0].state == "ready"


def discard(var: Path, row: Mapping[str, Any]) -> None:
    with open_inbox(var / INBOX_FILE) as inbox:
        name = str(row["event_id"])
        now = datetime.now(UTC)
        decide(inbox, batch_id=BATCH, ranking_id=name, action="discard", by="me", now=now)


def test_status_names_the_newest_run_that_went_to_its_end(tmp_path: Path) -> None:
    # Guards: a run that --until stopped, named as the one whose figures `report` prints.
    for index, last in enumerate(("evaluate", "collect_rankings")):
        append_run(
            tmp_path,
            finished_at=f"2026-01-0{index + 1}T00:00:00+00:00",
            flow_run_id=last,
            config={"name": last},
            rows=[StageRow(stage=last, state="made", artifact=f"{last}/x", sha256="a" * 64)],
            machine={},
        )
    assert read_status(tmp_path).finished["name"] == "evaluate"


def test_the_end_of_a_run_that_waits_names_every_way_to_go_on() -> None:
    gate: dict[str, Any] = {"waits_for": "0 of 10 rankings", "batch_id": BATCH}
    text = waiting_text(gate, None, "rlhf run --config human")
    for part in ("0 of 10 rankings", BATCH, "annotate", "status", "rlhf run --config human"):
        assert part in text
    assert "http://127.0.0.1:1" in waiting_text(gate, "http://127.0.0.1:1", "rlhf run")
