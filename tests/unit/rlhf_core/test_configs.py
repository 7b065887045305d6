"""Every range check of every config: it raises, and names the field."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from rlhf_core.dpo.config import DPOConfig
from rlhf_core.evaluation.config import EvaluateConfig
from rlhf_core.generation_config import GenerateConfig
from rlhf_core.language.config import LanguageConfig
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.reward.config import RewardConfig
from rlhf_core.rwkv.config import RWKVConfig

CONFIGS = [
    DPOConfig,
    EvaluateConfig,
    GenerateConfig,
    LanguageConfig,
    PPOConfig,
    RewardConfig,
    RWKVConfig,
]
BAD: list[tuple[type, str, Any]] = [
    *((DPOConfig, name, -1) for name in ("num_epochs", "batch_size", "weight_decay")),
    *((DPOConfig, name, 0.0) for name in ("beta", "learning_rate", "max_grad_norm")),
    *((DPOConfig, name, 1.1) for name in ("warmup", "final_rate")),
    *((DPOConfig, "label_smoothing", share) for share in (-0.1, 0.5)),
    (DPOConfig, "max_tokens", 1),
    *((EvaluateConfig, name, -1) for name in ("num_prompts", "best_of_n")),
    *((EvaluateConfig, name, 0) for name in ("responses_per_prompt", "max_tokens")),
    *((EvaluateConfig, name, 0) for name in ("batch_size", "num_resamples", "temperature")),
    (GenerateConfig, "responses_per_prompt", 1),
    (GenerateConfig, "responses_per_prompt", 10),
    *((GenerateConfig, name, 0) for name in ("temperature", "max_tokens", "batch_size")),
    *((LanguageConfig, name, 0) for name in ("num_steps", "batch_size", "max_tokens")),
    *((LanguageConfig, name, 0.0) for name in ("learning_rate", "max_grad_norm")),
    *((LanguageConfig, name, 1.1) for name in ("warmup", "final_rate")),
    (LanguageConfig, "weight_decay", -0.1),
    *((PPOConfig, name, 0) for name in ("num_iterations", "batch_size", "num_epochs")),
    *((PPOConfig, name, 0) for name in ("num_minibatches", "max_tokens", "kl_horizon")),
    *((PPOConfig, name, 0) for name in ("samples_per_prompt", "ptx_batch_size")),
    *((PPOConfig, name, 0.0) for name in ("adam_eps", "lora_alpha")),
    *((PPOConfig, name, -0.1) for name in ("value_coef", "ptx_coef", "ema_decay", "lora_rank")),
    (PPOConfig, "ema_decay", 1.0),
    (PPOConfig, "samples_per_prompt", 3),
    (PPOConfig, "kl_placement", "loss"),
    (PPOConfig, "estimator", "rlooo"),
    (PPOConfig, "learning_rate", float("nan")),
    *((PPOConfig, "adam_beta2", value) for value in (-0.1, 1.0)),
    *((PPOConfig, "estimator", estimator) for estimator in ("rloo", "grpo")),
    *((PPOConfig, name, 0.0) for name in ("learning_rate", "value_learning_rate", "temperature")),
    *((PPOConfig, name, 0.0) for name in ("clip_ratio", "value_clip", "max_grad_norm")),
    *((PPOConfig, name, -0.1) for name in ("discount", "gae_lambda", "kl_coef", "kl_target")),
    *((PPOConfig, name, 1.1) for name in ("discount", "gae_lambda")),
    (PPOConfig, "num_minibatches", 3),
    *((RewardConfig, name, 0) for name in ("num_epochs", "batch_size", "max_tokens")),
    *((RewardConfig, name, 0.0) for name in ("learning_rate", "max_grad_norm")),
    *((RewardConfig, name, -0.1) for name in ("warmup", "final_rate")),
    *((RewardConfig, "num_folds", folds) for folds in (1, -1)),
    *((RWKVConfig, name, 0) for name in ("vocab_size", "dim", "head_size", "chunk_size")),
    *((RWKVConfig, name, 0) for name in ("decay_rank", "rate_rank", "value_rank", "gate_rank")),
    (RWKVConfig, "dim", 100),
    (RWKVConfig, "num_layers", 1),
]


@pytest.mark.parametrize(("config", "field", "value"), BAD)
def test_a_value_out_of_range_is_refused_by_name(config: type, field: str, value: Any) -> None:
    # Guards: a bad setting that shows as a crash or a bad model an hour later.
    with pytest.raises(ValueError, match=field):
        config(**{field: value})


@pytest.mark.parametrize("config", CONFIGS)
def test_configs_are_valid_by_default_and_frozen(config: type) -> None:
    # Guards: a config changed after it went into a cache key.
    made = config()
    name = config.__slots__[0]  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError):
        setattr(made, name, 1)
    with pytest.raises(TypeError):
        config(no_such_field=1)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"ema_decay": 0.9, "lora_rank": 4}, "ema_decay and lora_rank"),
        ({"estimator": "rloo", "samples_per_prompt": 4, "discount": 0.5}, "discount"),
    ],
)
def test_fields_of_ppo_that_do_not_go_together_are_refused(
    fields: dict[str, Any], named: str
) -> None:
    # Guards: a field that is set and has no effect, or another than its name says.
    with pytest.raises(ValueError, match=named):
        PPOConfig(**fields)
