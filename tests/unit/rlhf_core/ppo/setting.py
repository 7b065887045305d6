"""A whole PPO setting of tiny models: policy, critic and what stays frozen."""

from typing import Any, NamedTuple

from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.critic import Critic
from rlhf_core.ppo.rollout import Reference, Rollout, collect_rollout
from rlhf_core.reward.normalisation import Normalisation
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import generator_for
from tests.unit.rlhf_core.builders import EOS, PAD, shaken, tiny_policy, tiny_reward_model

PROMPTS = [[2, 3, 4], [5], [6, 7], [8, 9, 10, 2], [3, 3]]


class Setting(NamedTuple):
    """Models of one PPO run."""

    policy: RWKV
    critic: Critic
    reference: Reference


def tiny_setting() -> Setting:
    """The policy has moved away from its reference, so that no KL term is zero."""
    reward_model, normalisation = tiny_reward_model(), Normalisation(1.5, -0.25)
    return Setting(
        shaken(tiny_policy(), 7, 0.1),
        Critic(reward_model, normalisation),
        Reference(tiny_policy(), reward_model, normalisation),
    )


def tiny_ppo(**fields: Any) -> PPOConfig:
    small = {"num_iterations": 3, "batch_size": 8, "num_minibatches": 2, "max_tokens": 5}
    return PPOConfig(**{**small, **fields})


def roll(setting: Setting, config: PPOConfig, seed: int = 0) -> tuple[Rollout, dict[str, float]]:
    """A rollout on two passes over the prompts."""
    return collect_rollout(
        *setting,
        PROMPTS * 2,
        config,
        kl_coef=config.kl_coef,
        pad_id=PAD,
        eos_id=EOS,
        generator=generator_for(seed, "roll"),
    )
