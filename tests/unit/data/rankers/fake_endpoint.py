"""An endpoint of chat completions on loopback that answers as a test says."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = dict[str, Any]
REPLY = re.compile(
    r"^<<< ([0-9a-f]{16}) reply ([A-I])\n(.*?)\n>>> \1 end of reply \2$", re.DOTALL | re.MULTILINE
)


@dataclass
class Request:
    """What came in."""

    body: dict[str, Any]
    headers: dict[str, str]
    at: float
    number: int

    @property
    def replies(self) -> dict[str, str]:
        """Letter -> text of the first question."""
        return {it[2]: it[3] for it in REPLY.finditer(self.body["messages"][1]["content"])}

    @property
    def is_repair(self) -> bool:
        return len(self.body["messages"]) > 2


@dataclass
class Fake:
    """The endpoint's state.

    Attributes:
        answer: Takes a request, gives {"status", "headers", "body" or "raw", "delay", "drop"}.
    """

    answer: Callable[[Request], Reply]
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    most_at_once: int = 0
    now: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def completion(content: str | None, *, usage: Any = (100, 20), **message: Any) -> Reply:
    """A response in OpenAI's form."""
    choice = {"index": 0, "finish_reason": message.pop("finish_reason", "stop")}
    choice["message"] = {"role": "assistant", "content": content, **message}
    body: dict[str, Any] = {"id": "x", "object": "chat.completion", "choices": [choice]}
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return {"body": body}


def ranked(tiers: list[list[str]], **options: Any) -> Reply:
    return completion(json.dumps({"outcome": "ranked", "tiers": tiers}), **options)


def by_text(request: Request, score: Callable[[str], float] = len) -> Reply:
    """A judge without a preference for places: the higher score wins, equal ones tie."""
    tiers: dict[float, list[str]] = {}
    for letter, text in request.replies.items():
        tiers.setdefault(score(text), []).append(letter)
    return ranked([tiers[it] for it in sorted(tiers, reverse=True)])


@contextmanager
def serving(answer: Callable[[Request], Reply] = by_text) -> Iterator[Fake]:
    """Serves on a free port until the block ends."""
    fake = Fake(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10  # of a silent connection
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            with fake.lock:
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(
                    json.loads(raw), headers, time.monotonic(), len(fake.requests) + 1
                )
                fake.requests.append(request)
                fake.now += 1
                fake.most_at_once = max(fake.most_at_once, fake.now)
            try:
                self._send(fake.answer(request))
            finally:
                with fake.lock:
                    fake.now -= 1

        def _send(self, reply: Reply) -> None:
            time.sleep(reply.get("delay", 0.0))
            if reply.get("drop"):
                self.close_connection = True
                self.connection.close()
                return
            body = json.dumps(reply["body"]).encode() if "body" in reply else reply.get("raw", b"")
            self.send_response(reply.get("status", 200))
            for name, value in reply.get("headers", {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, ValueError):
                self.close_connection = True  # the client gave up

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
