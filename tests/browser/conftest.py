"""A real browser on a real server: headless Chromium, and the ranking page under uvicorn."""

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn

from data.annotation.app import create_app
from data.annotation.settings import PageSettings
from flows.api import free_port, is_up
from tests.unit.data.annotation.builders import Site

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
VENDOR = Path(__file__).parent / "vendor"
START_SECONDS = 60.0
PATIENCE_MS = 20_000  # Of a busy machine; what is there ends a wait at once.

SERVER = """
import sys
from pathlib import Path
import uvicorn
from data.annotation.app import create_app
from data.annotation.settings import PageSettings
app = create_app(PageSettings(inbox=Path(sys.argv[1])))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error", access_log=False)
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """The browser; its tests are skipped where it or its driver is not installed.

    Not for the whole session: while the driver lives, no other test's asyncio.run can.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}; set CHROMIUM to one")
    playwright.expect.set_options(timeout=PATIENCE_MS)
    with playwright.sync_playwright() as driver:
        # As root, in a container, Chromium has no sandbox to go into.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        with contextlib.closing(browser):
            yield browser


@dataclass
class Served:
    """A page that is up, and the browser windows on it.

    Attributes:
        is_apart: Whether the server is a process of its own, which can be killed; a thread of
            ours is up sooner.
        trouble: What a window complained of: a script that threw, or that the policy refused.
    """

    site: Site
    chromium: object
    port: int
    is_apart: bool
    process: subprocess.Popen[bytes] | None = None
    thread: uvicorn.Server | None = None
    contexts: list[object] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if self.is_apart:
            command = [sys.executable, "-c", SERVER, str(self.site.inbox), str(self.port)]
            self.process = subprocess.Popen(command)
        else:
            app = create_app(PageSettings(inbox=self.site.inbox))
            config = uvicorn.Config(app, port=self.port, log_level="error", access_log=False)
            self.thread = uvicorn.Server(config)
            threading.Thread(target=self.thread.run, daemon=True).start()
        end = time.monotonic() + START_SECONDS
        while not is_up(f"{self.url}/health"):
            assert self.process is None or self.process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server does not come up"
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server; where it is a process, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if self.thread is not None:
            self.thread.should_exit = True

    def window(self, annotator_id: str = "", **options: object) -> object:
        """A new browser of its own, signed in by the link of who is named."""
        context = self.chromium.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        self.contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("console", self._note)
        if annotator_id:
            page.goto(f"{self.url}/enter/{self.site.tokens[annotator_id]}")
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(f"{self.url}/")
        return page

    def forgive(self) -> None:
        """Close the windows and forget their trouble: the test made it on purpose."""
        for context in self.contexts:
            context.close()
        self.contexts.clear()
        self.trouble.clear()

    def _note(self, message: object) -> None:
        expected = any(status in message.text for status in (" 409 ", " 422 "))
        if message.type in {"error", "warning"} and not expected:
            self.trouble.append(message.text)


@pytest.fixture
def serve(chromium: object) -> Iterator[Callable[..., Served]]:
    """Serve a site on a port of its own. At the end no page may have had trouble."""
    up: list[Served] = []

    def start(site: Site, *, is_apart: bool = False) -> Served:
        served = Served(site=site, chromium=chromium, port=free_port(), is_apart=is_apart)
        up.append(served)
        served.start()
        return served

    yield start
    trouble = [it for served in up for it in served.trouble]
    for served in up:
        served.forgive()
        served.stop()
    assert trouble == []


def vendored(folder: Path) -> dict[str, str]:
    """File name -> sha256, as the VERSION file of a vendored folder says."""
    lines = (folder / "VERSION").read_text(encoding="utf-8").splitlines()
    named = [line.split() for line in lines if len(line.split()[0]) == 64]
    return {name: digest for digest, name in named}


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
