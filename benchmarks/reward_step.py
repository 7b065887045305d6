"""Training step of a reward model on rankings of K = 4 and 9: forward, backward, clip, AdamW.

Prompt 128, response 64 tokens, float32, a GPT-2 of 5.6M parameters with the same weights for both.
Ours reads a prompt once and each response once. TRL's RewardTrainer has the same rankings as pairs:
its collator, loss and backward are timed with the clip and AdamW, no logging, in its default
batches of 8 pairs with accumulated gradients: all pairs at once are slower on a CPU. It reads
K(K-1)(p+r) tokens where we read p + K r. The ratio of the two is the limit that is printed, 80 % of
it the goal; larger activations make TRL's tokens slower than ours, so that the ratio can be above
the limit. An RWKV-7 of the same size stands beside it.
"""

import tempfile
from collections.abc import Sequence
from itertools import combinations
from math import comb
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.optim import AdamW
from trl import RewardConfig as TRLConfig
from trl import RewardTrainer

from benchmarks.command import Options, main
from benchmarks.gpt2 import (
    DEEP,
    PAD,
    QUIET,
    RWKV_NAME,
    random_rows,
    reward_model,
    rwkv_reward_model,
    score_model,
    tokenizer,
)
from benchmarks.profiling import print_table, profiled, shares
from benchmarks.rows import Row
from benchmarks.timing import Work, alternate, ratio
from rlhf_core.optim import BETAS, RWKV_EPS
from rlhf_core.reward.config import RewardConfig
from rlhf_core.reward.losses import ranking_loss
from rlhf_core.reward.model import RewardModel
from rlhf_core.reward.training import RankedPrompt, RewardTraining, batch_pairs, batch_scores

PROMPT_TOKENS, RESPONSE_TOKENS = 128, 64
PROMPTS = {4: 4, 9: 2}  # rankings a step
PAIRS = 8  # TRL's default batch; divides the pairs of a step
RATE, DECAY, MAX_NORM = 1e-4, 0.01, 1.0
SHARE, TOLERANCE = 0.8, 1e-4
STEPS = 200  # of our schedule, more than are taken


def measure(options: Options) -> list[Row]:
    """Two rows for each K: against TRL, and RWKV-7 against it."""
    rows = []
    for size, count in PROMPTS.items():
        rankings = [_ranking(place, size) for place in range(count)]
        trainer = _trl_trainer(rankings)
        _assert_equal(reward_model(DEEP), trainer, rankings)
        ours, rwkv = (_our_step(it, rankings) for it in (reward_model(DEEP), rwkv_reward_model()))
        recorded = profiled(ours)
        if options.profile:
            print_table(recorded)
        seconds = alternate(
            {"ours": ours, "theirs": _trl_step(trainer, rankings), "rwkv": rwkv},
            rounds=10 if options.long else 4,
            budget=options.budget / len(PROMPTS),
        )
        rows += _rows(size, count, seconds, shares(recorded))
    return rows


def limit(size: int) -> float:
    """Tokens that pairs read, over tokens that a ranking of `size` reads."""
    pairs = size * (size - 1) * (PROMPT_TOKENS + RESPONSE_TOKENS)
    return pairs / (PROMPT_TOKENS + size * RESPONSE_TOKENS)


def _ranking(place: int, size: int) -> RankedPrompt:
    pairs = list(combinations(range(size), 2))
    return RankedPrompt(
        random_rows(1, PROMPT_TOKENS, seed=2 * place)[0],
        random_rows(size, RESPONSE_TOKENS, seed=2 * place + 1),
        pairs,
        [1 / comb(size, 2)] * len(pairs),
    )


def _our_step(model: RewardModel, rankings: Sequence[RankedPrompt]) -> Work:
    config = RewardConfig(
        num_epochs=1,
        batch_size=len(rankings),
        learning_rate=RATE,
        weight_decay=DECAY,
        max_grad_norm=MAX_NORM,
        segment_embeddings=False,
    )
    # One long epoch: at its end the weights would be copied.
    return RewardTraining(model, [*rankings] * STEPS, config, pad_id=PAD, seed=0).advance


def _trl_trainer(rankings: Sequence[RankedPrompt]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        trainer = RewardTrainer(
            score_model(DEEP),
            TRLConfig(output_dir=folder, **QUIET),
            train_dataset=Dataset.from_list(_pairs(rankings)),
            processing_class=tokenizer(DEEP),
        )
    # Set by its train method; the loss of a batch is divided by it.
    trainer.current_gradient_accumulation_steps = len(_pairs(rankings)) // PAIRS
    return trainer


def _trl_backward(trainer: Any, rows: Sequence[dict[str, list[int]]]) -> Tensor:
    """Loss of all pairs; the gradients are left in the parameters."""
    batches = [rows[start : start + PAIRS] for start in range(0, len(rows), PAIRS)]
    steps = [trainer.training_step(trainer.model, trainer.data_collator(it)) for it in batches]
    return torch.stack(steps).sum()


def _trl_step(trainer: Any, rankings: Sequence[RankedPrompt]) -> Work:
    rows, model = _pairs(rankings), trainer.model
    optimizer = AdamW(
        model.parameters(), lr=RATE, betas=BETAS, eps=RWKV_EPS, weight_decay=DECAY, fused=True
    )

    def step() -> None:
        _trl_backward(trainer, rows)
        nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _pairs(rankings: Sequence[RankedPrompt]) -> list[dict[str, list[int]]]:
    return [
        {"chosen_ids": it.prompt + it.responses[i], "rejected_ids": it.prompt + it.responses[j]}
        for it in rankings
        for i, j in it.pairs
    ]


def _assert_equal(model: RewardModel, trainer: Any, rankings: Sequence[RankedPrompt]) -> None:
    """Same loss and same gradient norm, else the two do not do the same work."""
    loss = ranking_loss(batch_scores(model, rankings, PAD), *batch_pairs(rankings), len(rankings))
    loss.backward()
    theirs = _trl_backward(trainer, _pairs(rankings))
    ours, expected = _facts(loss, model), _facts(theirs, trainer.model)
    trainer.model.zero_grad()
    if not torch.allclose(ours, expected, rtol=TOLERANCE, atol=0):
        raise AssertionError(f"loss and gradient norm are {ours.tolist()}, not {expected.tolist()}")


def _facts(loss: Tensor, model: nn.Module) -> Tensor:
    norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    return torch.stack([loss.detach(), norm])


def _rows(size: int, count: int, seconds: dict[str, list[float]], reason: str) -> list[Row]:
    ours, theirs, rwkv = (seconds[name] for name in ("ours", "theirs", "rwkv"))
    what = f"Reward model step, {count} rankings of K = {size}"
    against = ratio(theirs, ours)
    goal = SHARE * limit(size)
    note = f"limit {limit(size):.1f}x"
    if against.median < goal:
        note += f"; self CPU time: {reason}"
    return [
        Row(
            what=f"{what}, {DEEP}",
            ours=_milliseconds(ours),
            peer=f"TRL RewardTrainer {_milliseconds(theirs)}",
            ratio=against,
            goal=goal,
            note=note,
        ),
        Row(
            what=f"{what}, {RWKV_NAME}",
            ours=_milliseconds(rwkv),
            peer=f"TRL RewardTrainer, GPT-2, {_milliseconds(theirs)}",
            ratio=ratio(theirs, rwkv),
        ),
    ]


def _milliseconds(seconds: Sequence[float]) -> str:
    return f"{1000 * sorted(seconds)[len(seconds) // 2]:.0f} ms"


if __name__ == "__main__":
    main(measure)
