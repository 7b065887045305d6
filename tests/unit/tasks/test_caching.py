"""The cache key: what changes it and what must not."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from flows.spine import repository_root
from tasks.caching import cache_key, config_identity, numerics_tag


@dataclass(frozen=True, kw_only=True)
class Config:
    rate: float = 0.1
    file: str = ""
    sizes: tuple[int, ...] = (1, 2)


def key(**changes: Any) -> str:
    parts: dict[str, Any] = {
        "stage": "train",
        "inputs": {"split": "a" * 64},
        "config": Config(),
        "seed": 0,
        "code": "c" * 64,
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


def test_the_key_is_the_same_in_another_process_and_hash_seed() -> None:
    code = (
        "from dataclasses import dataclass\nfrom tasks.caching import cache_key\n"
        "@dataclass\nclass C:\n    b: int = 1\n    a: tuple = (1, 2)\n"
        "print(cache_key(stage='s', inputs={'x': '1', 'y': '2'}, config=C(), seed=0, code='c', "
        "numerics=None).hex)"
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
