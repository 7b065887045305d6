"""Accuracy of the reward model on people's labels by cross-validation over families.

Beside it stands the rule "the longer reply wins", which a reward model must beat to have learnt
more than length.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlhf_core.reward.config import RewardConfig
from tasks.context import JSON, StageContext

if TYPE_CHECKING:
    from rlhf_core.checkpoint import Policy
    from tasks.ranked import RankedDialogue

NUM_RESAMPLES = 2000


def cross_validate(
    context: StageContext,
    policy: "Policy",
    dialogues: Sequence["RankedDialogue"],
    config: RewardConfig,
) -> dict[str, dict[str, JSON]]:
    """Estimates by `config.num_folds`-fold cross-validation; empty if that is 0.

    Returns:
        cv_accuracy, cv_longer_wins and cv_accuracy_unseen (families of the validation split only:
        the backbone was fine-tuned on replies of the others), each {value, low, high, n}.

    Raises:
        InputError: If there are fewer families with a pair than folds.
    """
    if not config.num_folds:
        return {}
    from rlhf_core.evaluation.intervals import cluster_bootstrap
    from rlhf_core.reward.training import mean_pair_accuracy, score_prompts
    from rlhf_core.seeding import generator_for
    from tasks.reward_fit import fit_reward_model

    dialogues = [d for d in dialogues if d.ranked.pairs]
    folds = assign_folds([d.family_id for d in dialogues], config.num_folds, context.seed)
    accuracy, longer = [0.0] * len(dialogues), [0.0] * len(dialogues)
    for fold in range(config.num_folds):
        inside = [i for i, own in enumerate(folds) if own == fold]
        outside = [dialogues[i].ranked for i, own in enumerate(folds) if own != fold]
        title = f"fold {fold + 1} of {config.num_folds}"
        model = fit_reward_model(context, policy, outside, [], config, title=title).model
        held_out = [dialogues[i].ranked for i in inside]
        scores = score_prompts(
            model, held_out, batch_size=config.batch_size, pad_id=policy.tokenizer.pad_id
        )
        for i, prompt, own in zip(inside, held_out, scores, strict=True):
            accuracy[i] = mean_pair_accuracy([prompt], [own])
            lengths = [float(len(text)) for text in dialogues[i].texts]
            longer[i] = mean_pair_accuracy([prompt], [lengths])
    unseen = [i for i, d in enumerate(dialogues) if d.split == "validation"]
    everything = list(range(len(dialogues)))

    def figure(values: list[float], items: list[int]) -> dict[str, JSON]:
        families = [dialogues[i].family_id for i in items]
        generator = generator_for(context.seed, "cross-validation")
        return cluster_bootstrap(
            [values[i] for i in items],
            families,
            num_resamples=NUM_RESAMPLES,
            generator=generator,
        )._asdict()

    return {
        "cv_accuracy": figure(accuracy, everything),
        "cv_longer_wins": figure(longer, everything),
        **({"cv_accuracy_unseen": figure(accuracy, unseen)} if unseen else {}),
    }


def assign_folds(families: Sequence[str], num_folds: int, seed: int) -> list[int]:
    """A fold for each item, families dealt out in the order of a seeded hash."""
    from data.errors import InputError

    order = sorted(
        set(families), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest()
    )
    if len(order) < num_folds:
        raise InputError(
            f"reward.num_folds is {num_folds}, but only {len(order)} families have a strict pair; "
            "lower it"
        )
    fold_of = {name: i % num_folds for i, name in enumerate(order)}
    return [fold_of[name] for name in families]
