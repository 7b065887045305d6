"""The Prefect API of one run: the user's (PREFECT_API_URL), else a server of our own.

Ours is what Prefect starts by itself when no API is set, but started at once, so that it comes up
while we import, and under a guard, so that no kill leaves it behind. The database stays in
var/prefect, migrated: docs/decisions/0001-prefect-api.md has the measurements.
"""

import importlib.util
import os
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import InputError
from flows.guard import start_guarded, stop_guarded
from flows.words import program

START_SECONDS = 180.0
DRAIN_SECONDS = 10.0
LOG_FILE = "api.log"


class ServerError(RuntimeError):
    """A server of our own does not come up; the message quotes its log."""


@contextmanager
def prefect_api() -> Iterator[Callable[[], bool]]:
    """Have a Prefect API while the context lasts; import prefect inside it, not before.

    Yields:
        A function that waits until the API answers and says whether it is our own. It raises
        ServerError where ours never answers.

    Raises:
        InputError: The user's API does not answer.
    """
    if given := os.environ.get("PREFECT_API_URL"):
        _check_given(given)
        yield lambda: False
        return
    home = Path(os.environ["PREFECT_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    with (home / LOG_FILE).open("wb") as log:
        server = start_guarded(_server_command(port), _server_environment(), log.fileno())
    os.environ["PREFECT_API_URL"] = url
    try:
        yield lambda: wait_until_up("Prefect API", f"{url}/health", server.poll, home / LOG_FILE)
    finally:
        _send_what_is_queued()
        del os.environ["PREFECT_API_URL"]
        stop_guarded(server)


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_up(url: str) -> bool:
    """Whether our own server at `url` answers with success; no proxy is asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_until_up(name: str, url: str, exit_code: Callable[[], int | None], log: Path) -> bool:
    """Return True as soon as `url` answers.

    Raises:
        ServerError: The server ended or took too long; quotes the end of its log.
    """
    end = time.monotonic() + START_SECONDS
    while not is_up(url):
        if exit_code() is not None or time.monotonic() > end:
            tail = log.read_text(encoding="utf-8", errors="replace")[-1000:].strip()
            raise ServerError(
                f"the {name} did not start; `{program()} doctor` says what is wrong with the "
                f"installation. Its last words in {log}:\n{tail}"
            )
        time.sleep(0.05)
    return True


def _check_given(url: str) -> None:
    """Raise InputError where nobody answers at PREFECT_API_URL; a refusal is an answer too."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=10):  # noqa: S310 - the user's URL
            return
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
    # Prefect may know the certificates that Python does not.
    if isinstance(reason, ssl.SSLError):
        return
    raise InputError(
        f"PREFECT_API_URL is {url}, where nobody answers ({reason}). Start that server, for "
        "example with `prefect server start`, or unset PREFECT_API_URL to use one of our own."
    )


def _server_command(port: int) -> list[str]:
    spec = importlib.util.find_spec("prefect")
    if spec is None or spec.origin is None:
        raise ServerError("prefect is not installed; run `make reinstall`")
    return [
        *(sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"),
        # Ahead of the working directory, whose packages have common names.
        *("--app-dir", str(Path(spec.origin).parents[1])),
        *("--host", "127.0.0.1", "--port", str(port), "--log-level", "error"),
    ]


def _server_environment() -> dict[str, str]:
    # The variables with two underscores are those by which Prefect marks its ephemeral server:
    # only the services that a single run needs.
    marks = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    return {**os.environ, **marks, "PREFECT_SERVER_UI_ENABLED": "false"}


def _send_what_is_queued() -> None:
    """Deliver Prefect's queued events and logs while the server is still there.

    Else the last task states are lost, and the interpreter's exit tries to reconnect for a minute.
    """
    # An API that was never used needs no import of prefect.
    if "prefect.events.worker" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=DRAIN_SECONDS)
    EventsWorker.drain_all(timeout=DRAIN_SECONDS)
