"""The ranking loss over a forked prompt is that of TRL's RewardTrainer on the pairs, one a row."""

import importlib.util
from collections.abc import Sequence
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from rlhf_core.reward.losses import ranking_loss
from rlhf_core.reward.training import RankedPrompt, batch_pairs, batch_scores
from tests.parity.gpt2 import (
    EOS,
    PAD,
    flat,
    reward_model_of,
    score_model,
    shared_names,
    tokenizer,
)
from tests.unit.rlhf_core.builders import token_rows

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(
        importlib.util.find_spec("trl") is None, reason="the package trl is not installed"
    ),
]


class Result(NamedTuple):
    """A loss and its gradient, all weights as one vector."""

    loss: float
    gradient: Tensor


@pytest.mark.parametrize("sizes", [(2,), (4, 4, 4), (9, 9)], ids=str)
def test_loss_and_gradient_of_rankings_are_those_of_their_pairs(
    sizes: tuple[int, ...], tmp_path: Path
) -> None:
    # Guards: a fork, a mask or a weight that changes what a ranking teaches.
    rankings = [ranking(place, size) for place, size in enumerate(sizes)]
    assert_same(ours(rankings), trls(rankings, tmp_path))


def test_each_prompt_weighs_as_much_as_the_others(tmp_path: Path) -> None:
    """TRL's mean over the pairs of both would give 36 of 39 parts to the larger ranking."""
    rankings = [ranking(0, 3), ranking(1, 9)]
    loss, gradient = ours(rankings)
    each = [trls([it], tmp_path) for it in rankings]
    assert_same(Result(loss, gradient), Result(*((a + b) / 2 for a, b in zip(*each, strict=True))))
    assert abs(loss / trls(rankings, tmp_path).loss - 1) > 1e-2


def ranking(place: int, size: int) -> RankedPrompt:
    """`size` responses of different lengths, the first the best; no prompts of one length."""
    prompt = token_rows(place, [2 + 3 * place], vocab_size=PAD)[0]
    bodies = token_rows(place + 10, [1 + i % 5 for i in range(size)], vocab_size=PAD)
    pairs = list(combinations(range(size), 2))
    return RankedPrompt(
        prompt, [[*body, EOS] for body in bodies], pairs, [1 / comb(size, 2)] * len(pairs)
    )


def ours(rankings: Sequence[RankedPrompt]) -> Result:
    """The prompt read once, its cache forked for the responses."""
    model = reward_model_of(score_model(0, bias=False))
    weights = torch.tensor([w for it in rankings for w in it.weights], dtype=torch.float64)
    scores = batch_scores(model, rankings, PAD)
    loss = ranking_loss(scores, batch_pairs(rankings)[0], weights, len(rankings))
    loss.backward()
    return Result(loss.item(), gradient_of(model))


def trls(rankings: Sequence[RankedPrompt], folder: Path) -> Result:
    """TRL's loss of all pairs, through its own collator."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    rows = [
        {"chosen_ids": it.prompt + it.responses[i], "rejected_ids": it.prompt + it.responses[j]}
        for it in rankings
        for i, j in it.pairs
    ]
    trainer: Any = RewardTrainer(
        score_model(0, bias=False),
        RewardConfig(
            output_dir=str(folder),
            per_device_train_batch_size=len(rows),
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer(),
    )
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
    loss.backward()
    return Result(loss.item(), gradient_of(trainer.model))


def gradient_of(model: torch.nn.Module) -> Tensor:
    grads = {n: p.grad for n, p in shared_names(model.named_parameters()).items()}
    return flat({name: grad for name, grad in grads.items() if grad is not None})


def assert_same(first: Result, second: Result) -> None:
    """Equal to 1e-8 of the loss, and of the largest gradient."""
    assert first.loss == pytest.approx(second.loss, rel=1e-8)
    apart, scale = (first.gradient - second.gradient).abs().max(), second.gradient.abs().max()
    assert scale > 0.1
    assert apart <= 1e-8 * scale
