"""Training a reward model to its best epoch, and what its scores look like."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rlhf_core.reward.config import RewardConfig
from tasks.context import StageContext, StageLog

if TYPE_CHECKING:
    from rlhf_core.checkpoint import Policy
    from rlhf_core.reward.model import RewardModel
    from rlhf_core.reward.training import RankedPrompt


class Fit(NamedTuple):
    """A trained reward model.

    Attributes:
        model: With the weights of the best epoch.
        epoch: That epoch, from 1.
        accuracy: Its pair accuracy on the validation labels; None without any.
        skipped_steps: Steps that were not finite and not taken.
        rollbacks: Times that the training went back to a checkpoint.
        history: Metrics of each step.
    """

    model: "RewardModel"
    epoch: int
    accuracy: float | None
    skipped_steps: int
    rollbacks: int
    history: list[dict[str, float]]


def fit_reward_model(
    context: StageContext,
    policy: "Policy",
    train: Sequence["RankedPrompt"],
    validation: Sequence["RankedPrompt"],
    config: RewardConfig,
    *,
    title: str,
    log: StageLog | None = None,
) -> Fit:
    """Train on `train`; where `validation` has pairs, keep the epoch that orders them best.

    The checkpoints are named by `title`: trainings of one stage need different ones.
    """
    from rlhf_core.lora import add_lora, merge_lora
    from rlhf_core.resume import Checkpoints, run
    from rlhf_core.reward.model import reward_model_from
    from rlhf_core.reward.training import RewardTraining
    from rlhf_core.seeding import generator_for

    model = reward_model_from(
        policy.model,
        segment_embeddings=config.segment_embeddings,
        generator=generator_for(context.seed, "reward head"),
    )
    if config.lora_rank:
        add_lora(
            model.backbone,
            rank=config.lora_rank,
            alpha=config.lora_alpha,
            generator=generator_for(context.seed, "reward adapters"),
        )
    training = RewardTraining(
        model,
        train,
        config,
        validation=validation,
        pad_id=policy.tokenizer.pad_id,
        seed=context.seed,
    )
    steps = run(training, Checkpoints(context.checkpoints / title.replace(" ", "-")))
    history = []
    for step, metrics in enumerate(context.progress(steps, title, total=training.num_steps)):
        history.append(metrics)
        if log is not None:
            log.metrics(step, metrics)
    model.load_state_dict(training.best.weights)
    merge_lora(model)
    best, guard = training.best, training.guard
    return Fit(model.eval(), best.epoch, best.accuracy, guard.skipped, guard.rollbacks, history)
