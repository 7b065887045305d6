"""Servers of ours and of the user: proxies, readiness, what is said where one does not come up."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from data.errors import InputError
from flows import run_command, ui
from flows.api import ServerError, free_port, is_up, prefect_api, wait_until_up
from flows.environment import prepare_environment, var_directory


class Answering(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Refusing(Answering):
    status = 401


@contextmanager
def serving(handler: type[Answering]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the code writes into os.environ is undone."""
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "PREFECT_API_URL", "PREFECT_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "corp, localhost"}, "corp,localhost,127.0.0.1"),
        ({"no_proxy": "corp"}, "corp,127.0.0.1,localhost"),
        ({"no_proxy": "*", "NO_PROXY": "*"}, "*"),
    ],
)
def test_no_proxy_is_asked_for_our_own_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], wanted: str
) -> None:
    import os

    monkeypatch.setattr(os, "environ", dict(given))
    for _ in range(2):
        prepare_environment(tmp_path)
        assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == wanted


def test_health_is_asked_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answering) as ours, serving(Refusing) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        assert is_up(ours)
        assert not is_up(proxy)


def test_an_empty_rlhf_var_means_var(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLHF_VAR", "")
    assert var_directory() == Path("var").resolve()


def test_a_given_api_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"http://127.0.0.1:{free_port()}/api", "nonsense"):
        monkeypatch.setenv("PREFECT_API_URL", url)
        with pytest.raises(InputError, match=r"PREFECT_API_URL is .*nobody answers"), prefect_api():
            pass
    for handler in (Answering, Refusing):
        with serving(handler) as url:
            monkeypatch.setenv("PREFECT_API_URL", url)
            with prefect_api() as wait:
                assert not wait()


def test_a_server_that_ended_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("no such module")
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServerError, match=r"(?s)MLflow server did not start.*no such module"):
        wait_until_up("MLflow server", url, lambda: 1, log)


@pytest.mark.parametrize(
    ("error", "code"), [(ServerError("the API did not start"), 1), (OSError(28, "disk full"), 2)]
)
def test_a_failure_outside_the_stages_names_the_command_to_continue(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setenv("RLHF_VAR", str(tmp_path / "var"))
    monkeypatch.setattr(run_command, "prepare_environment", lambda _: None)
    monkeypatch.setattr(run_command, "prefect_api", fail)
    if code == 2:
        with pytest.raises(InputError, match=r"disk full.*run --config smoke"):
            run_command.run_pipeline("smoke", [], "", "")
    else:
        assert run_command.run_pipeline("smoke", [], "", "") == code
        assert "run --config smoke" in capsys.readouterr().err


def test_ui_says_that_var_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "var").touch()
    monkeypatch.setenv("RLHF_VAR", str(tmp_path / "var"))
    monkeypatch.setattr(ui, "prepare_environment", lambda _: None)
    with pytest.raises(InputError, match="cannot be written"):
        ui.serve_ui(mlflow_port=free_port(), prefect_port=free_port())
