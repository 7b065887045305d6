"""An inbox with a published batch, and a browser's side of the page's forms."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from data.annotation.app import create_app
from data.annotation.settings import PageSettings
from data.inbox import accounts, batches, events
from data.inbox.batches import NewBatch, Task
from data.inbox.connection import open_inbox
from data.sets import parse_set

BATCH = "b_0123456789abcdef"
GENERATOR = "secret-policy-7b"
ORIGIN = {"Origin": "http://127.0.0.1"}
PROMPT = "My lamp flickers. What can I do?"
RESPONSES = (
    "Turn the bulb until it sits tight, and try again.",
    "Lamps are nice things to have in a room.",
    "Switch it off first. Then tighten the bulb.",
    "Buy another lamp.",
)


def make_task(
    number: int,
    *,
    want: int = 1,
    texts: Sequence[str] = RESPONSES,
    prompt: str = PROMPT,
    guideline_version: str = "1",
) -> Task:
    row = {
        "schema": "set/1",
        "set_id": f"s_{number:04}",
        "prompt_id": f"p_{number:04}",
        "messages": [{"role": "user", "content": prompt}],
        "responses": [
            {"response_id": f"r_{number}_{i}", "text": text, "generator": GENERATOR}
            for i, text in enumerate(texts)
        ],
        "guideline_version": guideline_version,
        "campaign": "test",
    }
    return batches.task_of(parse_set(row), want=want)


def make_batch(**changes: object) -> NewBatch:
    batch = NewBatch(
        batch_id=BATCH,
        name="test",
        campaign="test",
        guideline_version="1",
        wanted=10,
        deadline=None,
        allow_top=False,
        config="{}",
    )
    return replace(batch, **changes)


@dataclass(frozen=True)
class Site:
    """An inbox, its accounts' tokens, and the page on it."""

    inbox: Path
    tokens: Mapping[str, str]

    def client(self, annotator_id: str = "", **options: object) -> "Browser":
        browser = Browser(create_app(PageSettings(inbox=self.inbox, **options)))
        if annotator_id:
            assert browser.enter(self.tokens[annotator_id]).status_code == 200
        return browser


def make_site(
    folder: Path, tasks: Sequence[Task], batch: NewBatch | None = None, **people: str
) -> Site:
    """Publish tasks; `people` is annotator id -> role."""
    inbox, now = folder / "inbox.sqlite", datetime.now(UTC)
    with open_inbox(inbox) as con:
        if tasks:
            batches.publish(con, batch or make_batch(), tasks, now=now)
        tokens = {
            name: accounts.add(con, name, role=role, name=name.title(), now=now)
            for name, role in (people or {"ada": "annotator"}).items()
        }
    return Site(inbox=inbox, tokens=tokens)


class Browser(TestClient):
    """A browser without JavaScript: sends what a form holds, and where it came from."""

    def __init__(self, app: object) -> None:
        super().__init__(app, base_url="http://127.0.0.1", headers=ORIGIN)

    def enter(self, token: str):
        return self.post("/enter", data={"token": token})

    def csrf(self) -> str:
        """What every form of this session carries."""
        return re.findall(r'name="csrf" value="(\w+)"', self.get("/guidelines").text)[0]

    def task(self, path: str = "/") -> "TaskForm":
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return TaskForm(answer.text)


class TaskForm:
    """The fields of a task page as a browser would send them untouched."""

    def __init__(self, html: str) -> None:
        self.html = html
        self.fields = {
            name: unescape(value)
            for name, value in re.findall(
                r'<input type="hidden" name="(\w+)" value="([^"]*)">',
                html.partition('id="ranking"')[2],
            )
        }
        for name, value, checked in re.findall(
            r'<input type="radio" name="([\w.]+)" value="(\d*)"( checked)?>', html
        ):
            if checked:
                self.fields[name] = value
        self.letters = re.findall(r'data-letter="(\w)"', html)

    @property
    def texts(self) -> list[str]:
        """Of the responses, in the order of the page."""
        found = re.findall(
            r'id="title-\w".*?<div class="text" dir="auto">(.*?)</div>', self.html, re.S
        )
        return [unescape(text) for text in found]

    def ranked(self, *tiers: int, **more: object) -> dict[str, object]:
        """The form with ranks by letter, to be submitted."""
        chosen = {f"tier.{letter}": tier for letter, tier in zip(self.letters, tiers, strict=False)}
        return {**self.fields, **chosen, "action": "ranked", "active_ms": "60000", **more}


def rows(site: Site) -> list[dict[str, Any]]:
    """The rankings in the log."""
    with open_inbox(site.inbox) as con:
        return [json.loads(it.payload) for it in events.read(con, types={"ranking"})]


def sent(browser: Browser, form: dict[str, object], path: str = "/submit") -> str:
    answer = browser.post(path, data=form)
    assert answer.status_code == 200, answer.text
    return answer.text
