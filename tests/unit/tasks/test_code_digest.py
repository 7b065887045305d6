"""The code digest: what it follows, what it ignores, and that nothing is imported."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from flows.spine import repository_root
from flows.stages import pipeline_stages
from tasks.code_digest import PLUMBING, RESOURCE_FOLDERS, SourceTree

FILES = {
    "tasks/__init__.py": "",
    "tasks/stage.py": "SECRET = 1\n",
    "tasks/train.py": (
        "from typing import TYPE_CHECKING\n"
        "from tasks.stage import SECRET\n"
        "if TYPE_CHECKING:\n    import rlhf_core.unseen\n"
        "def train():\n    from rlhf_core.ppo import losses\n    return losses\n"
    ),
    "tasks/pairs.py": "from data.queries import load\nload('marts/pairs')\nNAMES = 'checks/'\n"
    "def view(mode):\n    return load(f'marts/view_{mode}')\n",
    "rlhf_core/__init__.py": "",
    "rlhf_core/unseen.py": "import torch\n",
    "rlhf_core/ppo/__init__.py": "",
    "rlhf_core/ppo/losses.py": "import torch\n\n\ndef loss(x):\n    return x + 1\n",
    "rlhf_core/ppo/other.py": "",
    "data/__init__.py": "",
    "data/queries.py": "def load(name):\n    return name\n",
    "data/sql/marts/pairs.sql": "select 1\n",
    "data/sql/marts/other.sql": "select 2\n",
    "data/sql/marts/view_raw.sql": "select 5\n",
    "data/sql/checks/one.sql": "select 3\n",
}


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def digests(root: Path) -> dict[str, str]:
    tree = SourceTree(root=root)
    return {name: tree.code_of(f"tasks.{name}").digest for name in ("train", "pairs")}


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("rlhf_core/ppo/losses.py", "x + 1", "x + 2", {"train"}),
        ("rlhf_core/ppo/losses.py", "x + 1", "x  +  1  # why", set()),
        ("rlhf_core/ppo/losses.py", "def loss(x):\n", 'def loss(x):\n    """Say."""\n', set()),
        ("rlhf_core/ppo/__init__.py", "", "A = 1\n", {"train"}),
        ("rlhf_core/ppo/other.py", "", "A = 1\n", set()),
        ("rlhf_core/unseen.py", "torch", "polars", set()),
        ("tasks/stage.py", "1", "2", set()),
        ("data/queries.py", "return name", "return name + ''", {"pairs"}),
        ("data/sql/marts/pairs.sql", "1", "4", {"pairs"}),
        ("data/sql/marts/other.sql", "2", "4", set()),
        ("data/sql/marts/view_raw.sql", "5", "6", {"pairs"}),
        ("data/sql/checks/one.sql", "3", "4", {"pairs"}),
    ],
)
def test_an_edit_changes_only_the_stages_that_reach_it(
    tmp_path: Path, file: str, old: str, new: str, changed: set[str]
) -> None:
    write(tmp_path, FILES)
    before = digests(tmp_path)
    text = FILES[file].replace(old, new) if old else new
    assert text != FILES[file]
    write(tmp_path, {file: text})
    after = digests(tmp_path)
    assert {name for name in before if before[name] != after[name]} == changed


def test_torch_is_found_through_function_level_imports(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    tree = SourceTree(root=tmp_path)
    assert tree.code_of("tasks.train").uses_torch
    assert not tree.code_of("tasks.pairs").uses_torch


def test_libraries_are_those_that_a_stage_reaches(tmp_path: Path) -> None:
    files = {"data/queries.py": "import os, duckdb\nimport prefect\nfrom polars.testing import x\n"}
    write(tmp_path, FILES | files)
    tree = SourceTree(root=tmp_path)
    assert tree.code_of("tasks.pairs").libraries == {"duckdb", "polars"}
    assert tree.code_of("tasks.train").libraries == frozenset()


@pytest.mark.parametrize(
    ("stage", "libraries"),
    [
        ("split", {"duckdb", "polars"}),
        ("pretrain", {"polars", "safetensors", "tokenizers"}),
        ("collect_rankings", {"duckdb", "polars", "textblob", "vaderSentiment"}),
    ],
)
def test_libraries_of_real_stages(stage: str, libraries: set[str]) -> None:
    tree = SourceTree(root=repository_root())
    assert libraries <= tree.code_of(f"tasks.{stage}").libraries


def test_unknown_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tasks\.nothing"):
        SourceTree(root=tmp_path).code_of("tasks.nothing")


def test_plumbing_names_modules_that_exist() -> None:
    """A renamed module would silently enter every stage's digest."""
    root = repository_root()
    for name in PLUMBING - {"tasks"}:
        assert root.joinpath(*name.split(".")).with_suffix(".py").is_file(), name


def test_nothing_is_imported() -> None:
    code = (
        "import sys; from flows.stages import pipeline_stages; "
        "from tasks.code_digest import SourceTree; from pathlib import Path; "
        f"tree = SourceTree(root=Path({str(repository_root())!r})); "
        "[tree.code_of(stage.body.__module__) for stage in pipeline_stages()]; "
        "sys.exit(int(any(m in sys.modules for m in ('torch', 'prefect', 'mlflow'))))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository_root())


def test_every_shipped_sql_file_enters_some_stage_or_the_page() -> None:
    """A statement whose name the digest cannot see could change without a rerun.

    What hands out sets and stores answers is the page's alone: no stage computes with it.
    """
    tree = SourceTree(root=repository_root())
    reached = set(tree.code_of("data.annotation.app").files)
    for stage in pipeline_stages():
        reached |= set(tree.code_of(stage.body.__module__).files)
    for folder in RESOURCE_FOLDERS:
        for path in (repository_root() / folder).rglob("*.*"):
            if path.suffix in {".sql", ".toml"}:
                assert path.relative_to(repository_root()).as_posix() in reached
