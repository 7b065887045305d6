"""Stage train_policy: PPO on the train prompts against the frozen SFT policy."""

from dataclasses import dataclass
from pathlib import Path

from rlhf_core.ppo.config import PPOConfig
from tasks.context import StageContext, Summary

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
    import polars as pl

    from data.errors import InputError
    from rlhf_core.checkpoint import load_policy, save_policy, write_json
    from rlhf_core.ppo.critic import Critic
    from rlhf_core.ppo.rollout import Reference
    from rlhf_core.ppo.training import train_policy as train
    from rlhf_core.reward.checkpoint import load_scorer
    from tasks.plots import curves
    from tasks.texts import encode_prompt

    policy, reference = load_policy(sft, context.device), load_policy(sft, context.device)
    scorer = load_scorer(train_reward_model, context.device)
    prompts = pl.read_parquet(split / "prompts.parquet").filter(pl.col("split") == "train")
    if prompts.is_empty():
        raise InputError("no prompt is in the train split; raise corpus.train or add prompts")
    tokenizer = policy.tokenizer
    steps = train(
        policy.model,
        Critic(scorer.model, scorer.normalisation),
        Reference(reference.model, scorer.model, scorer.normalisation),
        [encode_prompt(tokenizer, it, config.ppo.max_prompt_tokens) for it in prompts["messages"]],
        config.ppo,
        pad_id=tokenizer.pad_id,
        eos_id=tokenizer.eos_id,
        seed=context.seed,
    )
    history = []
    for step, metrics in enumerate(context.progress(steps, "ppo", total=config.ppo.num_iterations)):
        context.log.metrics(step, metrics)
        history.append(metrics)
    context.log.figure("objective", curves(history, CURVES, x_label="iteration", title="PPO"))
    context.log.figure("health", curves(history, DIAGNOSTICS, x_label="iteration", title="PPO"))
    save_policy(policy, context.out)
    tail = history[-10:]
    means = {name: sum(m[name] for m in tail) / len(tail) for name in [*CURVES[:2], *DIAGNOSTICS]}
    write_json(
        context.out / "training.json",
        {name.replace("objective/", "ppo/"): {"value": mean} for name, mean in means.items()},
    )
    return {"iterations": len(history), "prompts": len(prompts), **means}
