"""Episodes a second of PPO: a rollout of 32 episodes and 4 epochs of updates, float32.

Prompt 64, response 32 tokens, EOS off, so that all are equally long; a minibatch is the whole
rollout, as TRL has it by default. TRL's PPOTrainer.train and our PPOTraining.advance run as they
are, with the same weights, each with a reference, a reward model and a critic of the policy's size.

Two GPT-2s of 5.6M parameters. The wide one has the vocabulary of the released GPT-2s: TRL computes
the logits of all 96 positions, we those of the 32 that predict a response token. In the deep one
nearly all work is in the blocks, which both do alike, so that `limit` is close to 1. The time of an
RWKV-7 of the same size stands beside it.
"""

import contextlib
import io
import tempfile
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback
from trl.experimental.ppo import PPOConfig as TRLConfig
from trl.experimental.ppo import PPOTrainer

from benchmarks.command import Options, main
from benchmarks.gpt2 import (
    DEEP,
    PAD,
    QUIET,
    RWKV_NAME,
    WIDE,
    Size,
    language_model,
    policy,
    random_rows,
    reward_model,
    rwkv,
    rwkv_reward_model,
    score_model,
    tokenizer,
)
from benchmarks.profiling import print_table, profiled, shares
from benchmarks.rows import Row
from benchmarks.timing import Work, alternate, ratio
from rlhf_core.backbones import Backbone
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.critic import Critic
from rlhf_core.ppo.rollout import Actors, Reference
from rlhf_core.ppo.training import PPOTraining
from rlhf_core.reward.model import RewardModel
from rlhf_core.reward.normalisation import Normalisation

EPISODES, EPOCHS, PROMPT_TOKENS, RESPONSE_TOKENS = 32, 4, 64, 32
NO_EOS, RATE, GOAL = -1, 1e-6, 2.0
STEPS = 10_000  # of our schedule, more than are taken
WHAT = f"PPO, {EPISODES} x ({PROMPT_TOKENS} + {RESPONSE_TOKENS}) tokens, {EPOCHS} epochs"


def measure(options: Options) -> list[Row]:
    """A row for each GPT-2 against TRL, then RWKV-7."""
    rows = []
    for size in (WIDE, DEEP):
        ours = _our_step(policy(size), policy(size), reward_model(size))
        pieces = {"ours": ours, "theirs": _trl_step(size)}
        if size == DEEP:
            pieces["rwkv"] = _our_step(rwkv(), rwkv(), rwkv_reward_model())
        seconds = alternate(pieces, rounds=10 if options.long else 3, budget=options.budget / 2)
        recorded = profiled(ours, calls=1, is_warm=True)
        if options.profile:
            print_table(recorded)
        rows += _rows(size, seconds, shares(recorded))
    return rows


def limit(size: Size) -> float:
    """TRL's matrix products with weights over ours, in a whole step.

    In forward passes over an episode's tokens; a backward pass counts two. Bodies: rollout,
    reference, value and score once each, ours the policy once more for its old log-probabilities,
    which TRL takes from sampling; policy and critic in each epoch. TRL's heads read prompts too.
    """
    body, head = 12 * size.num_layers * size.dim**2, size.dim * size.vocab_size
    share, updates = RESPONSE_TOKENS / (PROMPT_TOKENS + RESPONSE_TOKENS), 3 * EPOCHS
    theirs = body * (4 + 2 * updates) + head * (share + 1 + updates)
    return theirs / (body * (5 + 2 * updates) + head * share * (3 + updates))


def _our_step(learner: Backbone, reference: Backbone, scorer: RewardModel) -> Work:
    as_it_is = Normalisation(1.0, 0.0)
    config = PPOConfig(
        num_iterations=STEPS,
        batch_size=EPISODES,
        num_epochs=EPOCHS,
        num_minibatches=1,
        learning_rate=RATE,
        value_learning_rate=RATE,
        max_tokens=RESPONSE_TOKENS,
    )
    return PPOTraining(
        Actors(learner, Critic(scorer, as_it_is), Reference(reference, scorer, as_it_is)),
        random_rows(EPISODES, PROMPT_TOKENS, seed=0),
        config,
        pad_id=PAD,
        eos_id=NO_EOS,
        seed=0,
    ).advance


def _trl_step(size: Size) -> Work:
    """One rollout and its updates, by TRL's own method; what it prints is thrown away."""
    prompts = random_rows(EPISODES, PROMPT_TOKENS, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        trainer: Any = PPOTrainer(
            args=_trl_config(folder),
            processing_class=tokenizer(size),
            model=language_model(size),
            ref_model=language_model(size),
            reward_model=score_model(size),
            value_model=score_model(size),
            train_dataset=Dataset.from_dict({"input_ids": prompts}),
        )
    trainer.remove_callback(PrinterCallback)

    def step() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train()

    return step


def _trl_config(folder: str) -> Any:
    return TRLConfig(
        output_dir=folder,
        per_device_train_batch_size=EPISODES,
        total_episodes=EPISODES,
        num_ppo_epochs=EPOCHS,
        num_mini_batches=1,
        response_length=RESPONSE_TOKENS,
        num_sample_generations=0,
        learning_rate=RATE,
        temperature=1.0,
        **QUIET,
    )


def _rows(size: Size, seconds: dict[str, list[float]], reason: str) -> list[Row]:
    note = f"TRL's matrix products are {limit(size):.2f}x ours"
    if ratio(seconds["theirs"], seconds["ours"]).median < GOAL:
        note += f"; self CPU time: {reason}"
    rows = [_row(str(size), "ours", seconds, goal=GOAL, note=note)]
    if size == DEEP:
        rows.append(_row(f"{RWKV_NAME} (TRL: GPT-2)", "rwkv", seconds))
    return rows


def _row(
    what: str,
    name: str,
    seconds: dict[str, list[float]],
    *,
    goal: float | None = None,
    note: str = "",
) -> Row:
    return Row(
        what=f"{WHAT}, {what}",
        ours=_rate(seconds[name]),
        peer=f"TRL PPOTrainer {_rate(seconds['theirs'])}",
        ratio=ratio(seconds["theirs"], seconds[name]),
        goal=goal,
        note=note,
    )


def _rate(seconds: Sequence[float]) -> str:
    middle = sorted(seconds)[len(seconds) // 2]
    return f"{EPISODES / middle:.2f} episodes/s"


if __name__ == "__main__":
    main(measure)
