"""Stage evaluate: is the PPO policy better than the SFT policy, and is the reward model right?

evaluation.json maps each figure to {value, low, high, n, sft}: the mean with its 95 % interval by
bootstrap over families, the number of items, and the SFT policy's value where there is one.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.corpus_config import CorpusConfig
from data.rankers.config import RankConfig
from rlhf_core.evaluation.config import EvaluateConfig
from rlhf_core.reward.config import RewardConfig
from tasks.context import StageContext, Summary

if TYPE_CHECKING:
    from rlhf_core.evaluation.intervals import Estimate
    from rlhf_core.tokenizer import Tokenizer
    from tasks.replies import Reply, TestPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateStageConfig:
    """Config sections that the stage reads."""

    corpus: CorpusConfig
    rank: RankConfig
    reward: RewardConfig
    evaluate: EvaluateConfig


def evaluate(
    context: StageContext,
    config: EvaluateStageConfig,
    *,
    split: Path,
    sft: Path,
    build_pairs: Path,
    train_reward_model: Path,
    train_policy: Path,
) -> Summary:
    """Compare SFT and PPO policy on the test split; check the reward model on validation."""
    from data.grammar import load_grammar
    from rlhf_core.checkpoint import load_policy, write_json
    from rlhf_core.evaluation.intervals import cluster_bootstrap
    from rlhf_core.reward.checkpoint import load_scorer
    from rlhf_core.seeding import generator_for
    from tasks.figures import compare
    from tasks.ranked import read_ranked
    from tasks.replies import Models, sample_replies
    from tasks.reward_accuracy import reward_accuracy

    policies = {
        "sft": load_policy(sft, context.device),
        "ppo": load_policy(train_policy, context.device),
    }
    scorer = load_scorer(train_reward_model, context.device)
    grammar = load_grammar() if config.corpus.source == "support_desk" else None
    prompts = read_test_prompts(split, policies["sft"].tokenizer, config.evaluate)
    replies = {
        name: sample_replies(
            context,
            prompts,
            config.evaluate,
            models=Models(name, policy, policies["sft"], scorer),
            grammar=grammar,
        )
        for name, policy in policies.items()
    }
    ranked = read_ranked(build_pairs, scorer.tokenizer, config.reward.max_tokens)
    validation, tie_gap = ranked.of("validation"), config.rank.tie_gap

    def estimate(values: Sequence[float], families: Sequence[str]) -> "Estimate":
        return cluster_bootstrap(
            values,
            families,
            num_resamples=config.evaluate.num_resamples,
            generator=generator_for(context.seed, "bootstrap"),
        )

    figures = {
        **compare(replies["ppo"], replies["sft"], estimate),
        **reward_accuracy(scorer, validation, estimate, tie_gap=tie_gap, grammar=grammar),
        **json.loads((train_reward_model / "cross_validation.json").read_text(encoding="utf-8")),
        **json.loads((train_policy / "training.json").read_text(encoding="utf-8")),
    }
    write_json(context.out / "evaluation.json", figures)
    keep_replies(context, replies)
    return {name: figure["value"] for name, figure in figures.items()}


def keep_replies(context: StageContext, replies: dict[str, list["Reply"]]) -> None:
    """Write samples.parquet; log histograms of the measures and replies side by side."""
    import polars as pl

    from tasks.figures import before_after
    from tasks.plots import histograms

    rows = [asdict(reply) for own in replies.values() for reply in own]
    pl.DataFrame(rows).write_parquet(context.out / "samples.parquet")
    for measure in ("score", "gold", "heldout"):
        samples = {name: [getattr(r, measure) for r in own] for name, own in replies.items()}
        if None not in samples["sft"]:
            title = f"{measure} of replies to test prompts"
            context.log.figure(measure, histograms(samples, x_label=measure, title=title))
    context.log.table("before_after", before_after(replies["sft"], replies["ppo"]))


def read_test_prompts(
    split: Path, tokenizer: "Tokenizer", config: EvaluateConfig
) -> list["TestPrompt"]:
    """Test prompts, at most `config.num_prompts`, dealt from the families in turn."""
    import polars as pl

    from data.corpus_frames import decode_messages
    from data.errors import InputError
    from tasks.replies import TestPrompt
    from tasks.texts import encode_prompt

    rows = pl.read_parquet(split / "prompts.parquet").filter(pl.col("split") == "test")
    if not len(rows):
        raise InputError("no prompt is in the test split; raise corpus.test or add prompts")
    in_turn = rows.with_columns(turn=pl.int_range(pl.len()).over("family_id")).sort(
        "turn", "family_id", "prompt_id"
    )
    return [
        TestPrompt(
            prompt_id=row["prompt_id"],
            family_id=row["family_id"],
            question=decode_messages(row["messages"])[-1]["content"],
            ids=encode_prompt(tokenizer, row["messages"], config.max_prompt_tokens),
        )
        for row in in_turn.head(config.num_prompts or len(in_turn)).iter_rows(named=True)
    ]
