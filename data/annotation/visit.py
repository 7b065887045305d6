"""One request from beginning to end: who asks, in which language, with which inbox connection.

A handler is a plain function from a Visit to a response. It runs in a worker thread with an inbox
connection of its own; what it raises as PageError becomes a page that says so.
"""

import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from data.annotation.pages import render
from data.annotation.security import Form, PageError, check_csrf, csrf_token, read_form
from data.annotation.settings import PageSettings
from data.annotation.texts import LANGUAGES, Texts, choose_language, texts_of
from data.inbox.accounts import Account, by_session
from data.inbox.connection import InboxBusyError, open_inbox

LANGUAGE_COOKIE = "rlhf_language"
_YEAR = 365 * 24 * 3600

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a handler is given.

    Attributes:
        account: Who is signed in; None where nobody is.
        session_id: Of the cookie, empty where nobody is signed in.
        now: The one time of this request.
    """

    request: Request
    settings: PageSettings
    con: sqlite3.Connection
    form: Form
    account: Account | None
    session_id: str
    texts: Texts
    now: datetime

    @property
    def annotator(self) -> Account:
        """The account, in a handler that asks for one."""
        if self.account is None:
            raise PageError(401, "closed.text")
        return self.account

    @property
    def wants_json(self) -> bool:
        """Whether our script asks, not a person."""
        return "application/json" in self.request.headers.get("accept", "")

    def field(self, name: str) -> str:
        """Return a field of the form, empty where it was not sent."""
        return self.form.get(name, [""])[-1]

    def query(self, name: str) -> str:
        """Return a value of the address, empty where there is none."""
        return self.request.query_params.get(name, "")

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Render a page for this visitor."""
        csrf = csrf_token(self.session_id) if self.session_id else ""
        values = {
            "account": self.account,
            "csrf": csrf,
            "path": self.request.url.path,
            "here": page_of(self.request),
            **values,
        }
        return render(template, self.texts, status=status, **values)


Handler = Callable[[Visit], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(handler: Handler, *, role: str = "") -> Endpoint:
    """Turn a handler into an endpoint.

    Args:
        handler: What answers.
        role: "" for anybody, "annotator" for who is signed in, "lead" for leads. Forms of the
            latter two must carry the token of their session.
    """

    async def run(request: Request) -> Response:
        settings: PageSettings = request.app.state.settings
        try:
            form = await read_form(request) if request.method == "POST" else {}
        except PageError as error:
            return error_page(request, error)
        return await run_in_threadpool(_answer, handler, role, request, settings, form)

    return run


def redirect(path: str) -> Response:
    """Send the browser on with a GET, so that a reload sends nothing twice."""
    return RedirectResponse(path, status_code=303)


def page_of(request: Request) -> str:
    """Where the same page is had in another language: the address itself, unless it takes forms."""
    return "/" if request.method == "POST" else ""


def error_page(request: Request, error: PageError, account: Account | None = None) -> Response:
    """Say what went wrong, to a person as a page and to our script as JSON."""
    if "application/json" in request.headers.get("accept", ""):
        body = json.dumps({"reason": error.key.partition(".")[2]})
        return Response(body, status_code=error.status, media_type="application/json")
    texts = texts_of(_language(request))
    is_closed = error.key.startswith("closed")
    title = texts("closed.title" if is_closed else "error.title")
    text = texts(error.key, **error.values)
    values = {"account": account, "csrf": "", "path": "", "title": title, "text": text}
    values["here"] = page_of(request)
    return render("message.html", texts, status=error.status, **values)


def _answer(
    handler: Handler, role: str, request: Request, settings: PageSettings, form: Form
) -> Response:
    account = None
    try:
        with open_inbox(settings.inbox) as con:
            now = datetime.now(UTC)
            session_id = request.cookies.get(settings.cookie_name, "")
            account = by_session(con, session_id, now=now) if session_id else None
            visit = Visit(
                request=request,
                settings=settings,
                con=con,
                form=form,
                account=account,
                session_id=session_id if account else "",
                texts=texts_of(_language(request)),
                now=now,
            )
            _check_role(visit, role)
            response = handler(visit)
    except PageError as error:
        response = error_page(request, error, account)
    except InboxBusyError:
        response = error_page(request, PageError(503, "error.busy"), account)
    except Exception:
        _logger.exception("%s %s", request.method, request.url.path.partition("/enter/")[0])
        response = error_page(request, PageError(500, "error.server"), account)
    _keep_language(request, response, settings)
    return response


def _check_role(visit: Visit, role: str) -> None:
    if not role:
        return
    if role == "lead" and visit.annotator.role != "lead":
        raise PageError(403, "error.lead_only")
    if visit.annotator and visit.request.method == "POST":
        check_csrf(visit.session_id, visit.form)


def _language(request: Request) -> str:
    return choose_language(
        request.query_params.get("lang"),
        request.cookies.get(LANGUAGE_COOKIE),
        request.headers.get("accept-language", ""),
    )


def _keep_language(request: Request, response: Response, settings: PageSettings) -> None:
    asked = request.query_params.get("lang")
    if asked in LANGUAGES:
        response.set_cookie(
            LANGUAGE_COOKIE,
            asked,
            max_age=_YEAR,
            httponly=True,
            samesite="strict",
            secure=settings.is_behind_tls,
        )
