"""How long an annotator waits until an answer is on the disk: 8 people at one page, over HTTP.

`python -m benchmarks.annotate_commit` publishes sets, serves the page in a process of its own, and
lets each client take a set, save a draft and submit, again and again, with half a second between
two requests: some fifty times as busy as people are. Each answer is a committed transaction
(synchronous = FULL) before its 303 is sent. Prints percentiles in milliseconds, and the load.
"""

import argparse
import contextlib
import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from data.inbox import accounts, batches
from data.inbox.batches import NewBatch, Task
from data.inbox.connection import open_inbox
from data.sets import parse_set
from flows.api import free_port, is_up

SERVER = """
import sys
from pathlib import Path
import uvicorn
from data.annotation.app import create_app
from data.annotation.settings import PageSettings
app = create_app(PageSettings(inbox=Path(sys.argv[1])))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error", access_log=False)
"""
FORM = "application/x-www-form-urlencoded"
LIMIT_MS = 50.0
Times = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--answers", type=int, default=60, help="of each client")
    parser.add_argument("--think", type=float, default=0.5, help="seconds between two requests")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder) / "inbox.sqlite"
        tokens = _publish(inbox, arguments.clients, arguments.answers)
        times = _measure(inbox, tokens, arguments.answers, arguments.think)
    print(f"{arguments.clients} clients, load {os.getloadavg()[0]:.1f}")
    for name, taken in times.items():
        print(f"{name:<8} n {len(taken):>5}   " + "   ".join(_percentiles(taken)))
    p95 = _percentile(times["submit"], 95)
    print(f"p95 of a commit: {p95:.1f} ms, {'under' if p95 < LIMIT_MS else 'OVER'} {LIMIT_MS:g} ms")


def _publish(inbox: Path, clients: int, answers: int) -> list[str]:
    now = datetime.now(UTC)
    batch = NewBatch(
        batch_id="b_0123456789abcdef",
        name="bench",
        campaign="bench",
        guideline_version="1",
        wanted=clients * (1 + answers),
        deadline=None,
        allow_top=False,
        config="{}",
    )
    with open_inbox(inbox) as con:
        batches.publish(con, batch, [_task(i) for i in range(clients * (1 + answers))], now=now)
        return [accounts.add(con, f"ann_{i}", now=now) for i in range(clients)]


def _task(number: int) -> Task:
    responses = [
        {"response_id": f"r_{number}_{i}", "text": f"{i} " + "word " * 60, "generator": "g"}
        for i in range(4)
    ]
    row = {
        "schema": "set/1",
        "set_id": f"s_{number}",
        "prompt_id": f"p_{number}",
        "messages": [{"role": "user", "content": "Say something."}],
        "responses": responses,
        "guideline_version": "1",
        "campaign": "bench",
    }
    return batches.task_of(parse_set(row), want=1)


def _measure(inbox: Path, tokens: list[str], answers: int, think: float) -> Times:
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(inbox), str(port)])
    times: Times = defaultdict(list)
    try:
        while not is_up(f"http://127.0.0.1:{port}/health"):
            time.sleep(0.05)
        clients = [
            threading.Thread(target=_client, args=(port, token, answers, think, times))
            for token in tokens
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    finally:
        server.terminate()
        server.wait()
    return times


def _client(port: int, token: str, answers: int, think: float, times: Times) -> None:
    """One annotator: the cookie by the link, then sets until there is none."""
    browser = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Origin": f"http://127.0.0.1:{port}", "Content-Type": FORM}
    with contextlib.closing(browser):
        _, cookie = _ask(browser, "POST", "/enter", {"token": token}, headers)
        headers["Cookie"] = cookie.partition(";")[0]
        for turn in range(1 + answers):
            # The first turn compiles templates and makes threads.
            kept = times if turn else defaultdict(list)
            with _timed(kept, "page"):
                html, _ = _ask(browser, "GET", "/", {}, headers)
            form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html))
            form |= {f"tier.{letter}": str(tier) for tier, letter in enumerate("ABCD", start=1)}
            form |= {"active_ms": "60000", "rev": "1", "action": "ranked"}
            time.sleep(think)
            with _timed(kept, "draft"):
                _ask(browser, "POST", "/draft", form, headers | {"Accept": "application/json"})
            time.sleep(think)
            with _timed(kept, "submit"):
                _ask(browser, "POST", "/submit", form, headers)


def _ask(
    browser: http.client.HTTPConnection,
    method: str,
    path: str,
    form: dict[str, str],
    headers: dict[str, str],
) -> tuple[str, str]:
    browser.request(method, path, urllib.parse.urlencode(form), headers)
    answer = browser.getresponse()
    text = answer.read().decode()
    if answer.status not in (200, 303):
        raise RuntimeError(f"{path}: {answer.status} {text}")
    return text, answer.headers.get("Set-Cookie", "")


@contextlib.contextmanager
def _timed(times: Times, name: str):
    start = time.perf_counter()
    yield
    times[name].append((time.perf_counter() - start) * 1000)


def _percentiles(taken: list[float]) -> list[str]:
    return [f"p{it} {_percentile(taken, it):6.1f} ms" for it in (50, 95, 99)]


def _percentile(taken: list[float], percent: int) -> float:
    return sorted(taken)[min(len(taken) - 1, len(taken) * percent // 100)]


if __name__ == "__main__":
    main()
