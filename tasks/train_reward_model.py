"""Stage train_reward_model: the reward model, its accuracy on held-out families, its scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf_core.generation_config import GenerateConfig
from rlhf_core.reward.config import RewardConfig
from tasks.context import StageContext, Summary

if TYPE_CHECKING:
    from tasks.ranked import RankedDialogue
    from tasks.reward_fit import Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRewardModelConfig:
    """Config sections that the stage reads."""

    reward: RewardConfig
    generate: GenerateConfig


def train_reward_model(
    context: StageContext, config: TrainRewardModelConfig, *, sft: Path, build_pairs: Path
) -> Summary:
    """Train the reward model on the ranked pairs; keep the epoch that validates best."""
    import torch

    from data.errors import InputError
    from rlhf_core.checkpoint import load_policy, write_json
    from rlhf_core.reward.checkpoint import Scorer, save_scorer
    from rlhf_core.reward.normalisation import fit_normalisation
    from rlhf_core.reward.training import score_prompts
    from tasks.cross_validation import cross_validate
    from tasks.ranked import read_ranked
    from tasks.reward_fit import fit_reward_model
    from tasks.sft_scores import draw_sft_scores

    policy = load_policy(sft, context.device)
    pad_id = policy.tokenizer.pad_id
    ranked = read_ranked(build_pairs, policy.tokenizer, config.reward.max_tokens)
    train, validation = ranked.of("train"), ranked.of("validation")
    if not any(d.ranked.pairs for d in train):
        raise InputError(
            "no strict pair is in the train split; rank more prompts or raise corpus.train"
        )
    cross_validation = cross_validate(context, policy, [*train, *validation], config.reward)
    fit = fit_reward_model(
        context,
        policy,
        [d.ranked for d in train],
        [d.ranked for d in validation],
        config.reward,
        title="reward model",
        log=context.log,
    )
    batch_size = config.reward.batch_size
    train_scores, validation_scores = (
        score_prompts(fit.model, [d.ranked for d in own], batch_size=batch_size, pad_id=pad_id)
        for own in (train, validation)
    )
    samples = {"train": list(chain(*train_scores)), "validation": list(chain(*validation_scores))}
    log_plots(context, fit, samples)
    log_calibration(context, validation, validation_scores)
    sft_scores = samples["train"]
    if not ranked.of_own_model:
        prompts = [d.ranked for d in train]
        sft_scores = draw_sft_scores(context, policy, fit.model, prompts, config.generate)
    normalisation = fit_normalisation(torch.tensor(sft_scores))
    save_scorer(Scorer(fit.model, normalisation, policy.tokenizer), context.out)
    write_json(context.out / "cross_validation.json", cross_validation)
    return {
        "train_prompts": sum(bool(d.ranked.pairs) for d in train),
        "train_pairs": sum(len(d.ranked.pairs) for d in train),
        "validation_pairs": sum(len(d.ranked.pairs) for d in validation),
        "best_epoch": fit.epoch,
        "label_accuracy": fit.accuracy,
        "skipped_steps": fit.skipped_steps,
        "rollbacks": fit.rollbacks,
        "texts_cut": ranked.texts_cut,
        "pairs_dropped": ranked.pairs_dropped,
    }


def log_plots(context: StageContext, fit: "Fit", samples: Mapping[str, Sequence[float]]) -> None:
    """Plot the training, the accuracy by which its epoch was chosen, and the scores."""
    from tasks.plots import curves, histograms

    names = ["reward/loss", "reward/accuracy", "reward/margin"]
    context.log.figure("training", curves(fit.history, names, x_label="step", title="reward model"))
    chosen = [m for m in fit.history if "reward/validation_accuracy" in m]
    if chosen:
        plot = curves(chosen, ["reward/validation_accuracy"], x_label="epoch", title="by epoch")
        context.log.figure("validation", plot)
    context.log.figure(
        "scores", histograms(samples, x_label="raw score", title="scores of ranked responses")
    )


def log_calibration(
    context: StageContext, dialogues: Sequence["RankedDialogue"], scores: Sequence[Sequence[float]]
) -> None:
    """Plot how often labels agree with the model, by the model's own confidence."""
    from math import exp

    from tasks.plots import calibration

    margins = [
        own[chosen] - own[rejected]
        for dialogue, own in zip(dialogues, scores, strict=True)
        for chosen, rejected in dialogue.ranked.pairs
    ]
    if margins:
        confidences = [1 / (1 + exp(-abs(margin))) for margin in margins]
        agrees = [float(margin > 0) for margin in margins]
        context.log.figure("calibration", calibration(confidences, agrees))
