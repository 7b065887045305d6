"""Services that stay: found again, never started twice, ended with all that they started."""

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from data.errors import InputError
from flows import serve
from flows.api import free_port
from flows.locks import hold, lock_holder, this_place
from flows.serve import Ports, Service, Site, services, stop_all

# Answers on a port, and has a child in its process group that ends on SIGKILL alone.
ANSWERING = """
import http.server, subprocess, sys
subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(var=tmp_path, env=dict(os.environ))


def answering(port: int) -> Service:
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", ANSWERING, str(port)]
    return Service(name="page", command=command, url=url, health=url, port=port)


def members(group: int) -> list[psutil.Process]:
    """Living processes of a process group."""
    found = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and os.getpgid(process.pid) == group:
                found.append(process)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return found


def wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_service_is_found_again_and_ends_with_its_children(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guards: a second server beside the first; children that stay behind; the wrong process ended.
    monkeypatch.setattr(serve, "SECONDS_FOR_CHILDREN", 0.5)
    service = answering(free_port())
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        site.start(service)
        found = site.running("page")
        assert found is not None
        pid = found.pid
        assert found.url == service.url
        wait_until(lambda: len(members(pid)) == 3)
        later = Site(var=site.var, env=site.env)
        later.start(service)
        assert later.started == []
        assert later.running("page") == found
        assert capsys.readouterr().out.count(found.url) == 2
        assert later.stop("page")
        wait_until(lambda: members(pid) == [])
        assert later.running("page") is None
        assert not later.stop("page")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_number_in_a_file_ends_nobody(site: Site) -> None:
    # Guards: the process that has the number of a service that died.
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        site.lock("worker").parent.mkdir()
        site.lock("worker").write_text(f"{bystander.pid} {this_place()} http://127.0.0.1:1")
        assert site.running("worker") is None
        assert not site.stop("worker")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_process_id_of_another_container_ends_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Guards: two containers that share var/, where the same number is two processes.
    monkeypatch.setenv("RLHF_VAR", str(site.var))
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        with hold(site.lock("worker"), f"{bystander.pid} other/pid:[1] "):
            with pytest.raises(InputError, match=r"worker runs elsewhere.*other/pid:\[1\]"):
                site.stop("worker")
            with pytest.raises(InputError, match="worker runs elsewhere"):
                stop_all()
        assert "nothing was running" not in capsys.readouterr().out
        assert bystander.poll() is None
        stop_all()
        assert "nothing was running" in capsys.readouterr().out
    finally:
        bystander.kill()
        bystander.wait()


def test_a_start_that_was_cut_short_is_said(site: Site) -> None:
    # Guards: "nothing was running" beside a server whose parent was killed before its note.
    service = Service(name="worker", command=["sleep", "60"])
    with hold(site.lock("worker"), ""):
        for act in (lambda: site.stop("worker"), lambda: site.start(service)):
            with pytest.raises(InputError, match=r"worker is there, but .*fuser .*worker\.lock"):
                act()


def test_what_does_not_end_is_not_called_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECONDS_TO_STOP", "SECONDS_FOR_CHILDREN", "SECONDS_TO_VANISH"):
        monkeypatch.setattr(serve, name, 0.1)
    monkeypatch.setattr(serve, "_signal_group", lambda *_: True)
    said = pytest.raises(InputError, match="worker is still there: process 4711")
    with hold(site.lock("worker"), f"4711 {this_place()} "), said:
        site.stop("worker")


def test_a_worker_that_ends_at_once_is_quoted(site: Site) -> None:
    # Guards: "process 0" and a success, where nothing takes the runs.
    command = [sys.executable, "-c", "raise SystemExit('no such pool')"]
    with pytest.raises(InputError, match=r"(?s)worker has ended.*no such pool"):
        site.start(Service(name="worker", command=command))


def test_a_taken_port_is_said_with_the_option_that_chooses_another(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} is in use.*--page-port {port + 1}"):
            site.start(answering(port))
    assert site.running("page") is None


def test_a_service_that_ends_at_once_is_quoted(site: Site) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such database')"]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(InputError, match=r"(?s)page did not start.*no such database"):
        site.start(Service(name="page", command=command, url=url, health=url, port=port))


def test_everything_listens_on_loopback_alone(tmp_path: Path) -> None:
    for service in services(tmp_path, Ports()):
        assert not service.url or service.url.startswith("http://127.0.0.1:")
        if service.port:
            host = service.command[service.command.index("--host") + 1]
            assert host == "127.0.0.1", service.name


def test_a_lock_with_a_text_counts_only_while_it_is_held(tmp_path: Path) -> None:
    lock = tmp_path / "deep" / "page.lock"
    assert lock_holder(lock) is None
    with hold(lock, "http://127.0.0.1:8765"):
        assert lock_holder(lock) == "http://127.0.0.1:8765"
        with pytest.raises(InputError, match="8765"), hold(lock, "another"):
            pass
    assert lock_holder(lock) is None


def test_whoever_only_looks_at_a_lock_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guards: a run that is refused because `status`, or the page, looked at that moment.
    looking = (tmp_path / "run.lock").open("w")
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(time, "sleep", lambda _: looking.close())
    with hold(tmp_path / "run.lock", "mine"):
        assert looking.closed
