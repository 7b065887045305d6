"""Runs tests under mutants: torch is imported once, then each mutant has a forked process.

In the fork an import hook hands out the mutated source of one module before anything of the
packages is imported; then pytest runs the tests that the mutant names. One JSON line a mutant.

Usage: python -m tests.mutation.driver INDEX... (places in mutants.MUTANTS, or CONTROL).
"""

import gc
import importlib.abc
import importlib.machinery
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from tests.mutation.mutant import ROOT, Mutant
from tests.mutation.mutants import MUTANTS, named_tests

CONTROL = -1  # no mutant, and all tests that any mutant names
PACKAGES = {"rlhf_core", "data"}
OPTIONS = ["-q", "--tb=short", "--timeout=60", "-p", "pytest_timeout", "-p", "no:cacheprovider"]


class MutatedLoader(importlib.machinery.SourceFileLoader):
    """Loads a module from text that is not the file's."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


class MutatedFinder(importlib.abc.MetaPathFinder):
    """Finds the mutated module; all others are left to the usual finders."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.mutant.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = MutatedLoader(fullname, spec.origin, self.mutant.mutated())
        return spec


class Recorder:
    """Which test functions failed; what a function's other cases would add is not run."""

    def __init__(self, report: Path) -> None:
        self.report = report
        self.failed: dict[str, str] = {}
        self.passed: set[str] = set()
        self.errors: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if function_of(item.nodeid) in self.failed:
            pytest.skip("another case has failed")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.when == "call":
            self.failed.setdefault(function_of(report.nodeid), report.longreprtext[-2000:])
        elif report.failed:
            self.errors.append(f"{report.nodeid}: {report.longreprtext[-2000:]}")
        elif report.passed and report.when == "call":
            self.passed.add(function_of(report.nodeid))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(f"{report.nodeid}: {report.longreprtext[-2000:]}")

    def pytest_sessionfinish(self) -> None:
        # Written here, since tests/conftest.py ends the process before pytest.main returns.
        verdict = {
            "failed": self.failed,
            "passed": sorted(self.passed - self.failed.keys()),
            "errors": self.errors,
        }
        self.report.write_text(json.dumps(verdict), encoding="utf-8")


def function_of(nodeid: str) -> str:
    """The node id of a test function, without its parameters."""
    return nodeid.partition("[")[0]


def fork(mutant: Mutant | None, tests: Sequence[str], folder: Path) -> int:
    """Start a process that runs `tests` under the mutant; its output and report go to `folder`."""
    process = os.fork()
    if process:
        return process
    try:
        output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if mutant is not None:
            sys.meta_path.insert(0, MutatedFinder(mutant))
        pytest.main([*OPTIONS, *tests], plugins=[Recorder(folder / "report")])
    except BaseException:  # noqa: BLE001 - nothing of the parent may run on in the fork
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def verdicts(indices: Sequence[int], jobs: int) -> Iterator[dict[str, Any]]:
    """How the tests of each mutant ended, in the order of their ends."""
    todo = sorted(indices, reverse=True)  # the control is the longest, so it starts first
    running: dict[int, tuple[int, Path]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # importing them takes longest of all
        # Examples that fail under a mutant would be tried first in every later run.
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = scratch
        while todo or running:
            while todo and len(running) < jobs:
                index = todo.pop()
                mutant = None if index == CONTROL else MUTANTS[index]
                tests = mutant.node_ids() if mutant else named_tests()
                folder = Path(scratch) / str(index)
                folder.mkdir()
                running[fork(mutant, tests, folder)] = (index, folder)
            process, _ = os.wait()
            index, folder = running.pop(process)
            report = folder / "report"
            if report.exists():
                verdict = json.loads(report.read_text(encoding="utf-8"))
            else:
                said = (folder / "output").read_text(encoding="utf-8", errors="replace")
                verdict = {"failed": {}, "passed": [], "errors": [said[-2000:]]}
            yield {"index": index, **verdict}


def warm_up() -> None:
    """Import what every fork needs, and nothing of what is mutated."""
    import torch
    import torch._dynamo  # the first optimiser imports it, for seconds
    from safetensors import torch as _safetensors  # noqa: F401

    torch.set_num_threads(1)
    assert not PACKAGES & {name.partition(".")[0] for name in sys.modules}
    gc.freeze()


def main() -> None:
    """Print the verdicts."""
    os.chdir(ROOT)
    warm_up()
    for verdict in verdicts([int(it) for it in sys.argv[1:]], os.cpu_count() or 1):
        sys.stdout.write(json.dumps(verdict) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
