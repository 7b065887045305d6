"""Stage register: the models of a run as versions in the MLflow registry.

The payload says which models belong to the run; which version numbers they got depends on what
was registered before, so that stands in the summary.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.context import StageContext, Summary
from tasks.registry_config import RegistryNames
from tasks.stage_log import JSON, write_json

if TYPE_CHECKING:
    from tasks.served_model.folder import Kind
    from tasks.served_model.registry import Candidate

# MLflow reserves the alias "latest".
ALIASES = {"sft": "sft", "train_policy": "newest", "train_reward_model": "newest"}
_OF_REWARD_MODEL = ("rm_", "cv_")
_OF_BASELINES = ("dpo_", "best_of_")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterConfig:
    """Config sections that the stage reads."""

    registry: RegistryNames


def register(
    context: StageContext,
    config: RegisterConfig,
    *,
    sft: Path,
    train_policy: Path,
    train_reward_model: Path,
    evaluate: Path,
) -> Summary:
    """Register the SFT, PPO and reward models; equal bytes keep their version."""
    from tasks.served_model.registry import Registry

    evaluation = json.loads((evaluate / "evaluation.json").read_text(encoding="utf-8"))
    payloads = {
        "sft": sft,
        "train_policy": train_policy,
        "train_reward_model": train_reward_model,
    }
    candidates = candidates_of(payloads, config.registry, context.seed, evaluation)
    registry = Registry(context.var)
    summary: Summary = {}
    num_new = 0
    for candidate in candidates:
        version, is_new = registry.register(candidate)
        summary[candidate.stage] = f"models:/{candidate.name}/{version}"
        num_new += is_new
    write_json(context.out / "registered.json", _facts(candidates))
    return {**summary, "new_versions": num_new}


def still_registered(var: Path, summary: Summary) -> bool:
    """Whether the versions that a summary names are in the registry and bear their aliases."""
    from tasks.served_model.registry import Registry

    registry = Registry(var)
    for stage, alias in ALIASES.items():
        name, _, version = str(summary[stage]).removeprefix("models:/").rpartition("/")
        if not registry.holds(name, version, alias):
            return False
    return True


def candidates_of(
    payloads: Mapping[str, Path],
    names: RegistryNames,
    seed: int,
    evaluation: Mapping[str, Mapping[str, Any]],
) -> "list[Candidate]":
    """The three models of a run with the figures that speak of each.

    Args:
        payloads: {stage: its payload directory}.
        names: Registered models.
        seed: The run's seed.
        evaluation: {key: {value, low, high, n, sft}}; keys that start with "rm_" or "cv_" are the
            reward model's, those with "dpo_" or "best_of_" of baselines, which are not registered;
            `sft` is the SFT model's value.
    """
    from tasks.served_model.registry import Candidate, Figure

    figures = {
        key: Figure(entry["value"], entry.get("low"), entry.get("high"))
        for key, entry in evaluation.items()
        if entry.get("value") is not None and not key.startswith(_OF_BASELINES)
    }
    of_reward = {k: v for k, v in figures.items() if k.startswith(_OF_REWARD_MODEL)}
    of_policy = {k: v for k, v in figures.items() if k not in of_reward}
    of_sft = {
        key: Figure(entry["sft"])
        for key, entry in evaluation.items()
        if entry.get("sft") is not None and not key.startswith(_OF_REWARD_MODEL + _OF_BASELINES)
    }
    rows: list[tuple[str, Kind, str, dict[str, Figure]]] = [
        (names.policy, "policy", "sft", of_sft),
        (names.policy, "policy", "train_policy", of_policy),
        (names.reward, "reward", "train_reward_model", of_reward),
    ]
    return [
        Candidate(
            name=name,
            kind=kind,
            alias=ALIASES[stage],
            stage=stage,
            payload=payloads[stage],
            seed=seed,
            figures=shown,
        )
        for name, kind, stage, shown in rows
    ]


def _facts(candidates: "Sequence[Candidate]") -> dict[str, JSON]:
    """What is true of the versions whatever was registered before them."""
    facts: dict[str, list[JSON]] = {}
    for candidate in candidates:
        entry: dict[str, JSON] = {
            "alias": candidate.alias,
            "stage": candidate.stage,
            "sha256": candidate.sha256,
            "seed": candidate.seed,
            "figures": {name: str(figure) for name, figure in candidate.figures.items()},
        }
        facts.setdefault(candidate.name, []).append(entry)
    return dict(facts)
