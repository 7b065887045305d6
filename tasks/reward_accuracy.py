"""How well the reward model orders responses to validation prompts: by gold, and by the labels."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from tasks.context import JSON
from tasks.figures import Figures

if TYPE_CHECKING:
    from data.grammar import Grammar
    from rlhf_core.reward.checkpoint import Scorer
    from tasks.figures import Estimator
    from tasks.ranked import RankedDialogue


BATCH_SIZE = 32  # prompts scored at once


def reward_accuracy(
    scorer: "Scorer",
    dialogues: Sequence["RankedDialogue"],
    estimate: "Estimator",
    *,
    tie_gap: float,
    grammar: "Grammar | None",
) -> Figures:
    """Accuracy on pairs of the given dialogues, means over prompts.

    Returns:
        rm_label_accuracy: on the annotators' pairs. In the demo also rm_pair_accuracy: on the pairs
        whose gold differs by `tie_gap` at least, and rm_label_ceiling: the label accuracy of gold
        itself, which noisy labels keep below 1. Figures without a pair are left out.
    """
    from rlhf_core.reward.training import mean_pair_accuracy, score_prompts

    if not dialogues:
        return {}
    prompts = [d.ranked for d in dialogues]
    scores = score_prompts(
        scorer.model, prompts, batch_size=BATCH_SIZE, pad_id=scorer.tokenizer.pad_id
    )

    def figure(
        values: Sequence[Sequence[float]], pairs: Sequence[list[tuple[int, int]]]
    ) -> dict[str, JSON]:
        rows = [
            (mean_pair_accuracy([d.ranked._replace(pairs=own)], [v]), d.family_id)
            for d, v, own in zip(dialogues, values, pairs, strict=True)
            if own
        ]
        accuracies, families = [a for a, _ in rows], [family for _, family in rows]
        return {**estimate(accuracies, families)._asdict(), "sft": None} if rows else {}

    labels = [prompt.pairs for prompt in prompts]
    figures = {"rm_label_accuracy": figure(scores, labels)}
    if grammar is not None:
        golds = [gold_of(d, grammar) for d in dialogues]
        strict = [strict_pairs(own, tie_gap) for own in golds]
        figures["rm_label_ceiling"] = figure(golds, labels)
        figures["rm_pair_accuracy"] = figure(scores, strict)
    return {name: own for name, own in figures.items() if own}


def gold_of(dialogue: "RankedDialogue", grammar: "Grammar") -> list[float]:
    """Gold of each response."""
    from data.gold import gold

    return [gold(dialogue.question, text, grammar=grammar) for text in dialogue.texts]


def strict_pairs(gold: Sequence[float], tie_gap: float) -> list[tuple[int, int]]:
    """(better, worse) of all pairs whose gold differs by at least `tie_gap`."""
    from data.rankers.noise import is_strict

    return [
        (i, j) if gold[i] > gold[j] else (j, i)
        for i, j in combinations(range(len(gold)), 2)
        if is_strict(gold[i], gold[j], tie_gap)
    ]
