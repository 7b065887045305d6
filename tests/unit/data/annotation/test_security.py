"""Who is let in, what is refused at the door, and what every answer forbids the browser."""

from pathlib import Path

import pytest

from data.annotation.security import POLICY, TRIES, TRY_SECONDS, TokenTries, csrf_token
from tests.unit.data.annotation.builders import Browser, Site, make_site, make_task

PAGES = ("/", "/last", "/guidelines", "/enter/x", "/lead", "/nothing", "/static/rank.js", "/health")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path, [make_task(1), make_task(2)], ada="annotator", lea="lead")


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_forbids_what_the_page_does_not_need(site: Site, path: str) -> None:
    answer = site.client("ada").get(path)
    policy = answer.headers["content-security-policy"]
    assert policy == POLICY
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    kept = "no-cache" if path.startswith("/static/") else "no-store"
    assert answer.headers["cache-control"] == kept


@pytest.mark.parametrize("path", ["/", "/guidelines", "/enter/x", "/lead"])
def test_no_page_has_script_or_style_of_its_own(site: Site, path: str) -> None:
    html = site.client("lea").get(path).text
    assert "<style" not in html
    assert " style=" not in html
    assert " onclick=" not in html
    assert html.count("<script") == html.count('<script src="/static/')


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost", 200),
        ("[::1]:80", 200),
        ("LOCALHOST:1", 200),
        ("rebound.example:8765", 421),
        ("127.0.0.1.example", 421),
        ("127.0.0.1@example", 421),
        ("", 421),
    ],
)
def test_only_our_own_names_are_answered(site: Site, host: str, status: int) -> None:
    assert site.client().get("/guidelines", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({"Origin": "http://127.0.0.1"}, True),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://127.0.0.1:5000"}, False),
        ({"Origin": "https://127.0.0.1"}, False),
        ({"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "none"}, False),
    ],
)
@pytest.mark.parametrize("path", ["/enter", "/submit", "/draft", "/lead/decide", "/leave"])
def test_a_form_of_another_site_is_refused(
    site: Site, path: str, headers: dict[str, str], is_let_in: bool
) -> None:
    answer = site.client().post(path, headers=headers)
    assert ("another site" not in answer.text) is is_let_in


@pytest.mark.parametrize("path", ["/submit", "/draft", "/lead/decide", "/lead/refresh", "/leave"])
def test_a_form_needs_the_token_of_its_session(site: Site, path: str) -> None:
    browser = site.client("lea")
    other = csrf_token("another session")
    for form in ({}, {"csrf": ""}, {"csrf": other}):
        answer = browser.post(path, data=form)
        assert answer.status_code == 403
        assert "too old" in answer.text
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize("path", ["/", "/last", "/lead", "/submit", "/draft", "/leave"])
def test_nobody_is_let_in_without_a_session(site: Site, path: str) -> None:
    browser = site.client()
    for cookie in ("", "x" * 43):
        browser.cookies.set("rlhf_session", cookie)
        method = "GET" if path in {"/", "/last", "/lead"} else "POST"
        assert browser.request(method, path).status_code == 401


def test_an_annotator_sees_nothing_of_a_lead(site: Site) -> None:
    browser = site.client("ada")
    csrf = browser.csrf()
    assert browser.get("/lead").status_code == 403
    assert browser.post("/lead/decide", data={"csrf": csrf}).status_code == 403
    assert browser.post("/lead/refresh", data={"csrf": csrf}).status_code == 403
    assert '"/lead"' not in browser.get("/").text


def test_a_link_becomes_a_cookie_that_no_script_reads(site: Site) -> None:
    browser = site.client()
    shown = browser.get(f"/enter/{site.tokens['ada']}")
    assert "set-cookie" not in shown.headers
    answer = browser.post("/enter", data={"token": site.tokens["ada"]}, follow_redirects=False)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("rlhf_session=")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert site.tokens["ada"].lower() not in cookie


def test_behind_https_the_cookie_is_for_https_and_this_host_alone(site: Site) -> None:
    browser = site.client(is_behind_tls=True, hosts=("rank.example.org",))
    here = {"Host": "rank.example.org", "Origin": "https://rank.example.org"}
    form = {"token": site.tokens["ada"]}
    answer = browser.post("/enter", data=form, headers=here, follow_redirects=False)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-rlhf=")
    assert "Secure" in cookie
    plain = here | {"Origin": "http://rank.example.org"}
    assert browser.post("/enter", data=form, headers=plain).status_code == 403


def test_signing_out_ends_the_session_and_not_the_cookie_alone(site: Site) -> None:
    browser = site.client("ada")
    session = browser.cookies["rlhf_session"]
    csrf = browser.csrf()
    assert "Signed out" in browser.post("/leave", data={"csrf": csrf}).text
    browser.cookies.set("rlhf_session", session)
    assert browser.get("/").status_code == 401


def test_wrong_tokens_are_limited_and_right_ones_always_let_in(site: Site) -> None:
    browser = site.client()
    for _ in range(TRIES + 3):
        assert browser.enter(site.tokens["ada"]).status_code == 200
    for _ in range(TRIES):
        assert browser.enter("guess").status_code == 403
    assert browser.enter("guess").status_code == 429
    assert browser.enter(site.tokens["ada"]).status_code == 200
    assert browser.enter("guess").status_code == 429


def test_tries_come_back_with_time() -> None:
    now = [0.0]
    tries = TokenTries(clock=lambda: now[0])
    for _ in range(TRIES):
        tries.note_failure("here")
    assert not tries.are_left("here")
    assert tries.are_left("there")
    now[0] = TRY_SECONDS + 1
    assert tries.are_left("here")


def large(browser: Browser) -> dict[str, str]:
    return {"csrf": browser.csrf(), "filler": "x" * 262_144}


def test_a_body_has_a_limit(site: Site) -> None:
    browser = site.client("ada")
    assert browser.post("/draft", data=large(browser)).status_code == 413


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"a=%ff", b"just words", b"&".join(b"a=1" for _ in range(500)), b"{}"]
)
def test_a_form_that_is_none_is_refused(site: Site, body: bytes) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = site.client("ada").post("/submit", content=body, headers=form)
    assert answer.status_code == 400
    assert "could not be read" in answer.text


def test_a_fault_of_ours_is_said_without_its_inside(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = site.client("ada")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr("data.inbox.assignments.next_task", fail)
    answer = browser.get("/")
    assert answer.status_code == 500
    assert "inside" not in answer.text
    assert answer.headers["content-security-policy"] == POLICY
