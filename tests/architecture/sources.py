"""The repository's own files, for tests about them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("rlhf_core", "data", "tasks", "flows")


@cache
def own_files() -> tuple[Path, ...]:
    """Files that git tracks or would track; without git, all outside hidden folders and var/."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        names = [str(p) for p in found if p.parts[0] != "var" and not p.parts[0].startswith(".")]
    return tuple(path for name in sorted(set(names)) if (path := ROOT / name).is_file())


def package_files() -> list[Path]:
    """Python files of the four packages."""
    return [
        p for p in own_files() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in PACKAGES
    ]


def parse(path: Path) -> ast.Module:
    """A Python file as a syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def nodes_of(paths: list[Path]) -> Iterator[tuple[Path, ast.AST]]:
    """(path from the root, node) of every syntax node."""
    for path in paths:
        for node in ast.walk(parse(path)):
            yield path.relative_to(ROOT), node
