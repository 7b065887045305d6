"""What the documents say exists, and what exists is in the documents."""

import ast
import importlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data.jsonl import RowError
from data.messages import parse_prompt_row, parse_sft_row
from data.rankings import KnownRankings, SetFacts, validate_ranking
from data.sets import parse_set
from tests.architecture.sources import PACKAGES, ROOT, nodes_of, own_files, package_files

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"[A-Z]+(?:_[A-Z]+)*")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def codes_in_source() -> set[str]:
    """First arguments of RowError(...) and of .error(...) at the door."""
    found = set()
    for _, node in nodes_of([p for p in package_files() if p.is_relative_to(ROOT / "data")]):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            value = node.args[0].value
            if name in {"RowError", "error"} and isinstance(value, str) and CODE.fullmatch(value):
                found.add(value)
    return found


def test_every_reason_is_documented_with_message_and_mend() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text_of("docs/formats.md").splitlines()
        if line.startswith("| `")
    ]
    documented = {row[0].strip("`"): row[1:] for row in rows if CODE.fullmatch(row[0].strip("`"))}
    assert documented.keys() == codes_in_source()
    assert all(len(cells) == 2 and all(cells) for cells in documented.values())


def test_the_examples_of_the_formats_are_accepted() -> None:
    blocks = re.findall(r"```json\n(.*?)```", text_of("docs/formats.md"), re.DOTALL)
    rows = [json.loads(line) for block in blocks for line in block.splitlines()]
    kinds = [accept(row) for row in rows]
    assert set(kinds) == {"prompt", "sft", "text", "set/1", "ranking/1"}


def accept(row: dict[str, Any]) -> str:
    """The kind of an example row, after the reader of that kind has taken it."""
    if row.get("schema") == "ranking/1":
        responses = frozenset(row["tiers"])
        facts = SetFacts(
            response_ids=responses, generators=frozenset(), count_words=5, shown_sha256=""
        )
        known = KnownRankings(now=datetime.now(UTC), new_role="import", sets={row["set_id"]: facts})
        validate_ranking(row, known)
    elif row.get("schema") == "set/1":
        parse_set(row)
    elif "text" in row:
        assert row.keys() <= {"text", "family"}
        return "text"
    elif "response" in row:
        parse_sft_row(row)
        return "sft"
    else:
        parse_prompt_row(row)
        return "prompt"
    return str(row["schema"])


def test_an_example_with_a_fault_is_not_accepted() -> None:
    with pytest.raises(RowError, match="missing"):
        accept({"schema": "set/1"})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_functions_that_documents_name_exist(path: Path) -> None:
    names = re.findall(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)`", path.read_text(encoding="utf-8"))
    for name in names:
        module, _, attribute = name.rpartition(".")
        if not (ROOT / f"{name.replace('.', '/')}.py").is_file():
            assert hasattr(importlib.import_module(module), attribute), name
    if path.name == "maths.md":
        assert len(names) > 20


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_paths_that_documents_name_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tops = {it.relative_to(ROOT).parts[0] for it in own_files() if it.parent != ROOT}
    quoted = {
        name
        for name in re.findall(r"`([\w./-]+/[\w./-]*)`", text)
        if name.partition("/")[0] in tops
    }
    missing = {name for name in quoted if not (ROOT / name).exists()}
    links = set(re.findall(r"\]\(([\w./-]+)\)", text))
    missing |= {name for name in links if not (path.parent / name).exists()}
    assert missing == set()


def test_the_tree_in_the_readme_is_the_tree() -> None:
    section = text_of("README.md").partition("## Where things live")[2]
    block = re.findall(r"```\n(.*?)```", section, re.DOTALL)[0]
    listed = {line.split()[0] for line in block.splitlines()}
    assert {name for name in listed if not (ROOT / name).exists()} == set()
    folders = set()
    for path in own_files():
        parts = path.relative_to(ROOT).parts[:-1]
        depth = 2 if parts and parts[0] in PACKAGES else 1
        folders |= {"/".join(parts[:n]) + "/" for n in range(1, min(depth, len(parts)) + 1)}
    assert {name for name in folders - listed if not name.startswith(".")} == set()


def test_commands_that_the_readme_names_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`?\bmake ([a-z]+)`?(?=`|  )", text_of("README.md"))) <= targets
