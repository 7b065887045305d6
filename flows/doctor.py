"""`rlhf doctor`: what could keep a run from working, and the mend. Imports nothing heavy.

Omitted on purpose: changing anything. The mend is said, not done.
"""

import os
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.table import Table

from flows.environment import var_directory
from flows.locks import LOCK_FILE, lock_holder
from flows.words import console, plain, program

# Lowest version that works, and the first that does not. Newer fastapi breaks Prefect's server at
# start, and `pip check` does not notice.
VERSIONS = {
    "prefect": ((3, 8, 8), (3, 8, 9)),
    "fastapi": ((0, 139), (0, 151)),
    "mlflow": ((3, 17, 2), (3, 17, 3)),
    "torch": ((2, 13, 0), (2, 13, 1)),
    "duckdb": ((2, 0), (3, 0)),
    "polars": ((2, 1), (3, 0)),
}
# {what listens there: (usual port, command and option that choose another)}
PORTS = {
    "MLflow UI": (5000, "ui --mlflow-port"),
    "Prefect UI": (4200, "ui --prefect-port"),
    "ranking page": (8765, "annotate --port"),
}
ENOUGH_DISK_BYTES = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        found: What was found.
        mend: What to do about it; empty where all is well.
        blocks: Whether a run cannot work like this.
    """

    name: str
    found: str
    mend: str = ""
    blocks: bool = True


def print_checks() -> int:
    """Print all findings. Returns 1 where one of them keeps a run from working, else 0."""
    table = Table("check", "found", "mend", title="rlhf doctor", title_justify="left")
    checks = list(all_checks(var_directory()))
    for check in checks:
        mark = "[green]ok[/]" if not check.mend else "[red]wrong[/]" if check.blocks else "note"
        table.add_row(plain(check.name), f"{mark} {plain(check.found)}", plain(check.mend))
    console().print(table)
    return int(any(check.mend and check.blocks for check in checks))


def all_checks(var: Path) -> Iterator[Check]:
    """Every finding, in the order of reading."""
    yield _check_python()
    for package, (lowest, beyond) in VERSIONS.items():
        yield check_version(package, lowest, beyond)
    yield check_writable(var)
    yield _check_disk(var)
    yield _check_api()
    for name, (port, option) in PORTS.items():
        yield check_port(name, port, option)
    yield from check_locks(var)


def check_version(package: str, lowest: tuple[int, ...], beyond: tuple[int, ...]) -> Check:
    """Whether a package is there, at least `lowest` and below `beyond`."""
    wanted = f">={_dotted(lowest)},<{_dotted(beyond)}"
    try:
        found = version(package)
    except PackageNotFoundError:
        return Check(name=package, found="not installed", mend="make reinstall")
    numbers = tuple(int(n) for n in found.partition("+")[0].split(".")[:3] if n.isdigit())
    pip = f"{shlex.quote(sys.executable)} -m pip"
    mend = "" if lowest <= numbers < beyond else f'{pip} install "{package}{wanted}"'
    return Check(name=package, found=f"{found} (needs {wanted})", mend=mend)


def check_writable(var: Path) -> Check:
    """Whether files can be made in var/, or var/ itself can be."""
    place = next(path for path in (var, *var.parents) if path.exists())
    writable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    mend = "" if writable else f"make {place} writable, or set RLHF_VAR to another directory"
    return Check(name="var/", found=str(var), mend=mend)


def check_port(name: str, port: int, option: str) -> Check:
    """Whether what listens at `port` usually can have it; `option` chooses another."""
    taken = is_taken(port)
    return Check(
        name=f"port {port} ({name})",
        found="in use" if taken else "free",
        mend=f"it may be our own; else: {program()} {option} {port + 1}" if taken else "",
        blocks=False,
    )


def is_taken(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check_locks(var: Path) -> Iterator[Check]:
    """Who holds var/ and the store."""
    for name in (LOCK_FILE, "store.duckdb.lock"):
        holder = lock_holder(var / name)
        yield Check(
            name=f"var/{name}",
            found=f"held by process {holder}" if holder else "free",
            mend=f"wait for it, or: kill {holder}" if holder else "",
            blocks=False,
        )


def _check_python() -> Check:
    found = ".".join(str(n) for n in sys.version_info[:3])
    mend = "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer"
    return Check(name="python", found=found, mend=mend)


def _check_disk(var: Path) -> Check:
    place = next(path for path in (var, *var.parents) if path.exists())
    free = shutil.disk_usage(place).free
    mend = "" if free >= ENOUGH_DISK_BYTES else "free 2 GiB, or set RLHF_VAR to another disk"
    return Check(name="disk", found=f"{free / (1 << 30):.1f} GiB free", mend=mend)


def _check_api() -> Check:
    url = os.environ.get("PREFECT_API_URL")
    return Check(name="Prefect API", found=f"{url} (PREFECT_API_URL)" if url else "our own")


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)
