"""The cache key of a stage: a hash of all that decides its payload, and of nothing else.

Paths, times and names of runs never enter: a config field marked as a file or a folder counts as
the bytes that are in it.
"""

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from data.errors import InputError
from tasks.artifacts import file_sha256, payload_identity
from tasks.stage_log import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """A key with the parts that it was made of, so that a rerun can say what changed."""

    parts: dict[str, JSON]

    @property
    def hex(self) -> str:
        """Sha256 of the canonical JSON of the parts."""
        text = json.dumps(self.parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def cache_key(
    *,
    stage: str,
    inputs: Mapping[str, str | None],
    config: object,
    seed: int,
    code: str,
    libraries: Mapping[str, str],
    numerics: Mapping[str, JSON] | None,
) -> CacheKey:
    """The key of one stage in one run.

    Args:
        stage: Name of the stage; without it two stages with equal inputs would share results.
        inputs: {stage read: identity of its artifact, None where this run has none}.
        config: The config sections that the stage reads, as a dataclass.
        seed: The run's seed.
        code: Digest of the stage's code.
        libraries: {third-party library that the code uses: version}.
        numerics: See `numerics_tag`; None for a stage that does not compute with torch.
    """
    parts: dict[str, JSON] = {
        "stage": stage,
        "inputs": dict(inputs),
        "config": config_identity(config),
        "seed": seed,
        "code": code,
        "libraries": dict(libraries),
        "numerics": None if numerics is None else dict(numerics),
    }
    return CacheKey(parts=parts)


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of distributions, without importing them; "" for an extra that is not installed."""
    return {name: _version(name) for name in sorted(names)}


def numerics_tag(*, device: str, threads: int) -> dict[str, JSON]:
    """What changes floating-point results besides code and inputs, without importing torch."""
    return {
        "torch": importlib.metadata.version("torch"),
        "device": device,
        "dtype": "float32",
        "threads": threads,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


def config_identity(value: object) -> JSON:
    """A config as JSON in which each file stands for its bytes.

    Args:
        value: Dataclass, mapping, sequence or scalar. A dataclass field with the metadata
            {"file": True} names a file, {"folder": True} a folder; a name without one stays as it
            is, for the stage to complain about.

    Raises:
        InputError: A file cannot be read.
        TypeError: A value of another type, which could not be compared across processes.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _identity_by(f.metadata)(getattr(value, f.name)) for f in fields(value)}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): config_identity(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [config_identity(item) for item in value]
    raise TypeError(f"a {type(value).__name__} in a config has no stable identity")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _identity_by(marks: Mapping[str, bool]) -> Callable[[Any], JSON]:
    """How the value of a field with these marks counts."""
    if marks.get("folder"):
        return _folder_identity
    return _file_identity if marks.get("file") else config_identity


def _folder_identity(name: str) -> JSON:
    if not name or not Path(name).is_dir():
        return name
    try:
        return {"sha256": payload_identity(Path(name))}
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from None


def _file_identity(name: str) -> JSON:
    try:
        return {"sha256": file_sha256(Path(name))}
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return name
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); check the file") from None
