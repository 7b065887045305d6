"""Stage train_policy: PPO on the train prompts against the frozen SFT policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf_core.ppo.config import PPOConfig
from tasks.context import StageContext, Summary

if TYPE_CHECKING:
    from rlhf_core.backbones import Backbone
    from rlhf_core.language.training import Document
    from rlhf_core.ppo.rollout import Actors, Reference
    from rlhf_core.text_tokenizer import TextTokenizer

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
    from rlhf_core.lora import merge_lora
    from rlhf_core.ppo.rollout import Reference
    from rlhf_core.ppo.training import PPOTraining
    from rlhf_core.resume import Checkpoints, run
    from rlhf_core.reward.checkpoint import load_scorer

    ppo = config.ppo
    policy, reference = load_policy(sft, context.device), load_policy(sft, context.device)
    scorer = load_scorer(train_reward_model, context.device)
    tokenizer = policy.tokenizer
    prompts = read_prompts(split, tokenizer, ppo.max_prompt_tokens)
    if not prompts:
        raise InputError("no prompt is in the train split; raise corpus.train or add prompts")
    training = PPOTraining(
        prepare_actors(
            policy.model,
            Reference(reference.model, scorer.model, scorer.normalisation),
            ppo,
            seed=context.seed,
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
    weights = training.keep_average()
    merge_lora(policy.model)
    save_policy(policy, context.out)
    means = log_history(context, history)
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


def prepare_actors(
    policy: "Backbone", reference: "Reference", config: PPOConfig, *, seed: int
) -> "Actors":
    """Policy and critic ready to learn: low-rank adapters where wanted, a critic where needed."""
    from rlhf_core.lora import add_lora
    from rlhf_core.ppo.critic import Critic
    from rlhf_core.ppo.rollout import Actors
    from rlhf_core.seeding import generator_for

    critic = None
    if config.estimator == "gae":
        critic = Critic(reference.reward_model, reference.normalisation)
    learners = {"policy": policy, "critic": critic.network.backbone if critic else None}
    for name, model in learners.items():
        if config.lora_rank and model is not None:
            generator = generator_for(seed, f"{name} adapters")
            add_lora(model, rank=config.lora_rank, alpha=config.lora_alpha, generator=generator)
    return Actors(policy, critic, reference)


def log_history(context: StageContext, history: Sequence[dict[str, float]]) -> dict[str, float]:
    """Plot the run; returns the mean of the main metrics over its last ten steps."""
    from tasks.plots import curves

    # A step whose updates were all skipped lacks some; without a critic nothing is of a value.
    named = set().union(*history)
    diagnostics = [name for name in DIAGNOSTICS if name in named]
    for title, names in (("objective", CURVES), ("health", diagnostics)):
        context.log.figure(title, curves(history, names, x_label="iteration", title="PPO"))
    names = [*CURVES[:2], *diagnostics]
    tails = {name: [m[name] for m in history if name in m][-10:] for name in names}
    return {name: sum(tail) / len(tail) for name, tail in tails.items()}


def read_prompts(split: Path, tokenizer: "TextTokenizer", max_tokens: int) -> list[list[int]]:
    """Token ids of the train prompts."""
    import polars as pl

    from tasks.texts import encode_prompt

    prompts = pl.read_parquet(split / "prompts.parquet").filter(pl.col("split") == "train")
    return [encode_prompt(tokenizer, messages, max_tokens) for messages in prompts["messages"]]


def read_documents(split: Path, tokenizer: "TextTokenizer", config: PPOConfig) -> list["Document"]:
    """The pretraining texts, for the mix of pretraining gradients into PPO."""
    import polars as pl

    from data.errors import InputError
    from rlhf_core.language.training import Document
    from tasks.texts import cut

    texts = pl.read_parquet(split / "pretrain.parquet")["text"]
    if texts.is_empty():
        raise InputError(
            "ppo.ptx_coef is above 0, but there is no pretraining text; set corpus.pretrain, or 0"
        )
    rows = ([*tokenizer.start_ids, *tokenizer.encode(text), tokenizer.eos_id] for text in texts)
    ids, _ = cut(rows, config.max_prompt_tokens + config.max_tokens)
    return [Document(row, 0) for row in ids]
