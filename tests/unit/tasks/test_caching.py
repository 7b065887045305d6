"""The cache key: what changes it and what must not."""

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from data.errors import InputError
from flows.config import RunConfig
from flows.spine import repository_root
from tasks.caching import cache_key, config_identity, library_versions, numerics_tag


@dataclass(frozen=True, kw_only=True)
class Config:
    rate: float = 0.1
    file: str = field(default="", metadata={"file": True})
    label: str = ""
    sizes: tuple[int, ...] = (1, 2)


def key(**changes: Any) -> str:
    parts: dict[str, Any] = {
        "stage": "train",
        "inputs": {"split": "a" * 64},
        "config": Config(),
        "seed": 0,
        "code": "c" * 64,
        "libraries": {"polars": "2.1.0"},
        "numerics": numerics_tag(device="cpu", threads=2),
    }
    return cache_key(**(parts | changes)).hex


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "other"},
        {"inputs": {"split": "b" * 64}},
        {"inputs": {"sft": "a" * 64}},
        {"inputs": {"split": None}},
        {"config": Config(rate=0.2)},
        {"seed": 1},
        {"code": "d" * 64},
        {"libraries": {"polars": "2.2.0"}},
        {"libraries": {}},
        {"numerics": None},
        {"numerics": numerics_tag(device="cpu", threads=1)},
        {"numerics": numerics_tag(device="cuda", threads=2)},
    ],
)
def test_each_part_changes_the_key(change: dict[str, Any]) -> None:
    assert key(**change) != key()


def test_a_file_counts_by_its_bytes_not_its_path(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_text("x")
    two.write_text("x")
    first = key(config=Config(file=str(one)))
    assert key(config=Config(file=str(two))) == first
    one.write_text("y")
    assert key(config=Config(file=str(one))) != first


def test_only_marked_fields_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows").write_text("x")
    Path("1.0").write_text("x")
    assert config_identity(Config(file="rows", label="1.0")) == {
        "rate": 0.1,
        "file": {"sha256": hashlib.sha256(b"x").hexdigest()},
        "label": "1.0",
        "sizes": [1, 2],
    }


@pytest.mark.parametrize("name", ["", "none.jsonl", "rows/none.jsonl"])
def test_a_missing_file_is_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows").write_text("x")
    assert config_identity(Config(file=name)) == {**config_identity(Config()), "file": name}  # type: ignore[dict-item]


def test_a_file_that_cannot_be_read_is_said() -> None:
    with pytest.raises(InputError, match="x: cannot be read"):
        config_identity(Config(file="x" * 5000))


def test_every_file_of_a_run_counts_by_its_bytes(tmp_path: Path) -> None:
    """The marks survive the validation of a whole run config."""
    paths = {name: tmp_path / name for name in ("prompts", "sft", "pretrain", "sets", "rankings")}
    for path in paths.values():
        path.write_text(path.name)
    corpus = {name: str(paths[name]) for name in ("prompts", "sft", "pretrain")}
    rank = {name: str(paths[name]) for name in ("sets", "rankings")}
    config = RunConfig.model_validate(
        {"corpus": {"source": "files", **corpus}, "rank": {"ranker": "file", **rank}}
    )
    text = json.dumps([config_identity(config.corpus), config_identity(config.rank)])
    assert str(tmp_path) not in text
    assert text.count("sha256") == 5


def test_versions_are_read_without_importing() -> None:
    code = (
        "import sys; from tasks.caching import library_versions; "
        "from tasks.code_digest import LIBRARIES; "
        "assert all(library_versions(LIBRARIES).values()); "
        "sys.exit(int(any(name in sys.modules for name in LIBRARIES)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository_root())


def test_the_key_is_the_same_in_another_process_and_hash_seed() -> None:
    code = (
        "from dataclasses import dataclass\nfrom tasks.caching import cache_key\n"
        "@dataclass\nclass C:\n    b: int = 1\n    a: tuple = (1, 2)\n"
        "print(cache_key(stage='s', inputs={'x': '1', 'y': '2'}, config=C(), seed=0, code='c', "
        "libraries={'b': '1', 'a': '2'}, numerics=None).hex)"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            cwd=repository_root(),
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(keys) == 1


def test_numerics_names_torch_without_importing_it() -> None:
    code = (
        "import sys; from tasks.caching import numerics_tag; "
        "assert numerics_tag(device='cpu', threads=1)['torch'].startswith('2.'); "
        "sys.exit(int('torch' in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repository_root())


def test_an_unstable_value_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        config_identity(replace(Config(), sizes={1, 2}))  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class FolderConfig:
    path: str = field(default="", metadata={"folder": True})


def test_a_folder_counts_by_all_its_bytes_not_its_path(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        (folder / "inner").mkdir(parents=True)
        (folder / "config.json").write_text("x")
        (folder / "inner" / "weights").write_text("y")
    first, second = (config_identity(FolderConfig(path=str(folder))) for folder in folders)
    assert first == second
    assert str(tmp_path) not in json.dumps(first)
    (folders[1] / "inner" / "weights").write_text("z")
    assert config_identity(FolderConfig(path=str(folders[1]))) != first
    (folders[1] / "inner" / "weights").rename(folders[1] / "inner" / "other")
    (folders[1] / "inner" / "other").write_text("y")
    assert config_identity(FolderConfig(path=str(folders[1]))) != first


@pytest.mark.parametrize("name", ["", "none", "file"])
def test_a_missing_folder_is_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    assert config_identity(FolderConfig(path=name)) == {"path": name}


def test_the_folder_of_the_base_model_is_marked(tmp_path: Path) -> None:
    """The mark survives the validation of a whole run config."""
    config = RunConfig.model_validate({"base_model": {"path": str(tmp_path)}})
    assert list(config_identity(config.base_model)["path"]) == ["sha256"]  # type: ignore[index, call-overload]


def test_an_extra_that_is_not_installed_has_no_version() -> None:
    assert library_versions(["no-such-distribution"]) == {"no-such-distribution": ""}
