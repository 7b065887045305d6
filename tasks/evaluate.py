"""Stage evaluate: is the PPO policy better than the SFT policy, and is the reward model right?

evaluation.json maps each figure to {value, low, high, n, sft}: the mean with its 95 % interval by
bootstrap over families, the number of items, and the SFT policy's value where there is one. Names
that begin with dpo_ and best_of_ are those of the baselines.
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
    from rlhf_core.text_tokenizer import TextTokenizer
    from tasks.figures import Estimator
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
    train_dpo: Path | None,
    train_policy: Path,
) -> Summary:
    """Compare SFT and PPO policy on the test split; check the reward model on validation."""
    from functools import partial

    from data.grammar import load_grammar
    from rlhf_core.checkpoint import load_policy, write_json
    from rlhf_core.reward.checkpoint import load_scorer
    from tasks.figures import compare
    from tasks.frontier import best_of_n_sampling, report_frontier
    from tasks.ranked import read_ranked
    from tasks.replies import Models, sample_replies
    from tasks.reward_accuracy import reward_accuracy

    paths = {"sft": sft, "ppo": train_policy} | ({"dpo": train_dpo} if train_dpo else {})
    policies = {name: load_policy(path, context.device) for name, path in paths.items()}
    scorer = load_scorer(train_reward_model, context.device)
    grammar = load_grammar() if config.corpus.source == "support_desk" else None
    prompts = read_test_prompts(split, policies["sft"].tokenizer, config.evaluate)
    draw = partial(sample_replies, context, prompts, grammar=grammar)
    replies = {
        name: draw(config.evaluate, models=Models(name, policy, policies["sft"], scorer))
        for name, policy in policies.items()
    }
    ranked = read_ranked(build_pairs, scorer.tokenizer, config.reward.max_tokens)
    validation, tie_gap = ranked.of("validation"), config.rank.tie_gap
    estimate = estimator(context.seed, config.evaluate.num_resamples)
    figures = {
        **compare(replies["ppo"], replies["sft"], estimate),
        **reward_accuracy(scorer, validation, estimate, tie_gap=tie_gap, grammar=grammar),
        **json.loads((train_reward_model / "cross_validation.json").read_text(encoding="utf-8")),
        **json.loads((train_policy / "training.json").read_text(encoding="utf-8")),
    }
    if "dpo" in replies:
        dpo = compare(replies["dpo"], replies["sft"], estimate)
        figures |= {f"dpo_{name}": figure for name, figure in dpo.items()}
    if config.evaluate.best_of_n:
        models = Models("best_of_n", policies["sft"], policies["sft"], scorer)
        drawn = draw(best_of_n_sampling(config.evaluate), models=models)
        figures |= report_frontier(context, drawn, figures, estimate)
    write_json(context.out / "evaluation.json", figures)
    keep_replies(context, replies)
    return {name: figure["value"] for name, figure in figures.items()}


def estimator(seed: int, num_resamples: int) -> "Estimator":
    """Means with intervals; every call draws the same resamples."""
    from rlhf_core.evaluation.intervals import cluster_bootstrap
    from rlhf_core.seeding import generator_for

    def estimate(values: Sequence[float], families: Sequence[str]) -> "Estimate":
        return cluster_bootstrap(
            values,
            families,
            num_resamples=num_resamples,
            generator=generator_for(seed, "bootstrap"),
        )

    return estimate


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
    split: Path, tokenizer: "TextTokenizer", config: EvaluateConfig
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
