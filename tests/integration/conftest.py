"""One Prefect API for all integration tests, and a toy pipeline that runs on the real machinery."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows.api import prefect_api
from flows.environment import environment_defaults

TOY = Path(__file__).with_name("toy_project")


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server of our own kind, with a fresh database."""
    var = tmp_path_factory.mktemp("prefect-server")
    before = dict(os.environ)
    for name, value in environment_defaults(var).items():
        os.environ.setdefault(name, value)
    try:
        with prefect_api() as wait:
            wait()
            # Prefect read the environment when the test modules were collected.
            with temporary_settings(
                {PREFECT_API_URL: os.environ["PREFECT_API_URL"], PREFECT_HOME: var / "prefect"}
            ):
                yield os.environ["PREFECT_API_URL"]
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def toy_path(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy project, importable as `toy` and `toy_run`."""
    monkeypatch.syspath_prepend(str(TOY))
    for name in [name for name in sys.modules if name.partition(".")[0] in {"toy", "toy_run"}]:
        monkeypatch.delitem(sys.modules, name)
    return TOY
