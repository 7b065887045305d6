"""One planted bug, and the tests that must notice it."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
INVARIANTS = ROOT / "tests/invariants"
UNIT = "tests/unit/rlhf_core"


class Mutant(NamedTuple):
    """A change of one file.

    Attributes:
        file: From the root.
        old: Text that stands in the file exactly once.
        new: What is written in its place.
        breaks: What is wrong then.
        tests: Each of these must fail: "i01" for an invariant, else FILE::FUNCTION under UNIT.
    """

    file: str
    old: str
    new: str
    breaks: str
    tests: tuple[str, ...]

    @property
    def module(self) -> str:
        """Dotted name of the mutated module."""
        return self.file.removesuffix(".py").replace("/", ".")

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.module.removeprefix('rlhf_core.')}: {self.breaks}"

    def occurrences(self) -> int:
        """How often the old text stands in the file."""
        return self.source().count(self.old)

    def source(self) -> str:
        """The file as it is."""
        return (ROOT / self.file).read_text(encoding="utf-8")

    def mutated(self) -> str:
        """The file with the change."""
        return self.source().replace(self.old, self.new)

    def node_ids(self) -> list[str]:
        """The tests as pytest names them."""
        return [_node_id(test) for test in self.tests]


def mutants_of(file: str, *changes: tuple[str, str, str, tuple[str, ...]]) -> list[Mutant]:
    """Mutants of one file, each as (old, new, breaks, tests)."""
    return [Mutant(file, *change) for change in changes]


def _node_id(test: str) -> str:
    if "::" in test:
        return f"{UNIT}/{test}"
    return invariants()[test]


@cache
def invariants() -> dict[str, str]:
    """Node id of each invariant's test, by "i01" and so on."""
    return {
        name[5:8]: f"{path.relative_to(ROOT)}::{name}"
        for path in sorted(INVARIANTS.glob("test_*.py"))
        for name in re.findall(r"^def (test_i\d\d_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
