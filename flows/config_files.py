"""Reads config files and `--set` overrides, and words what is wrong with them.

People write TOML; a file that ends in .json is a config that a run has written. A config is a stack
of layers: the file named by `base` (which may have a base too), the file itself, the overrides. The
later wins, key by key. An error names the layer that set the key.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from data.errors import InputError

if TYPE_CHECKING:
    from flows.config import RunConfig

SHIPPED = Path(__file__).parent / "config"
# What an error of the config as a whole is about: the only one is a corpus that nobody can rank.
_WHOLE = ("corpus", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The values of one source.

    Attributes:
        source: The file, or the option, for error messages.
        values: Nested tables.
    """

    source: str
    values: dict[str, Any]


def load_config(name_or_path: str, overrides: Sequence[str] = ()) -> "RunConfig":
    """The run's config from a shipped name or a TOML file, and `key=value` overrides.

    Args:
        name_or_path: "demo", "path/to/file.toml" or "path/to/file.json".
        overrides: For example ["ppo.kl_coef=0.2", "seed=1"]; values as in TOML, bare words allowed.

    Raises:
        InputError: A file is missing or malformed, or a key is unknown, of the wrong type or out of
            range; the message names the file, the dotted key and the mend.
    """
    from flows.config import RunConfig

    above = [parse_override(text) for text in overrides]
    layers = [*read_layers(name_or_path), *above]
    values: dict[str, Any] = {}
    for layer in layers:
        values = merge(values, layer.values)
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        raise InputError(_explain(error, layers, RunConfig)) from None
    for key in coerced_keys(values, config.model_dump()):
        raise InputError(
            f"{_source_of(key, layers)}: {'.'.join(key)} has the wrong type: it is written as "
            f"{_value_at(values, key)!r}. Write numbers without quotes and true or false as such."
        )
    return config


def read_layers(name_or_path: str, above: tuple[Path, ...] = ()) -> list[Layer]:
    """The layers of a file, that of its deepest base first.

    Raises:
        InputError: A file is missing, is not TOML (or JSON), or is its own base.
    """
    path = find_config(name_or_path, above[-1].parent if above else Path())
    if path in above:
        raise InputError(f"{path}: base leads back to this file. Remove one base.")
    values = _read_values(path)
    base, below = values.get("base"), []
    if isinstance(base, str) and base:
        below = read_layers(base, (*above, path))
        # The whole path, so that the config reads back from another directory.
        values["base"] = base if _is_shipped(base) else below[-1].source
    return [*below, Layer(source=str(path), values=values)]


def _read_values(path: Path) -> dict[str, Any]:
    is_json = path.suffix == ".json"
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if is_json else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not valid {'JSON' if is_json else 'TOML'}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: not a config: write an object of sections")
    return values


def find_config(name_or_path: str, folder: Path = Path()) -> Path:
    """The file that a name or a path means; a path begins at `folder`.

    Raises:
        InputError: There is none.
    """
    if _is_shipped(name_or_path):
        return SHIPPED / f"{name_or_path}.toml"
    path = folder / name_or_path
    if path.is_file():
        return path.resolve()
    names = sorted(p.stem for p in SHIPPED.glob("*.toml"))
    close = difflib.get_close_matches(name_or_path, names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise InputError(
        f"config {path}: no such file and no shipped config.{hint} "
        f"Shipped configs: {', '.join(names) or 'none'}."
    )


def parse_override(text: str) -> Layer:
    """One `--set key=value` as a layer.

    Raises:
        InputError: There is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text}: write key=value, for example --set ppo.kl_coef=0.2")
    try:
        parsed: Any = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    for part in reversed(key.strip().split(".")):
        parsed = {part: parsed}
    return Layer(source=f"--set {text}", values=parsed)


def merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """`low` with the values of `high` over it; tables are merged key by key."""
    merged = dict(low)
    for key, value in high.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both_tables else value
    return merged


def coerced_keys(
    given: Mapping[str, Any], taken: Mapping[str, Any], prefix: tuple[str, ...] = ()
) -> list[tuple[str, ...]]:
    """Keys whose text or truth value was silently turned into another type ("3" into 3)."""
    keys: list[tuple[str, ...]] = []
    for name, value in given.items():
        key, result = (*prefix, name), taken.get(name)
        if isinstance(value, Mapping) and isinstance(result, Mapping):
            keys += coerced_keys(value, result, key)
        elif _was_coerced(value, result):
            keys.append(key)
    return keys


def _was_coerced(value: object, result: object) -> bool:
    if isinstance(value, list | tuple) and isinstance(result, list | tuple):
        return any(_was_coerced(*pair) for pair in zip(value, result, strict=False))
    is_text_or_truth = isinstance(value, str | bool) or isinstance(result, str | bool)
    return type(value) is not type(result) and is_text_or_truth


def _is_shipped(name: str) -> bool:
    return not name.endswith((".toml", ".json")) and (SHIPPED / f"{name}.toml").is_file()


def _explain(error: ValidationError, layers: Sequence[Layer], model: type[BaseModel]) -> str:
    """The first error of a validation as one sentence with the mend."""
    first = error.errors(include_url=False)[0]
    key = tuple(str(part) for part in first["loc"])
    dotted = ".".join(key)
    where = _source_of(key, layers)
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        close = difflib.get_close_matches(key[-1], _known_keys(model, key[:-1]), n=1)
        hint = f"Did you mean {'.'.join((*key[:-1], close[0]))}?" if close else "Remove it."
        return f"{where}: unknown key {dotted}. {hint}"
    text = str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {dotted}: {text}" if key else f"{_source_of(_WHOLE, layers)}: {text}"


def _known_keys(model: type[BaseModel], table: tuple[str, ...]) -> list[str]:
    fields: Any = model.model_fields
    for name in table:
        fields = getattr(fields[name].annotation, "__dataclass_fields__", {})
    return list(fields)


def _source_of(key: Sequence[str], layers: Sequence[Layer]) -> str:
    """The last layer that sets `key`, or a key in it or above it."""
    for length in range(len(key), 0, -1):
        for layer in reversed(layers):
            if _value_at(layer.values, key[:length]) is not None:
                return layer.source
    return layers[-1].source


def _value_at(values: Any, key: Sequence[str]) -> Any:
    for name in key:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values
