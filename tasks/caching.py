"""The cache key of a stage: a hash of all that decides its payload, and of nothing else.

Paths, times and names of runs never enter: a string of a config that names an existing file
counts as the bytes of that file.
"""

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

from tasks.artifacts import file_sha256
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
    numerics: Mapping[str, JSON] | None,
) -> CacheKey:
    """The key of one stage in one run.

    Args:
        stage: Name of the stage; without it two stages with equal inputs would share results.
        inputs: {stage read: identity of its artifact, None where this run has none}.
        config: The config sections that the stage reads, as a dataclass.
        seed: The run's seed.
        code: Digest of the stage's code.
        numerics: See `numerics_tag`; None for a stage that does not compute with torch.
    """
    parts: dict[str, JSON] = {
        "stage": stage,
        "inputs": dict(inputs),
        "config": config_identity(config),
        "seed": seed,
        "code": code,
        "numerics": None if numerics is None else dict(numerics),
    }
    return CacheKey(parts=parts)


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
        value: Dataclass, mapping, sequence, path or scalar. A string with a dot or a slash may
            name a file; one that names none stays as it is, for the stage to complain about.

    Raises:
        TypeError: A value of another type, which could not be compared across processes.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: config_identity(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, str | Path):
        return _text_identity(str(value))
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): config_identity(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [config_identity(item) for item in value]
    raise TypeError(f"a {type(value).__name__} in a config has no stable identity")


def _text_identity(text: str) -> JSON:
    may_be_file = len(text) < 4096 and "\n" not in text and ("." in text or "/" in text)
    if may_be_file and Path(text).is_file():
        return {"sha256": file_sha256(Path(text))}
    return text
