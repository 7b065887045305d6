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
        itself, which noisy labels keep below 1. Empty where no dialogue has a pair.
    """
    from rlhf_core.reward.training import mean_pair_accuracy, score_prompts

    dialogues = [d for d in dialogues if d.ranked.pairs]
    if not dialogues:
        return {}
    prompts = [d.ranked for d in dialogues]
    scores = score_prompts(
        scorer.model, prompts, batch_size=BATCH_SIZE, pad_id=scorer.tokenizer.pad_id
    )
    families = [d.family_id for d in dialogues]

    def figure(values: Sequence[float], clusters: Sequence[str]) -> dict[str, JSON]:
        return {**estimate(values, clusters)._asdict(), "sft": None}

    labels = [mean_pair_accuracy([p], [s]) for p, s in zip(prompts, scores, strict=True)]
    figures = {"rm_label_accuracy": figure(labels, families)}
    if grammar is None:
        return figures
    golds = [gold_of(d, grammar) for d in dialogues]
    ceiling = [mean_pair_accuracy([p], [g]) for p, g in zip(prompts, golds, strict=True)]
    figures["rm_label_ceiling"] = figure(ceiling, families)
    by_gold = [
        (mean_pair_accuracy([p._replace(pairs=pairs)], [s]), family)
        for p, s, g, family in zip(prompts, scores, golds, families, strict=True)
        if (pairs := strict_pairs(g, tie_gap))
    ]
    if by_gold:
        figures["rm_pair_accuracy"] = figure(*zip(*by_gold, strict=True))
    return figures


def gold_of(dialogue: "RankedDialogue", grammar: "Grammar") -> list[float]:
    """Gold of each response."""
    from data.gold import gold

    return [gold(dialogue.question, text, grammar=grammar) for text in dialogue.texts]


def strict_pairs(gold: Sequence[float], tie_gap: float) -> list[tuple[int, int]]:
    """(better, worse) of all pairs whose gold differs by at least `tie_gap`."""
    return [
        (i, j) if gold[i] > gold[j] else (j, i)
        for i, j in combinations(range(len(gold)), 2)
        if abs(gold[i] - gold[j]) >= tie_gap
    ]
