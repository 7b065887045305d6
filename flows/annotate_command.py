"""`rlhf annotate`: serve the ranking page on var/inbox.sqlite until Ctrl-C.

While the page is up it also starts what waits for rankings (flows.human_step). Tokens are kept as
hashes, so a link can be shown only when it is made: with an account, or anew with --links.

Omitted on purpose: TLS. Elsewhere than on this machine the page stands behind a proxy that does it.
"""

import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from data.errors import InputError
from data.inbox import INBOX_FILE, accounts
from data.inbox.connection import open_inbox
from flows.environment import cannot_write, prepare_environment, var_directory
from flows.locks import PAGE_LOCK, hold, lock_holder
from flows.words import program

DEFAULT_PORT = 8765
FIRST_ANNOTATOR = "me"
DRAIN_SECONDS = 5


def serve_annotation(
    *, host: str, port: int, tokens: Path | None, proxy_url: str, links: bool, lease_minutes: float
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        tokens: File that personal links are written to, in place of the terminal.
        proxy_url: Address of an https proxy in front; empty where there is none.
        links: Make new links for everybody.
        lease_minutes: How long a set stays reserved for the annotator who has it.

    Raises:
        InputError: What was asked for is not safe or not possible; nothing is served then.
    """
    if not lease_minutes > 0:
        raise InputError(f"--lease-minutes is {lease_minutes:g}; give more than 0, such as 30")
    hosts = _hosts(host, proxy_url)
    _check_exposure(host, tokens, proxy_url)
    var = var_directory()
    prepare_environment(var)
    url = proxy_url.rstrip("/") or f"http://{_in_url(host)}:{port}"
    with _listen(host, port) as listener, hold(var / PAGE_LOCK, url):
        # Old links end when new ones are made, so where these go is made sure of first.
        with _opened(tokens if links else None) as file:
            made = _new_links(var, url, everybody=links, may_make_first=tokens is None or links)
            _tell_links(made, file)
        _say(f"The ranking page is up: {url}")
        _say(f"New links for everybody: {program()} annotate --links. Ctrl-C stops the page.")
        _serve(var, listener, hosts, is_behind_tls=bool(proxy_url), lease_minutes=lease_minutes)
    _say("The page is down; drafts and answers are kept.")


def page_url(var: Path) -> str:
    """Return where the page is, or would be if it were started without options."""
    return lock_holder(var / PAGE_LOCK) or f"http://127.0.0.1:{DEFAULT_PORT}"


def link(url: str, token: str) -> str:
    """Return the personal link of a token."""
    return f"{url}/enter/{token}"


def _check_exposure(host: str, tokens: Path | None, proxy_url: str) -> None:
    if _is_loopback(host):
        return
    missing = {"--tokens FILE": tokens is None, "--behind-tls-proxy URL": not proxy_url}
    if names := [name for name, is_missing in missing.items() if is_missing]:
        raise InputError(
            f"--host {host} lets other machines in, and this page speaks no https itself. "
            f"Put an https proxy in front and add {' and '.join(names)}, or leave --host out and "
            "let people in by an ssh tunnel"
        )


def _hosts(host: str, proxy_url: str) -> tuple[str, ...]:
    """The names under which browsers may ask for the page, as they send them."""
    own = (_in_url(host),) if _is_loopback(host) else ()
    if not proxy_url:
        return own
    parts = urlsplit(proxy_url)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/"):
        raise InputError(
            f"--behind-tls-proxy is {proxy_url}; give the address in the browser, such as "
            "https://rank.example.org, without a path"
        )
    return (*own, parts.hostname)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _in_url(host: str) -> str:
    return f"[{ipaddress.ip_address(host).compressed}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"cannot listen on {host}:{port} ({error}). Another page may be up there; choose "
            f"another port: {program()} annotate --port {min(port + 1, 65535)}"
        ) from None


def _new_links(var: Path, url: str, *, everybody: bool, may_make_first: bool) -> dict[str, str]:
    """Annotator id -> new link, for who gets one now."""
    with open_inbox(var / INBOX_FILE) as inbox:
        known = accounts.listing(inbox)
        if known and everybody:
            names = [it.annotator_id for it in known if it.is_active]
            return {name: link(url, accounts.rotate(inbox, name)) for name in names}
        if known:
            return {}
        if not may_make_first:
            raise InputError(
                f"nobody has an account yet. Make one first: {program()} annotators add ada --lead"
            )
        now = datetime.now(UTC)
        token = accounts.add(inbox, FIRST_ANNOTATOR, role="lead", name=FIRST_ANNOTATOR, now=now)
        return {FIRST_ANNOTATOR: link(url, token)}


@contextmanager
def _opened(tokens: Path | None) -> Iterator[TextIO | None]:
    """Open the file for links, empty and readable by its owner alone."""
    if tokens is None:
        yield None
        return
    try:
        # Never readable by others, not even between making the file and its rights.
        descriptor = os.open(tokens, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o600)
            yield file
    except OSError as error:
        raise cannot_write(tokens, error) from None
    _say(f"Personal links are in {tokens}; each is as good as a password.")


def _tell_links(made: Mapping[str, str], file: TextIO | None) -> None:
    lines = [f"{name}: {address}" for name, address in made.items()]
    if file is not None:
        file.writelines(f"{line}\n" for line in lines)
    elif lines:
        _say("Personal links, shown this once; each is as good as a password:")
        for line in lines:
            _say(f"  {line}")


def _serve(
    var: Path,
    listener: socket.socket,
    hosts: tuple[str, ...],
    *,
    is_behind_tls: bool,
    lease_minutes: float,
) -> None:
    import uvicorn

    from data.annotation.app import create_app
    from data.annotation.settings import LOOPBACK_HOSTS, PageSettings
    from flows.human_step import watch

    settings = PageSettings(
        inbox=var / INBOX_FILE,
        hosts=(*LOOPBACK_HOSTS, *hosts),
        is_behind_tls=is_behind_tls,
        lease_seconds=60.0 * lease_minutes,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            access_log=False,
            log_level="warning",
            proxy_headers=is_behind_tls,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(var, stop, _say), name="watch", daemon=True)
    watcher.start()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        sys.stdout.write("\n")
    finally:
        stop.set()
        watcher.join(timeout=DRAIN_SECONDS)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
