"""Stage train_dpo: DPO on the ranked pairs, the baseline that PPO is held against."""

from dataclasses import dataclass
from pathlib import Path

from rlhf_core.dpo.config import DPOConfig
from tasks.context import StageContext, Summary

CURVES = ["dpo/loss", "dpo/accuracy", "dpo/margin", "dpo/chosen_reward"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainDPOConfig:
    """Config sections that the stage reads."""

    dpo: DPOConfig


def train_dpo(
    context: StageContext, config: TrainDPOConfig, *, sft: Path, build_pairs: Path
) -> Summary:
    """Train a policy straight from the pairs, without reward model and PPO, as a baseline."""
    from data.errors import InputError
    from rlhf_core.checkpoint import load_policy, save_policy
    from rlhf_core.dpo.training import DPOTraining
    from rlhf_core.resume import Checkpoints, run
    from tasks.plots import curves
    from tasks.ranked import read_ranked

    policy = load_policy(sft, context.device)
    ranked = read_ranked(build_pairs, policy.tokenizer, config.dpo.max_tokens)
    train = [d.ranked for d in ranked.of("train") if d.ranked.pairs]
    if not train:
        raise InputError(
            "no strict pair is in the train split; rank more prompts or raise corpus.train"
        )
    training = DPOTraining(
        policy.model, train, config.dpo, pad_id=policy.tokenizer.pad_id, seed=context.seed
    )
    steps = run(training, Checkpoints(context.checkpoints))
    history = []
    for step, metrics in enumerate(context.progress(steps, "dpo", total=training.num_steps)):
        context.log.metrics(step, metrics)
        history.append(metrics)
    context.log.figure("training", curves(history, CURVES, x_label="step", title="DPO"))
    save_policy(policy, context.out)
    taken = [metrics for metrics in history if CURVES[0] in metrics][-10:]
    return {
        "prompts": len(train),
        "pairs": sum(len(prompt.pairs) for prompt in train),
        "steps": len(history),
        "skipped_steps": training.guard.skipped,
        "rollbacks": training.guard.rollbacks,
        "texts_cut": ranked.texts_cut,
        "pairs_dropped": ranked.pairs_dropped,
        **{name: sum(metrics[name] for metrics in taken) / len(taken) for name in CURVES if taken},
    }
