"""Times a bare one-task Prefect flow under each way of having an API. Run it as a script.

Each way runs in fresh processes: once on an empty PREFECT_HOME, then on the migrated one. Numbers
are wall seconds from the start of the process to its end.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flows.api import prefect_api
from flows.environment import prepare_environment

WARM_RUNS = 3


def main() -> None:
    print(f"load {os.getloadavg()[0]:.1f}; seconds, first run then {WARM_RUNS} warm ones")
    for way in ("prefect's ephemeral server", "our own server"):
        with tempfile.TemporaryDirectory() as var:
            times = [timed_child(way, var) for _ in range(1 + WARM_RUNS)]
        print(f"{way:<28}" + "  ".join(f"{seconds:5.1f}" for seconds in times), flush=True)


def timed_child(way: str, var: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, __file__, way, var], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def run_bare_flow(way: str, var: Path) -> None:
    prepare_environment(var)
    os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "180"
    if way == "our own server":
        with prefect_api() as wait_for_api:
            call = bare_flow()
            wait_for_api()
            call()
    else:
        bare_flow()()


def bare_flow():
    from prefect import flow, task  # noqa: PLC0415 - the server must come up meanwhile

    @task
    def one() -> int:
        return 1

    @flow
    def bare() -> int:
        return one()

    return bare


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run_bare_flow(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
