"""`rlhf ui`: the MLflow and Prefect pages of var/, on 127.0.0.1 only, until Ctrl-C."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from data.errors import InputError
from flows.api import ServerError, wait_until_up
from flows.doctor import is_taken
from flows.environment import cannot_write, prepare_environment, var_directory
from flows.guard import start_guarded, stop_guarded
from flows.words import program


def serve_ui(*, mlflow_port: int, prefect_port: int) -> None:
    """Start both servers, say where they are, and wait for Ctrl-C.

    Raises:
        InputError: A port is taken, var/ cannot be written, or a server does not come up.
    """
    for name, port in (("MLflow", mlflow_port), ("Prefect", prefect_port)):
        if is_taken(port):
            raise InputError(
                f"port {port} is in use. Choose another: {program()} ui "
                f"--{name.lower()}-port {port + 1}"
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
        polls = {name: _start(servers, name, command, var) for name, command in commands.items()}
        for name, url in health.items():
            try:
                wait_until_up(f"{name} server", url, polls[name], _log(var, name))
            except ServerError as error:
                raise InputError(str(error)) from None
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


def _start(
    servers: ExitStack, name: str, command: list[str], var: Path
) -> Callable[[], int | None]:
    """Start a server that ends with the stack. Returns what asks for its exit code."""
    try:
        var.mkdir(parents=True, exist_ok=True)
        with _log(var, name).open("wb") as log:
            server = start_guarded(command, dict(os.environ), log.fileno())
    except OSError as error:
        raise cannot_write(var, error) from None
    servers.callback(stop_guarded, server)
    return server.poll


def _log(var: Path, name: str) -> Path:
    return var / f"{name.lower()}-server.log"


def _sleep_until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        sys.stdout.write("\n")
