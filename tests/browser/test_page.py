"""What holds for every page: accessible, safe, readable on a small screen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import VENDOR, Served
from tests.unit.data.annotation.builders import GENERATOR, Site, make_site, make_task
from tests.unit.data.annotation.test_lead_page import FIGURES, held_row, put

expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

Serve = Callable[..., Served]

HOSTILE = (
    "<script>window.broken = 1</script>",
    '<img src=x onerror="window.broken = 2">',
    '</div></article><svg onload="window.broken = 3">',
    "<a href='javascript:window.broken = 4' autofocus onfocus='window.broken = 5'>x</a>",
    '" onmouseover="window.broken = 6" x="',
    "<iframe srcdoc='<script>parent.broken = 7</script>'></iframe>",
    "<base href='//evil.example/'><form action='//evil.example'><button>Submit ranking</button>",
)
WIDE = "averylongwordwithoutanyplacetobreakit" * 20
PAGES = ("/", "/last", "/guidelines", "/lead", "/enter/x", "/nothing")
SMALL_SCREENS = {
    "360 px": {"viewport": {"width": 360, "height": 740}, "has_touch": True},
    # 1280 x 800 at 200 %: half as many pixels, each twice as large.
    "200 %": {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
}
TARGETS = "button, .button, select, summary, .site a, .choices label, .flags label, .chip"
LEAST_PIXELS = 43.5


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_full_site(tmp_path, count=9)


def make_full_site(folder: Path, *, count: int) -> Site:
    """A site with something on each page: sets of hostile texts, a held ranking, figures."""
    texts = tuple(f"{i}. {text}\n\n    code();\n{WIDE}" for i, text in enumerate(HOSTILE * 2))
    tasks = [make_task(i, texts=texts[:count]) for i in range(1, 5)]
    site = make_site(folder, tasks, ada="annotator", lea="lead")
    figures = {"quality": FIGURES["mutual_agreement"], "seconds": FIGURES["something_new"]}
    people = [{"annotator_id": name, "answers": 3, "figures": figures} for name in ("ada", "lea")]
    put(site, "statistics", {"figures": FIGURES, "references": {}, "annotators": people})
    for name in ("ada", "lea"):
        browser = site.client(name)
        form = browser.task().ranked(*range(1, count + 1))
        browser.post("/submit", data=form)
    put(site, "held", [held_row(str(form["event_id"]))])
    return site


def violations(page: Any, *, rules: list[str] | None = None) -> list[str]:
    page.evaluate((VENDOR / "axe/axe.min.js").read_text(encoding="utf-8"))
    options = {"runOnly": rules} if rules else {}
    found = page.evaluate("it => axe.run(document, it).then(it => it.violations)", options)
    return [f"{it['id']}: {node['html']}" for it in found for node in it["nodes"]]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_nothing(serve: Serve, tmp_path: Path, language: str) -> None:
    served = serve(make_full_site(tmp_path, count=3))
    # axe comes in from outside, which the policy rightly forbids; the policy has its own test.
    page = served.window("lea", bypass_csp=True)
    for path in PAGES:
        page.goto(f"{served.url}{path}?lang={language}")
        unfold(page)
        assert violations(page) == [], path
        page.emulate_media(color_scheme="dark")
        assert violations(page, rules=["color-contrast"]) == [], f"{path} in the dark"
        page.emulate_media(color_scheme="light")
        if path == "/":
            page.keyboard.press("1")
            page.keyboard.press("?")
            assert violations(page) == [], "help"
    served.forgive()  # /nothing answers 404, which the browser notes


def unfold(page: Any) -> None:
    for details in page.locator("details").all():
        details.evaluate("it => { it.open = true; }")


@pytest.mark.parametrize("screen", SMALL_SCREENS)
def test_no_page_scrolls_sideways(serve: Serve, site: Site, screen: str) -> None:
    served = serve(site)
    page = served.window("lea", **SMALL_SCREENS[screen])
    for path in PAGES[:-1]:
        page.goto(f"{served.url}{path}")
        unfold(page)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, path


def test_everything_to_be_pressed_is_large_enough_for_a_finger(serve: Serve, site: Site) -> None:
    served = serve(site)
    page = served.window("lea", **SMALL_SCREENS["360 px"])
    for path in PAGES[:-1]:
        page.goto(f"{served.url}{path}")
        unfold(page)
        small = page.locator(TARGETS).evaluate_all(
            """(all, least) => all.filter((it) => {
                 const { width, height } = it.getBoundingClientRect();
                 return width > 0 && Math.min(width, height) < least;
               }).map((it) => it.outerHTML)""",
            LEAST_PIXELS,
        )
        assert small == [], path


def test_texts_of_models_run_nothing_and_load_nothing(serve: Serve, site: Site) -> None:
    served = serve(site)
    page = served.window("lea")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/", "/last", "/lead"):
        page.goto(f"{served.url}{path}")
        page.mouse.move(200, 300)
        assert page.evaluate("window.broken") is None
        assert (
            page.locator("main img, main svg, main iframe, main base, main a[onfocus]").count() == 0
        )
    page.goto(served.url)
    shown = page.locator(".card > .text").all_inner_texts()
    assert sum("<script>window.broken = 1</script>" in text for text in shown) == 2
    assert {url.partition("/static")[0].rstrip("/") for url in asked if "/static" in url} == {
        served.url
    }
    assert all(url.startswith(served.url) for url in asked)


@pytest.mark.parametrize(
    "attack",
    [
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'window.broken = 1'}))",
        "document.body.insertAdjacentHTML('beforeend',"
        " '<img src=x onerror=\"window.broken = 1\">')",
        "document.body.append(Object.assign(document.createElement('script'),"
        " {src: 'data:text/javascript,window.broken = 1'}))",
        "fetch('http://localhost:1/').catch(() => {})",
        "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')",
    ],
)
def test_the_policy_holds_where_escaping_would_fail(serve: Serve, site: Site, attack: str) -> None:
    """What a script of ours could be tricked into; the browser itself refuses it."""
    served = serve(site)
    page = served.window("lea")
    with page.expect_console_message(lambda it: "Content Security Policy" in it.text):
        page.evaluate(f"() => {{ {attack}; }}")
    assert page.evaluate("window.broken") is None
    served.forgive()


def test_the_page_cannot_be_framed(serve: Serve, site: Site) -> None:
    served = serve(site)
    page = served.window("lea")
    page.route(
        "**/frame",
        lambda route: route.fulfill(
            body=f"<iframe src='{served.url}/'></iframe>", content_type="text/html"
        ),
    )
    page.goto(f"{served.url}/frame")
    frame = page.frames[-1]
    assert "Rank the responses" not in frame.content()
    served.forgive()


def test_no_html_names_who_wrote_a_response(serve: Serve, site: Site) -> None:
    served = serve(site)
    page = served.window("lea")
    for path in PAGES[:-1]:
        page.goto(f"{served.url}{path}")
        assert GENERATOR not in page.content(), path


def test_the_language_switch_keeps_the_draft(serve: Serve, site: Site) -> None:
    served = serve(site)
    page = served.window("lea")
    page.keyboard.press("2")
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("heading", name="为回答排序")).to_be_visible()
    expect(page.locator('.chips[data-rank="2"]')).to_have_text("A")
    expect(page.get_by_role("status")).to_contain_text("已恢复您的草稿")


def test_a_lead_decides_in_the_page(serve: Serve, site: Site) -> None:
    served = serve(site)
    page = served.window("lea")
    page.get_by_role("link", name="Lead").click()
    page.get_by_role("button", name="Accept the ranking").click()
    expect(page.get_by_role("status")).to_contain_text("Accepted.")
