"""`rlhf ui`: the MLflow and Prefect pages of var/, on 127.0.0.1 only, until Ctrl-C."""

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from data.errors import InputError
from flows.api import is_up
from flows.doctor import check_port
from flows.environment import prepare_environment, var_directory
from flows.guard import start_guarded, stop_guarded

START_SECONDS = 180.0


def serve_ui(*, mlflow_port: int, prefect_port: int) -> None:
    """Start both servers, say where they are, and wait for Ctrl-C.

    Raises:
        InputError: A port is taken, or a server does not come up.
    """
    for name, port in (("MLflow", mlflow_port), ("Prefect", prefect_port)):
        if check_port(name, port).mend:
            raise InputError(
                f"port {port} is in use. Choose another: rlhf ui --{name.lower()}-port {port + 1}"
            )
    var = var_directory()
    prepare_environment(var)
    urls = {
        "MLflow": f"http://127.0.0.1:{mlflow_port}",
        "Prefect": f"http://127.0.0.1:{prefect_port}",
    }
    health = {"MLflow": f"{urls['MLflow']}/health", "Prefect": f"{urls['Prefect']}/api/health"}
    commands = {
        "MLflow": mlflow_command(var, mlflow_port),
        "Prefect": prefect_command(prefect_port),
    }
    with ExitStack() as servers:
        for name, command in commands.items():
            _start(servers, name, command, var)
        for name, url in health.items():
            _wait(name, url, var)
            sys.stdout.write(f"{name:<8} {urls[name]}\n")
            sys.stdout.flush()
        sys.stdout.write("Ctrl-C stops both.\n")
        sys.stdout.flush()
        _sleep_until_interrupted()


def mlflow_command(var: Path, port: int) -> list[str]:
    """One worker and no job runners: 2 processes instead of 15."""
    return [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{var / 'mlflow.db'}"),
        *("--default-artifact-root", (var / "mlflow-artifacts").as_uri()),
    ]


def prefect_command(port: int) -> list[str]:
    """Prefect's own server, with its pages."""
    command = (sys.executable, "-m", "prefect", "server", "start")
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--analytics-off"]


def _start(servers: ExitStack, name: str, command: list[str], var: Path) -> None:
    var.mkdir(parents=True, exist_ok=True)
    with _log(var, name).open("wb") as log:
        server = start_guarded(command, dict(os.environ), log.fileno())
    servers.callback(stop_guarded, server)


def _wait(name: str, url: str, var: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not is_up(url):
        if time.monotonic() > end:
            raise InputError(f"the {name} server did not start; see {_log(var, name)}")
        time.sleep(0.2)


def _log(var: Path, name: str) -> Path:
    return var / f"{name.lower()}-server.log"


def _sleep_until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        sys.stdout.write("\n")
