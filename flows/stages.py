"""The stages of the pipeline, in order. What each one reads stands in its body's signature."""

from typing import TYPE_CHECKING

from tasks.build_pairs import build_pairs
from tasks.collect_rankings import (
    collect_rankings,
    nothing_decided_since,
    ranked_by_people,
)
from tasks.evaluate import evaluate
from tasks.generate_responses import generate_responses
from tasks.pretrain import pretrain
from tasks.register import register, still_registered
from tasks.sample_prompts import sample_prompts
from tasks.sft import sft
from tasks.split import split
from tasks.stage import Stage, stage_of
from tasks.train_dpo import train_dpo
from tasks.train_policy import train_policy
from tasks.train_reward_model import train_reward_model

if TYPE_CHECKING:
    from flows.config import RunConfig


def pipeline_stages() -> tuple[Stage, ...]:
    """Every stage, each after those that it reads."""
    before = (split, pretrain, sft, sample_prompts, generate_responses)
    after = (build_pairs, train_reward_model, train_dpo, train_policy, evaluate)
    return (
        *(stage_of(body) for body in before),
        stage_of(
            collect_rankings, still_holds=nothing_decided_since, reads_outside=ranked_by_people
        ),
        *(stage_of(body) for body in after),
        stage_of(register, still_holds=still_registered),
    )


def stages_not_needed(config: "RunConfig") -> dict[str, str]:
    """{stage that this config makes superfluous: why}."""
    reasons: dict[str, str] = {}
    if config.rank.ranker == "file":
        why = "the rankings come from a file"
        reasons |= {"sample_prompts": why, "generate_responses": why}
    if config.dpo.num_epochs == 0:
        reasons["train_dpo"] = "dpo.num_epochs is 0"
    return reasons
