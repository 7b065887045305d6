"""Follows a stage's metrics.jsonl while it grows and hands new steps on every few seconds.

So curves are live during a training without a tracking call in its loop.
"""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SECONDS_BETWEEN_FLUSHES = 5.0


def read_metrics(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The whole lines of `path` after byte `offset`, and the offset behind them."""
    if not path.exists():
        return [], offset
    with path.open("rb") as stream:
        stream.seek(offset)
        text = stream.read()
    whole = text[: text.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], offset + len(whole)


class MetricsFeed:
    """Context in which `send` gets the new lines of `path` from a thread, the last ones at exit."""

    def __init__(self, path: Path, send: Callable[[list[dict[str, Any]]], None]) -> None:
        self._path = path
        self._send = send
        self._offset = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="metrics-feed", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._flush()

    def _follow(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_FLUSHES):
            self._flush()

    def _flush(self) -> None:
        lines, self._offset = read_metrics(self._path, self._offset)
        if lines:
            self._send(lines)
