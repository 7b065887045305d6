"""`rlhf serve` and `rlhf stop`: servers that stay, each known by a lock file that it holds.

A service is a process group of its own. It inherits the descriptor of a locked file in var/serve/
that says its process id, the machine and container where that counts, and its address. So `rlhf
stop` ends exactly what was started here: a number in a file alone could be somebody else's.

Omitted on purpose: keeping services alive. systemd or the like does that better, with the commands
that stand in var/serve/*.log.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import InputError
from flows.api import ServerError, wait_until_up
from flows.doctor import is_taken
from flows.environment import prepare_environment, var_directory
from flows.locks import hold, lock_holder, note, this_place
from flows.spine import repository_root
from flows.ui import mlflow_command, prefect_command
from flows.words import program

POOL = "rlhf-local"
FOLDER = "serve"
SECONDS_TO_STOP, SECONDS_FOR_CHILDREN, SECONDS_TO_VANISH = 30.0, 3.0, 5.0
# One that listens nowhere has to live this long; serve_all looks once more at its end.
SECONDS_TO_LIVE = 1.0
_SETUP_SECONDS = 300.0
# A page of another origin that this machine's browser has open must not drive Prefect's API.
SAFE_SERVER = {"PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true"}
_PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the servers listen, on 127.0.0.1."""

    prefect: int = 4200
    mlflow: int = 5000
    page: int = 8765


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A process that stays.

    Attributes:
        name: Of its lock and log; also the beginning of the option for its port.
        command: What is run.
        url: Where it is; empty where it listens nowhere.
        health: What answers as soon as it is up; empty where nothing does.
        port: Where it listens; 0 for nowhere.
    """

    name: str
    command: Sequence[str]
    url: str = ""
    health: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the holder of a service's lock has noted.

    Attributes:
        pid: Of it and of its process group; 0 where the start was cut short before that.
        place: Where the id counts, see flows.locks.this_place.
        url: Empty where it listens nowhere.
    """

    pid: int
    place: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The services of one var/.

    Attributes:
        var: The directory of all mutable state.
        env: Environment of every service.
        started: Those that this process has started.
    """

    var: Path
    env: Mapping[str, str]
    started: list[str] = field(default_factory=list)

    def lock(self, name: str) -> Path:
        """The lock file of a service."""
        return self.var / FOLDER / f"{name}.lock"

    def log(self, name: str) -> Path:
        """The log file of a service."""
        return self.var / FOLDER / f"{name}.log"

    def running(self, name: str) -> Running | None:
        """What is known of a service, None where it is not there."""
        text = lock_holder(self.lock(name))
        if text is None:
            return None
        pid, place, url = (*text.split(" "), "", "")[:3]
        return Running(pid=int(pid) if pid.isdigit() else 0, place=place, url=url)

    def start(self, service: Service) -> None:
        """Start a service and wait until it is up; one that runs is left as it is.

        Raises:
            InputError: Its port is taken, or it does not come up.
        """
        if self.running(service.name) is None:
            if service.port and is_taken(service.port):
                raise InputError(
                    f"port {service.port} is in use by another program. Stop that, or choose "
                    f"another port: {program()} serve --{service.name}-port {service.port + 1}"
                )
            process = self._spawn(service)
            self.started.append(service.name)
            self._wait(service, process)
        found = self.require(service.name)
        sys.stdout.write(f"{service.name:<8} process {found.pid:<8} {found.url}\n")
        sys.stdout.flush()

    def require(self, name: str) -> Running:
        """What is known of a service that has to be there.

        Raises:
            InputError: It is not there, or its start was cut short.
        """
        found = self.running(name)
        if found is None:
            tail = self.log(name).read_text(encoding="utf-8", errors="replace")[-1000:].strip()
            raise InputError(f"{name} has ended. Its last words in {self.log(name)}:\n{tail}")
        if not found.pid:
            raise InputError(self._unknown(name))
        return found

    def _spawn(self, service: Service) -> "subprocess.Popen[bytes]":
        # Personal links may stand in the page's log.
        self.lock(service.name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log(service.name).open("wb") as log, hold(self.lock(service.name), "") as lock:
            log.write(f"{shlex.join(service.command)}\n".encode())
            log.flush()
            process = subprocess.Popen(  # noqa: S603 - our own command lines
                service.command,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock,),
            )
            note(lock, f"{process.pid} {this_place()} {service.url}")
        return process

    def _wait(self, service: Service, process: "subprocess.Popen[bytes]") -> None:
        if not service.health:
            with suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_LIVE)
            return
        try:
            wait_until_up(service.name, service.health, process.poll, self.log(service.name))
        except ServerError as error:
            raise InputError(str(error)) from None

    def stop(self, name: str) -> bool:
        """End a service with all its processes. Returns whether it was there; it is gone then.

        Raises:
            InputError: It is there and cannot be ended from here; says who can.
        """
        found = self.running(name)
        if found is None:
            return False
        if not found.pid:
            raise InputError(self._unknown(name))
        if found.place != this_place():
            raise InputError(
                f"{name} runs elsewhere: its process id {found.pid} counts on {found.place}, and "
                f"this is {this_place()}. Call `{program()} stop` there"
            )
        _signal_group(found.pid, signal.SIGTERM)
        _wait_while(lambda: self.running(name) is not None, SECONDS_TO_STOP)
        # What its processes have started has a moment more; a zombie stays in its group.
        _wait_while(lambda: _signal_group(found.pid, 0), SECONDS_FOR_CHILDREN)
        _signal_group(found.pid, signal.SIGKILL)
        _wait_while(lambda: self.running(name) is not None, SECONDS_TO_VANISH)
        if self.running(name) is not None:
            raise InputError(f"{name} is still there: process {found.pid} does not end")
        return True

    def _unknown(self, name: str) -> str:
        return (
            f"{name} is there, but its start was cut short before its process id was noted. "
            f"`fuser {shlex.quote(str(self.lock(name)))}` shows it; end it by hand"
        )


NAMES = ("prefect", "worker", "mlflow", "page")


def serve_all(ports: Ports) -> None:
    """Start every service of var/ that is not there, and say where each is.

    Raises:
        InputError: A port is taken or a service does not come up; what this call had started is
            ended again.
    """
    site = _site(ports)
    try:
        for service in services(site.var, ports):
            site.start(service)
            if service.name == "prefect":
                _set_up(site)
        for name in site.started:
            site.require(name)
    except BaseException:
        for name in reversed(site.started):
            with suppress(InputError):
                site.stop(name)
        raise
    sys.stdout.write(_page_links(site.log("page")))
    sys.stdout.write(
        f"\nPeople rank on the page. To publish sets for them:\n"
        f"  PREFECT_API_URL={site.env['PREFECT_API_URL']} prefect deployment run rlhf/collect\n"
        f"What waits for whom:  {program()} status\nEnd all of these:     {program()} stop\n"
    )


def stop_all() -> None:
    """End what `serve_all` started, the last first, and say so.

    Raises:
        InputError: Some of it is there still; what can be ended is ended all the same.
    """
    site = Site(var=var_directory(), env={})
    ended, left = [], []
    for name in reversed(NAMES):
        try:
            ended += [name] if site.stop(name) else []
        except InputError as error:
            left.append(str(error))
    if ended or not left:
        sys.stdout.write(f"ended: {', '.join(ended)}\n" if ended else "nothing was running\n")
    if left:
        raise InputError("\n".join(left))


def services(var: Path, ports: Ports) -> Iterator[Service]:
    """All services, each after those that it needs."""
    urls = {
        name: f"http://127.0.0.1:{getattr(ports, name)}" for name in ("prefect", "mlflow", "page")
    }
    yield Service(
        name="prefect",
        command=prefect_command(ports.prefect),
        url=urls["prefect"],
        health=f"{urls['prefect']}/api/health",
        port=ports.prefect,
    )
    yield Service(
        name="worker",
        command=[*_PREFECT, "worker", "start", "--pool", POOL, "--name", "rlhf-serve"],
    )
    yield Service(
        name="mlflow",
        command=mlflow_command(var, ports.mlflow),
        url=urls["mlflow"],
        health=f"{urls['mlflow']}/health",
        port=ports.mlflow,
    )
    yield Service(
        name="page",
        command=[
            *(sys.executable, "-P", "-m", "flows.cli", "annotate"),
            *("--host", "127.0.0.1", "--port", str(ports.page)),
        ],
        url=urls["page"],
        health=f"{urls['page']}/health",
        port=ports.page,
    )


def _site(ports: Ports) -> Site:
    var = var_directory()
    prepare_environment(var)
    site = Site(var=var, env={})
    # Where the server is already, at whatever port.
    found = site.running("prefect")
    url = found.url if found and found.url else f"http://127.0.0.1:{ports.prefect}"
    own = {
        "RLHF_VAR": str(var),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": url,
    }
    return Site(var=var, env={**os.environ, **SAFE_SERVER, **own})


def _set_up(site: Site) -> None:
    """The work pool and the deployments of prefect.yaml; doing it again changes nothing."""
    for words in (
        ("work-pool", "create", POOL, "--type", "process", "--overwrite"),
        ("deploy", "--all"),
    ):
        done = subprocess.run(  # noqa: S603 - our own command lines
            [*_PREFECT, *words],
            cwd=repository_root(),
            env=dict(site.env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SETUP_SECONDS,
        )
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-1000:]
            raise InputError(f"prefect {' '.join(words)} failed:\n{said}")


def _page_links(log: Path) -> str:
    """What the page said when it started, such as the first lead's own link; not our first line."""
    said = log.read_text(encoding="utf-8", errors="replace").partition("\n")[2]
    return f"\n{said.strip()}\n" if said.strip() else ""


def _wait_while(is_there: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while is_there() and time.monotonic() < end:
        time.sleep(0.1)


def _signal_group(pid: int, number: int) -> bool:
    """Send a signal to a process group; 0 only asks. Returns whether the group is there."""
    try:
        with suppress(PermissionError):
            os.killpg(pid, number)
    except ProcessLookupError:
        return False
    return True
