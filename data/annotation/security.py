"""What every request passes: the address it asks for, where it comes from, and what it may load.

The page trusts nobody on the machine either: another page on 127.0.0.1, on another port, shares
our cookies, so a request that changes something must come from our own origin and carry the token
of its session.

Omitted on purpose: TLS, which a proxy in front does, and accounts (data.inbox.accounts).
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data.annotation.settings import MAX_BODY_BYTES, PageSettings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MAX_FIELDS = 400
TRIES, TRY_SECONDS, MAX_CLIENTS = 10, 60.0, 10_000

Form = dict[str, list[str]]


class PageError(Exception):
    """An answer other than the page that was asked for: a status and the key of what to say."""

    def __init__(self, status: int, key: str, **values: str) -> None:
        super().__init__(key)
        self.status = status
        self.key = key
        self.values = values


class Guard:
    """Middleware: refuses foreign hosts and origins, adds the headers of every answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: PageSettings,
        refuse: Callable[[Request, PageError], Response],
    ) -> None:
        self.app = app
        self.settings = settings
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        error = self._refusal(scope["method"], Headers(scope=scope))
        app = self.app if error is None else self.refuse(Request(scope), error)
        await app(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: Headers) -> PageError | None:
        host = headers.get("host", "").lower()
        if _without_port(host) not in self.settings.hosts:
            return PageError(421, "error.host")
        if method not in ("GET", "HEAD") and not self._is_own_origin(host, headers):
            return PageError(403, "error.origin")
        return None

    def _is_own_origin(self, host: str, headers: Headers) -> bool:
        # Under "no-referrer" a browser sends "Origin: null" even to its own site; this header,
        # which no script can set, then says where the request comes from.
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        return headers.get("origin", "").lower() == f"{self.settings.scheme}://{host}"


class TokenTries:
    """How often each client may still fail to give a valid token."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, list[float]] = {}

    def are_left(self, client: str) -> bool:
        """Return whether this client may try."""
        return len(self._recent(client)) < TRIES

    def note_failure(self, client: str) -> None:
        """Count a wrong token."""
        if len(self._failed) >= MAX_CLIENTS:
            self._failed = {name: tries for name in self._failed if (tries := self._recent(name))}
        self._failed[client] = [*self._recent(client), self._clock()][-TRIES:]

    def _recent(self, client: str) -> list[float]:
        since = self._clock() - TRY_SECONDS
        return [at for at in self._failed.get(client, []) if at > since]


def csrf_token(session_id: str) -> str:
    """Return what each form of a session carries; the session id cannot be read from it."""
    return hmac.new(session_id.encode(), b"csrf", hashlib.sha256).hexdigest()


def check_csrf(session_id: str, form: Form) -> None:
    """Refuse a form that this session's pages did not hold.

    Raises:
        PageError: The token is missing or another one.
    """
    sent = form.get("csrf", [""])[-1]
    if not hmac.compare_digest(sent.encode(), csrf_token(session_id).encode()):
        raise PageError(403, "error.csrf")


async def read_form(request: Request) -> Form:
    """Read an urlencoded form of bounded size; a field may come more than once.

    Raises:
        PageError: It is too large, has too many fields, or is no such form.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise PageError(413, "error.too_large")
    form: Form = {}
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise PageError(400, "error.form") from None
    for name, value in fields:
        form.setdefault(name, []).append(value)
    return form


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdigit() else host


def _add_headers(headers: MutableHeaders, path: str) -> None:
    headers["Content-Security-Policy"] = POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    # Our own script and style hold nothing of anybody; browsers ask whether they changed.
    headers["Cache-Control"] = "no-cache" if path.startswith("/static/") else "no-store"
