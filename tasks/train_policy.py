"""Stage train_policy: PPO on the train prompts against the frozen SFT policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf_core.ppo.config import PPOConfig
from tasks.context import StageContext, Summary

if TYPE_CHECKING:
    from rlhf_core.language.training import Document
    from rlhf_core.tokenizer import Tokenizer

CURVES = ["objective/score", "objective/kl", "objective/response_tokens", "objective/entropy"]
DIAGNOSTICS = [
    "ppo/policy/clip_fraction",
    "ppo/policy/approx_kl",
    "ppo/value/explained_variance",
    "objective/entropy",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPolicyConfig:
    """Config sections that the stage reads."""

    ppo: PPOConfig


def train_policy(
    context: StageContext,
    config: TrainPolicyConfig,
    *,
    split: Path,
    sft: Path,
    train_reward_model: Path,
) -> Summary:
    """Train the policy with PPO; the critic starts from the reward model."""
    from data.errors import InputError
    from rlhf_core.checkpoint import load_policy, save_policy, write_json
    from rlhf_core.ppo.critic import Critic
    from rlhf_core.ppo.rollout import Actors, Reference
    from rlhf_core.ppo.training import PPOTraining
    from rlhf_core.resume import Checkpoints, run
    from rlhf_core.reward.checkpoint import load_scorer
    from tasks.plots import curves

    ppo = config.ppo
    policy, reference = load_policy(sft, context.device), load_policy(sft, context.device)
    scorer = load_scorer(train_reward_model, context.device)
    tokenizer = policy.tokenizer
    prompts = read_prompts(split, tokenizer, ppo.max_prompt_tokens)
    if not prompts:
        raise InputError("no prompt is in the train split; raise corpus.train or add prompts")
    uses_critic = ppo.estimator == "gae"
    training = PPOTraining(
        Actors(
            policy.model,
            Critic(scorer.model, scorer.normalisation) if uses_critic else None,
            Reference(reference.model, scorer.model, scorer.normalisation),
        ),
        prompts,
        ppo,
        pad_id=tokenizer.pad_id,
        eos_id=tokenizer.eos_id,
        seed=context.seed,
        documents=read_documents(split, tokenizer, ppo) if ppo.ptx_coef > 0 else [],
    )
    steps = run(training, Checkpoints(context.checkpoints))
    history = []
    for step, metrics in enumerate(context.progress(steps, "ppo", total=ppo.num_iterations)):
        context.log.metrics(step, metrics)
        history.append(metrics)
    diagnostics = [n for n in DIAGNOSTICS if uses_critic or not n.startswith("ppo/value")]
    context.log.figure("objective", curves(history, CURVES, x_label="iteration", title="PPO"))
    context.log.figure("health", curves(history, diagnostics, x_label="iteration", title="PPO"))
    weights = training.keep_average()
    save_policy(policy, context.out)
    means = tail_means(history, [*CURVES[:2], *diagnostics])
    write_json(
        context.out / "training.json",
        {name.replace("objective/", "ppo/"): {"value": mean} for name, mean in means.items()},
    )
    return {
        "iterations": len(history),
        "prompts": len(prompts),
        "weights": weights,
        "skipped_updates": training.guard.skipped,
        "rollbacks": training.guard.rollbacks,
        **means,
    }


def read_prompts(split: Path, tokenizer: "Tokenizer", max_tokens: int) -> list[list[int]]:
    """Token ids of the train prompts."""
    import polars as pl

    from tasks.texts import encode_prompt

    prompts = pl.read_parquet(split / "prompts.parquet").filter(pl.col("split") == "train")
    return [encode_prompt(tokenizer, messages, max_tokens) for messages in prompts["messages"]]


def read_documents(split: Path, tokenizer: "Tokenizer", config: PPOConfig) -> list["Document"]:
    """The pretraining texts, for the mix of pretraining gradients into PPO."""
    import polars as pl

    from rlhf_core.language.training import Document
    from tasks.texts import cut

    texts = pl.read_parquet(split / "pretrain.parquet")["text"]
    rows = ([*tokenizer.encode(text), tokenizer.eos_id] for text in texts)
    ids, _ = cut(rows, config.max_prompt_tokens + config.max_tokens)
    return [Document(row, 0) for row in ids]


def tail_means(history: Sequence[dict[str, float]], names: Sequence[str]) -> dict[str, float]:
    """Mean of each metric over the last ten steps that have it."""
    tails = {name: [m[name] for m in history if name in m][-10:] for name in names}
    return {name: sum(tail) / len(tail) for name, tail in tails.items() if tail}
