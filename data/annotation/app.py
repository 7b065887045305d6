"""The application: which address is answered by what."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from data.annotation import door, lead_page, ranking_page
from data.annotation.security import Guard, PageError, TokenTries
from data.annotation.settings import PageSettings
from data.annotation.visit import Handler, endpoint, error_page
from data.inbox.connection import open_inbox


def create_app(settings: PageSettings) -> Starlette:
    """Return the ranking page on an inbox, ready to be served."""
    app = Starlette(
        routes=[
            _get("/", ranking_page.show_task, "annotator"),
            _post("/submit", ranking_page.submit, "annotator"),
            _post("/draft", ranking_page.save_draft, "annotator"),
            _get("/last", ranking_page.show_last, "annotator"),
            _get("/guidelines", door.show_guidelines),
            _get("/enter/{token}", door.show_door),
            _post("/enter", door.enter),
            _post("/leave", door.leave, "annotator"),
            _get("/lead", lead_page.show_lead, "lead"),
            _post("/lead/decide", lead_page.decide, "lead"),
            _post("/lead/refresh", lead_page.refresh, "lead"),
            Route("/health", _health, methods=["GET"]),
            Mount("/static", StaticFiles(packages=[("data.annotation", "static")])),
        ],
        middleware=[Middleware(Guard, settings=settings, refuse=error_page)],
        exception_handlers={HTTPException: _http_error},
        lifespan=_keep_open,
    )
    app.state.settings = settings
    app.state.tries = TokenTries()
    return app


@asynccontextmanager
async def _keep_open(app: Starlette) -> AsyncIterator[None]:
    """Hold a connection: when the last one closes, SQLite writes its whole log back and syncs."""
    with open_inbox(app.state.settings.inbox):
        yield


def _get(path: str, handler: Handler, role: str = "") -> Route:
    return Route(path, endpoint(handler, role=role), methods=["GET"])


def _post(path: str, handler: Handler, role: str = "") -> Route:
    return Route(path, endpoint(handler, role=role), methods=["POST"])


def _health(_: Request) -> Response:
    """Says that the page is up, to whoever started it."""
    return PlainTextResponse("ok")


def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    key = {404: "error.not_found", 405: "error.method"}.get(status, "error.form")
    return error_page(request, PageError(status, key))
