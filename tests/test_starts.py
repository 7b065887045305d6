"""Every server and command line starts. First of all tests: nothing else sees a broken install.

Prefect's server dies at start under a too new fastapi, which neither `import prefect` nor
`pip check` notices.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.api import free_port, is_up
from flows.environment import environment_defaults
from flows.guard import start_guarded, stop_guarded
from flows.spine import repository_root
from flows.ui import mlflow_command, prefect_command

SECONDS = 180.0


@pytest.mark.parametrize("command", ["--help", "run --help", "stages --help", "doctor --help"])
def test_command_line_starts(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *command.split()],
        cwd=repository_root(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.mark.server
@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_server_starts(name: str, tmp_path: Path) -> None:
    port = free_port()
    if name == "prefect":
        command, health = prefect_command(port), "api/health"
    else:
        command, health = mlflow_command(tmp_path, port), "health"
    log = tmp_path / "log"
    with log.open("wb") as output:
        server = start_guarded(
            command, environment_defaults(tmp_path) | os.environ, output.fileno()
        )
    try:
        end = time.monotonic() + SECONDS
        while not is_up(f"http://127.0.0.1:{port}/{health}"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)
    finally:
        stop_guarded(server)
