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
        history: Metrics of each step.
    """

    model: "RewardModel"
    epoch: int
    accuracy: float | None
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
    """Train on `train`; where `validation` has pairs, keep the epoch that orders them best."""
    import copy

    from rlhf_core.reward.model import reward_model_from
    from rlhf_core.reward.training import train_reward_model
    from rlhf_core.seeding import generator_for

    model = reward_model_from(
        policy.model,
        segment_embeddings=config.segment_embeddings,
        generator=generator_for(context.seed, "reward head"),
    )
    pad_id = policy.tokenizer.pad_id
    steps = train_reward_model(model, train, config, pad_id=pad_id, seed=context.seed)
    steps_per_epoch = -(-sum(bool(p.pairs) for p in train) // config.batch_size)
    num_steps = config.num_epochs * steps_per_epoch
    best: tuple[int, float | None] = (0, None)
    best_state, history = model.state_dict(), list[dict[str, float]]()
    for step, metrics in enumerate(context.progress(steps, title, total=num_steps), start=1):
        history.append(metrics)
        ends_epoch = step % steps_per_epoch == 0
        accuracy = label_accuracy(model, validation, config, pad_id) if ends_epoch else None
        if accuracy is not None:
            metrics["reward/validation_accuracy"] = accuracy
        if log is not None:
            log.metrics(step - 1, metrics)
        if ends_epoch and (best[1] is None or accuracy is None or accuracy > best[1]):
            best, best_state = (
                (step // steps_per_epoch, accuracy),
                copy.deepcopy(model.state_dict()),
            )
    model.load_state_dict(best_state)
    return Fit(model.eval(), *best, history)


def label_accuracy(
    model: "RewardModel", prompts: Sequence["RankedPrompt"], config: RewardConfig, pad_id: int
) -> float | None:
    """Share of labelled pairs ordered as labelled, mean over prompts; None without a pair."""
    from rlhf_core.reward.training import mean_pair_accuracy, score_prompts

    prompts = [p for p in prompts if p.pairs]
    if not prompts:
        return None
    scores = score_prompts(model, prompts, batch_size=config.batch_size, pad_id=pad_id)
    return mean_pair_accuracy(prompts, scores)
