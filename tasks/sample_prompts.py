"""Stage sample_prompts: which prompts are answered and ranked."""

from dataclasses import dataclass
from pathlib import Path

from data.prompts import SampleConfig
from tasks.context import StageContext, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePromptsConfig:
    """Config sections that the stage reads."""

    sample: SampleConfig


def sample_prompts(context: StageContext, config: SamplePromptsConfig, *, split: Path) -> Summary:
    """Draw train and validation prompts, stratified and seeded."""
    import polars as pl

    from data.prompts import sample_prompts as draw

    prompts = pl.read_parquet(split / "prompts.parquet")
    sampled = draw(prompts, config.sample, seed=context.seed)
    sampled.prompts.write_parquet(context.out / "prompts.parquet")
    counts = dict(sampled.prompts["split"].value_counts(sort=True).rows())
    return {
        "train_prompts": counts.get("train", 0),
        "validation_prompts": counts.get("validation", 0),
        "families": sampled.prompts["family_id"].n_unique(),
        "notes": " ".join(sampled.notes),
    }
