"""What the stages pretrain and sft share: run the loop, log it, save the policy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlhf_core.language.config import LanguageConfig
from tasks.context import StageContext, Summary

if TYPE_CHECKING:
    from rlhf_core.checkpoint import Policy
    from rlhf_core.language.training import Document

CHECKPOINT_EVERY = 50  # steps


def fit_language_model(
    context: StageContext,
    policy: "Policy",
    documents: Sequence["Document"],
    config: LanguageConfig,
    *,
    title: str,
) -> Summary:
    """Train the policy's model on `documents` and save the policy as the stage's payload."""
    from rlhf_core.checkpoint import save_policy
    from rlhf_core.language.training import LanguageTraining
    from rlhf_core.resume import Checkpoints, run
    from tasks.plots import curves

    training = LanguageTraining(
        policy.model, documents, config, pad_id=policy.tokenizer.pad_id, seed=context.seed
    )
    steps = run(training, Checkpoints(context.checkpoints, every=CHECKPOINT_EVERY))
    history = []
    for step, metrics in enumerate(context.progress(steps, title, total=config.num_steps)):
        context.log.metrics(step, metrics)
        history.append(metrics)
    context.log.figure("loss", curves(history, ["language/loss"], x_label="step", title=title))
    save_policy(policy, context.out)
    tail = [m["language/loss"] for m in history[-20:] if "language/loss" in m]
    return {
        "parameters": sum(p.numel() for p in policy.model.parameters()),
        "documents": len(documents),
        "steps": len(history),
        "tokens": int(sum(m.get("language/tokens", 0) for m in history)),
        "skipped_steps": training.guard.skipped,
        "rollbacks": training.guard.rollbacks,
        "loss": sum(tail) / len(tail) if tail else None,
    }
