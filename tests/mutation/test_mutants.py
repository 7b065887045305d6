"""Every planted bug is noticed by every test that is named for it.

A mutant whose old text no longer stands exactly once in its file fails too: mend the table.
"""

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from tests.mutation.driver import CONTROL
from tests.mutation.mutant import ROOT, Mutant, invariants
from tests.mutation.mutants import MUTANTS, named_tests

pytestmark = pytest.mark.timeout(1800)  # the first test waits for all, on a busy machine for long


def drive(indices: list[int]) -> dict[int, dict[str, Any]]:
    """Verdict of each mutant by its place in the table."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation.driver", *map(str, indices)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {verdict["index"]: verdict for verdict in found}


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> dict[int, dict[str, Any]]:
    """Of what was asked for, in one go."""
    asked = [it for it in request.session.items if "verdicts" in getattr(it, "fixturenames", ())]
    mutants = [it.callspec.params["mutant"] if hasattr(it, "callspec") else None for it in asked]
    return drive(
        [
            MUTANTS.index(mutant) if mutant else CONTROL
            for mutant in mutants
            if not mutant or mutant.occurrences() == 1
        ]
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_noticed(mutant: Mutant, verdicts: dict[int, dict[str, Any]]) -> None:
    assert mutant.occurrences() == 1, f"{mutant.file} does not hold exactly once: {mutant.old}"
    verdict = verdicts[MUTANTS.index(mutant)]
    assert verdict["errors"] == []
    survived = set(mutant.node_ids()) - verdict["failed"].keys()
    assert survived == set(), f"passed although {mutant.breaks}"


def test_without_a_bug_the_same_tests_pass(verdicts: dict[int, dict[str, Any]]) -> None:
    """The control: no test fails because of the fork or the import hook."""
    verdict = verdicts[CONTROL]
    assert verdict["errors"] == []
    assert verdict["failed"] == {}
    assert verdict["passed"] == named_tests()


def test_every_invariant_is_seen_to_fail() -> None:
    named = {test for mutant in MUTANTS for test in mutant.tests}
    assert set(invariants()) == {f"i{number:02}" for number in range(1, 15)}
    assert set(invariants()) <= named


def test_there_are_no_two_alike() -> None:
    assert len(MUTANTS) >= 45
    assert [name for name, count in Counter(m.name for m in MUTANTS).items() if count > 1] == []
    assert len({(m.file, m.mutated()) for m in MUTANTS}) == len(MUTANTS)
