"""The command line without a server: help, fast commands, mistakes, locks, doctor, guard."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from data.errors import InputError
from flows.doctor import check_locks, check_version, check_writable
from flows.guard import start_guarded, stop_guarded
from flows.locks import LOCK_FILE, run_lock
from flows.outcome import Span
from flows.spine import repository_root
from flows.stages import pipeline_stages


def rlhf(*arguments: str, var: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=repository_root(),
        env=os.environ | {"RLHF_VAR": str(var)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_light_commands_import_nothing_heavy() -> None:
    code = (
        "import sys; from flows.tables import print_stages; from flows.doctor import print_checks; "
        "print_stages(); print_checks(); "
        "sys.exit(int(any(m in sys.modules for m in ('prefect', 'mlflow', 'torch'))))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository_root())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "--config", "{toml}", "--from", "nothing"], "no stage is called nothing"),
        (["run", "--config", "nothing.toml"], "no shipped config"),
        (["run", "--set", "nonsense"], "write key=value"),
        (["run", "--config", "rankings"], "prompts.jsonl: does not exist"),
        (["ui", "--mlflow-port", "{taken}"], "in use"),
    ],
)
def test_a_mistake_is_one_message_with_exit_code_2(
    tmp_path: Path, arguments: list[str], text: str
) -> None:
    import socket

    toml = tmp_path / "empty.toml"
    toml.touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        filled = (a.format(taken=port, toml=toml) for a in arguments)
        done = rlhf(*filled, var=tmp_path / "var")
    assert done.returncode == 2, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_the_loser_of_the_lock_is_told_the_holder(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").touch()
    var = tmp_path / "var"
    with run_lock(var):
        assert "held by process" in next(iter(check_locks(var))).found
        done = rlhf("run", "--config", str(tmp_path / "mine.toml"), var=var)
        assert done.returncode == 2
        assert f"process {os.getpid()}" in done.stderr
        with run_lock(var):
            pass
    assert next(iter(check_locks(var))).found == "free"


def test_a_number_in_the_lock_file_does_not_make_it_ours(tmp_path: Path) -> None:
    """In another container the holder may have our process id."""
    with (tmp_path / LOCK_FILE).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(str(os.getpid()))
        other.flush()
        with pytest.raises(InputError, match="in use"), run_lock(tmp_path):
            pass
    with run_lock(tmp_path):
        pass


def test_an_unwritable_var_is_a_plain_message(tmp_path: Path) -> None:
    """A file stands where the directory should be; permissions would not stop root."""
    (tmp_path / "var").touch()
    with pytest.raises(InputError, match="RLHF_VAR"), run_lock(tmp_path / "var"):
        pass
    assert check_writable(tmp_path / "var").mend


def test_doctor_knows_too_new_and_missing_packages() -> None:
    assert not check_version("fastapi", (0, 139), (0, 151)).mend
    assert "pip install" in check_version("fastapi", (0, 1), (0, 2)).mend
    assert check_version("no-such-package", (1,), (2,)).found == "not installed"


def test_span_refuses_unknown_and_crossed_stages() -> None:
    stages = pipeline_stages()
    Span(first="sft", last="evaluate").check(stages)
    with pytest.raises(InputError, match="no stage is called nothing"):
        Span(first="nothing").check(stages)
    with pytest.raises(InputError, match="swap"):
        Span(first="evaluate", last="sft").check(stages)


def test_every_stage_comes_after_those_it_reads() -> None:
    seen: set[str] = set()
    for stage in pipeline_stages():
        assert set(stage.inputs) <= seen
        assert stage.about
        seen.add(stage.name)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_guarded_command_does_not_outlive_its_starter(tmp_path: Path, how: str) -> None:
    """Also after SIGKILL of the starter, which can clean up nothing."""
    log = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
    note = tmp_path / "pid"
    sleeper = ["sh", "-c", f"echo $$ > {note}; exec sleep 60"]
    if how == "stop":
        guard = start_guarded(sleeper, dict(os.environ), log)
        pid = wait_for_pid(note)
        stop_guarded(guard)
    else:
        code = (
            "import os, time; from flows.guard import start_guarded; "
            f"start_guarded({sleeper!r}, dict(os.environ), 2); time.sleep(60)"
        )
        starter = subprocess.Popen([sys.executable, "-c", code], cwd=repository_root(), stderr=log)
        pid = wait_for_pid(note)
        starter.send_signal(signal.SIGKILL)
        starter.wait()
    os.close(log)
    for _ in range(200):
        if not is_running(pid):
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} is still there")


def wait_for_pid(note: Path) -> int:
    for _ in range(200):
        if note.exists() and note.read_text().strip():
            return int(note.read_text())
        time.sleep(0.05)
    raise AssertionError("the command did not start")


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
