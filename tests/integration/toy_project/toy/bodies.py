"""Three toy stages: numbers -> scaled (with torch) -> total. Each notes that it ran."""

import json
from dataclasses import dataclass
from pathlib import Path

from tasks.context import StageContext, Summary
from toy.settings import NumbersConfig, ScaleConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NumbersSections:
    numbers: NumbersConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSections:
    scale: ScaleConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalSections:
    name: str


def numbers(context: StageContext, config: NumbersSections) -> Summary:
    """Write the first numbers."""
    _note(context, "numbers")
    if config.numbers.count < 1:
        raise ValueError("count must be positive")
    rows = [{"value": value} for value in range(config.numbers.count)]
    _write(context.out / "numbers.jsonl", rows)
    context.log.table("values", rows)
    return {"rows": len(rows)}


def scaled(context: StageContext, config: ScaleSections, *, numbers: Path) -> Summary:
    """Multiply them, with torch."""
    import torch

    _note(context, "scaled")
    if (context.var / "break").exists():
        raise RuntimeError("the toy broke")
    if config.scale.by_people and not (context.var / "answer").exists():
        _write(context.out / "scaled.jsonl", [])
        return {"waits_for": "1 answer", "batch_id": "b_toy"}
    values = torch.tensor([row["value"] for row in _read(numbers / "numbers.jsonl")])
    for step in context.progress(range(3), "scaling"):
        context.log.metrics(step, {"toy/loss": 1.0 / (step + 1)})
    factor = config.scale.factor
    if config.scale.by_people:
        factor = float((context.var / "answer").read_text())
    products = (values * factor).tolist()
    _write(context.out / "scaled.jsonl", [{"value": int(value)} for value in products])
    return {"largest": float(max(products)), "threads": torch.get_num_threads()}


def total(context: StageContext, config: TotalSections, *, scaled: Path) -> Summary:
    """Add them up."""
    _note(context, "total")
    value = sum(row["value"] for row in _read(scaled / "scaled.jsonl"))
    (context.out / "total.json").write_text(json.dumps({"total": value}))
    return {"total": value}


def _note(context: StageContext, stage: str) -> None:
    with (context.var / "calls.txt").open("a") as calls:
        calls.write(stage + "\n")


def _write(path: Path, rows: list[dict[str, int]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _read(path: Path) -> list[dict[str, int]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
