"""Makes the pictures of docs/annotating.md: `python docs/images/annotate.py`.

Publishes a few sets into an inbox of its own, serves the page and photographs it. Needs Chromium
(Debian's, or CHROMIUM=PATH) and the `dev` extra.
"""

import json
import os
import tempfile
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from data import doubts
from data.annotation.app import create_app
from data.annotation.settings import PageSettings
from data.inbox import accounts, batches, mirror
from data.inbox.batches import NewBatch, Task
from data.inbox.connection import open_inbox
from data.sets import parse_set
from flows.api import free_port, is_up

HERE = Path(__file__).parent
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
BATCH = "b_5d1c0a7e9f3b2468"
PROMPT = (
    "My lamp flickers when I switch it on in the evening. What can I do before I call somebody?"
)
RESPONSES = (
    "Switch the lamp off at the wall and let the bulb cool. Then:\n\n"
    "  1. turn the bulb until it sits tight,\n"
    "  2. try another bulb of the same kind,\n"
    "  3. try the lamp at another socket.\n\n"
    "If it still flickers, the lamp itself is worn. Please do not open it; have it looked at.",
    "A flickering lamp is usually a loose bulb. Tighten it while the lamp is off.",
    "Lamps have been used for thousands of years, and there are many beautiful kinds of them. A "
    "good lamp can make a room feel warm and welcoming in the evening.",
    "Just open the base while it is on and move the wires until the light is steady.",
)
FIGURES = {
    "mutual_agreement": (0.714, 0.652, 0.771, 412),
    "tie_rate": (0.118, 0.094, 0.143, 1310),
    "tau_b": (0.447, 0.331, 0.552, 138),
    "alpha": (0.402, 0.295, 0.498, 620),
    "earlier_wins": (0.507, 0.478, 0.536, 1156),
    "longer_wins": (0.561, 0.531, 0.592, 1156),
    "seconds": (51.3, 46.0, 57.5, 330),
}
PEOPLE = {"ann_03": (0.74, 0.84, 0.96), "ann_07": (0.72, 0.81, 0.94), "ann_11": (0.55, 0.52, 0.61)}


def main() -> None:
    # The photographer reads faster than anybody.
    doubts.MIN_MS_PER_WORD = 0
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder) / "inbox.sqlite"
        token = publish(inbox)
        port = free_port()
        app = create_app(PageSettings(inbox=inbox))
        config = uvicorn.Config(app, port=port, log_level="error")
        threading.Thread(target=uvicorn.Server(config).run, daemon=True).start()
        url = f"http://127.0.0.1:{port}"
        while not is_up(f"{url}/health"):
            time.sleep(0.05)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            with closing(browser):
                photograph(browser, f"{url}/enter/{token}", inbox)


def publish(inbox: Path) -> str:
    """Publish sets; returns the token of a lead."""
    now = datetime.now(UTC)
    batch = NewBatch(
        batch_id=BATCH,
        name="demo",
        campaign="demo",
        guideline_version="1",
        wanted=30,
        deadline=now.replace(hour=18, minute=0) + timedelta(days=2),
        allow_top=False,
        config="{}",
    )
    with open_inbox(inbox) as con:
        batches.publish(con, batch, [task(i) for i in range(40)], now=now)
        for name in PEOPLE:
            accounts.add(con, name, now=now, max_per_day=80)
        return accounts.add(con, "lea", role="lead", name="Lea", now=now)


def task(number: int) -> Task:
    row = {
        "schema": "set/1",
        "set_id": f"s_{number:04}",
        "prompt_id": f"p_{number:04}",
        "messages": [{"role": "user", "content": PROMPT}],
        "responses": [
            {"response_id": f"r_{number}_{i}", "text": text, "generator": "sft"}
            for i, text in enumerate(RESPONSES)
        ],
        "guideline_version": "1",
        "campaign": "demo",
    }
    return batches.task_of(parse_set(row), want=1)


def photograph(browser: Browser, link: str, inbox: Path) -> None:
    page = window(browser, link, width=1280, height=900)
    for _ in range(11):
        rank(page, "1213")
        page.keyboard.press("Control+Enter")
        page.locator(".notice").wait_for()
    tell_figures(inbox)
    rank(page, "121")
    page.locator("#draft-state", has_text="Draft saved").wait_for()
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=HERE / "annotate_rank.png")
    page.goto(page.url.partition("?")[0] + "lead")
    page.screenshot(path=HERE / "annotate_lead.png", full_page=True)
    phone = window(browser, link, width=390, height=844, has_touch=True)
    phone.screenshot(path=HERE / "annotate_phone.png")
    dark = window(browser, link, width=1280, height=900, color_scheme="dark", locale="zh-CN")
    dark.screenshot(path=HERE / "annotate_zh_dark.png")


def window(browser: Browser, link: str, *, width: int, height: int, **options: object) -> Page:
    page = browser.new_page(viewport={"width": width, "height": height}, **options)
    page.goto(link)
    page.locator("button.main").click()
    page.locator(".card").first.wait_for()
    return page


def rank(page: Page, tiers: str) -> None:
    for tier in tiers:
        page.keyboard.press(tier)
        page.keyboard.press("j")


def tell_figures(inbox: Path) -> None:
    """What the pipeline writes after it has read the rankings."""
    figures = {
        name: dict(zip(("value", "low", "high", "n"), it, strict=True))
        for name, it in FIGURES.items()
    }
    people = [
        {
            "annotator_id": name,
            "answers": 110,
            "figures": {
                kind: {"value": value, "low": value - 0.06, "high": value + 0.03, "n": 300}
                for kind, value in zip(("agreement", "quality", "gold_passed"), it, strict=True)
            },
        }
        for name, it in PEOPLE.items()
    ]
    references = {"mutual_agreement": 0.726}
    statistics = {"figures": figures, "references": references, "annotators": people}
    held = [
        {
            "event_id": "0190a7c2-5b1e-7c3a-9f10-3a5d2b7c9e01",
            "annotator_id": "ann_11",
            "set_id": "s_0017",
            "reason": "TOO_FAST",
            "detail": "1900 ms for 104 words; held for review under 6240 ms",
            "resolution": None,
            "active_ms": 1900,
            "messages": [{"role": "user", "content": PROMPT}],
            "responses": [
                {"response_id": f"r_{i}", "text": text, "tier": i + 1}
                for i, text in enumerate(RESPONSES)
            ],
        }
    ]
    now = datetime.now(UTC)
    with open_inbox(inbox) as con:
        mirror.put(con, f"statistics:{BATCH}", json.dumps(statistics), now=now)
        mirror.put(con, f"held:{BATCH}", json.dumps(held), now=now)


if __name__ == "__main__":
    main()
