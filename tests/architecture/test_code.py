"""Size and habits of the code that neither ruff nor mypy looks at."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from flows.config import RunConfig
from flows.config_files import SHIPPED, load_config
from tests.architecture.sources import ROOT, nodes_of, own_files, package_files, parse

MAX_FILE_LINES, MAX_FUNCTION_LINES = 350, 60
MAX_TOLERANCE = 1e-2
OFFICIAL = Path("rlhf_core/official.py")
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
# Written so that they do not match themselves.
MACHINE_PATH = re.compile(r"(?<![\w.~$}:/-])/(?:[w]ork|[r]oot|[h]ome|[o]pt|[U]sers)/\w")
INDEX_HOST = re.compile(r"[p]ypi\.org|[p]ythonhosted|[d]ownload\.pytorch|[e]xtra-index-url ?\S*/")


def test_files_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in package_files()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_FILE_LINES
    }
    assert long == {}


def test_functions_are_short() -> None:
    long = {
        f"{path}:{node.name}": lines
        for path, node in nodes_of(package_files())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_nothing_is_pickled() -> None:
    found = [
        f"{path}:{node.lineno}"
        for path, node in nodes_of(package_files())
        if (isinstance(node, ast.Import) and PICKLES & {a.name for a in node.names})
        or (isinstance(node, ast.ImportFrom) and node.module in PICKLES)
        or (_torch_pickle(node) and path != OFFICIAL)
    ]
    assert found == []


def test_official_checkpoints_are_read_as_tensors_alone() -> None:
    """The one module that reads and writes .pth: never with the unpickler that runs code."""
    nodes = [node for _, node in nodes_of([ROOT / OFFICIAL])]
    calls = {_torch_pickle(n.func): n for n in nodes if isinstance(n, ast.Call)}
    assert sum(bool(_torch_pickle(node)) for node in nodes) == 2
    only = {k.arg: k.value for k in calls["load"].keywords}["weights_only"]
    assert isinstance(only, ast.Constant)
    assert only.value is True
    assert ast.unparse(calls["save"]) == "torch.save(tensors, stream)"


def _torch_pickle(node: ast.AST) -> str:
    """The name of the function if `node` is torch.load or torch.save, else empty."""
    if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
        return ""
    return node.attr if node.value.id == "torch" and node.attr in {"load", "save"} else ""


def test_no_test_tolerates_more_than_one_percent() -> None:
    tests = [p for p in own_files() if p.suffix == ".py" and p.is_relative_to(ROOT / "tests")]
    loose = [
        f"{path}:{node.value.lineno}"
        for path, node in nodes_of(tests)
        if isinstance(node, ast.keyword)
        and node.arg == "rtol"
        and isinstance(node.value, ast.Constant)
        and node.value.value > MAX_TOLERANCE
    ]
    assert loose == []


def test_every_config_field_is_read() -> None:
    """A field that nobody reads is a promise that is not kept."""
    read = _names_read()
    unread = [
        f"{section}.{name}"
        for section, names in _leaf_fields()
        for name in names
        if name not in read
    ]
    assert unread == []


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_configs_are_valid(path: Path) -> None:
    assert load_config(path.stem).name


def test_no_file_names_a_machine() -> None:
    """Neither a folder of somebody's machine nor where somebody's pip looks."""
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in own_files()
        if path.suffix not in {".png", ".parquet"}
        for text in [path.read_text(encoding="utf-8")]
        for pattern in (MACHINE_PATH, INDEX_HOST)
        for match in pattern.finditer(text)
    ]
    assert found == []


def _leaf_fields() -> Iterator[tuple[str, list[str]]]:
    for section, field in RunConfig.model_fields.items():
        leaf = field.annotation
        if is_dataclass(leaf):
            yield section, [it.name for it in fields(leaf)]


def _names_read() -> set[str]:
    """Attributes read anywhere in the packages, the config classes' own checks excepted."""
    names: set[str] = set()
    for path in package_files():
        tree = parse(path)
        checks = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name.startswith(("__post", "_check"))
            for inner in ast.walk(node)
        }
        names |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and id(node) not in checks
        }
    return names
