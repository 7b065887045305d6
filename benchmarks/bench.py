"""All benchmarks, each in a process of its own, and docs/benchmarks.md: `make bench`.

A new benchmark is one line in SCRIPTS: a module of benchmarks/ with `measure(options)` that
returns rows, and the seconds it may measure for. What fails becomes a row that says so.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.machine import machine_facts
from benchmarks.rows import Row, from_json, markdown

SCRIPTS = {
    "rwkv_train": 90.0,
    "sampling": 120.0,
    "reward_step": 120.0,
    "ppo_episodes": 270.0,
    "pairs": 300.0,
    "import_rankings": 75.0,
}
LONG = 4.0  # times the seconds
GRACE = 2.0  # a script is ended after this many times its seconds
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"

HEADER = """# Benchmarks

Written by `make {command}`; do not edit. Each row compares within one run, at equal threads, in
alternation: A B A B. The ratio is that of the medians, with its extremes over the rounds. It says
how many times ours is faster than the peer ("x"), or a share ("%"). Seconds depend on the machine
and on what else it does; ratios much less. What is measured, and how, stands at the top of each
file of `benchmarks/`.
"""


def main() -> None:
    """Run every script, then write the document."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--long", action="store_true", help="more rounds, and the slow rows")
    given = parser.parse_args()
    begin = time.monotonic()
    facts = machine_facts()
    rows = [row for name in SCRIPTS for row in run_script(name, long=given.long)]
    facts["Time taken"] = f"{(time.monotonic() - begin) / 60:.0f} minutes"
    DOCUMENT.write_text(document(facts, rows, long=given.long), encoding="utf-8")
    missed = [row.what for row in rows if row.reached is False]
    print(f"{DOCUMENT.name}: {len(rows)} rows; goals not reached: {missed or 'none'}")


def run_script(name: str, *, long: bool) -> list[Row]:
    """The rows of one script, or one that says why there are none."""
    seconds = SCRIPTS[name] * (LONG if long else 1.0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}"]
        command += ["--budget", str(seconds), "--rows", str(path), *(["--long"] if long else [])]
        try:
            status = wait_for_all(command, GRACE * seconds)
            failure = f"exit status {status}" if status else ""
        except subprocess.TimeoutExpired:
            failure = f"no end after {GRACE * seconds:.0f} s"
        if not failure:
            return from_json(path.read_text(encoding="utf-8"))
    return [Row(what=name, ours="-", peer="-", ratio=None, note=failure)]


def wait_for_all(command: list[str], seconds: float) -> int:
    """Run a command; at the limit, end it with all that it started.

    Raises:
        subprocess.TimeoutExpired: At the limit.
    """
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def document(facts: dict[str, str], rows: list[Row], *, long: bool) -> str:
    """The text of docs/benchmarks.md."""
    machine = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    header = HEADER.format(command="bench-long" if long else "bench")
    return f"{header}\n{machine}\n\n{markdown(rows)}\n"


if __name__ == "__main__":
    os.chdir(DOCUMENT.parents[1])
    main()
