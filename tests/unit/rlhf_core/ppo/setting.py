"""A whole PPO setting of tiny models: policy, critic and what stays frozen."""

from typing import Any

from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.critic import Critic
from rlhf_core.ppo.rollout import Actors, Reference, Rollout, assess, sample_episodes
from rlhf_core.ppo.scaling import RunningMoments
from rlhf_core.resume import Metrics
from rlhf_core.reward.normalisation import Normalisation
from rlhf_core.seeding import generator_for
from tests.unit.rlhf_core.builders import EOS, PAD, shaken, tiny_policy, tiny_reward_model

PROMPTS = [[2, 3, 4], [5], [6, 7], [8, 9, 10, 2], [3, 3]]


def tiny_actors() -> Actors:
    """The policy has moved away from its reference, so that no KL term is zero."""
    reward_model, normalisation = tiny_reward_model(), Normalisation(1.5, -0.25)
    return Actors(
        shaken(tiny_policy(), 7, 0.1),
        Critic(reward_model, normalisation),
        Reference(tiny_policy(), reward_model, normalisation),
    )


def exact_actors() -> Actors:
    """The same in float64."""
    policy, critic, (ref_policy, reward_model, normalisation) = tiny_actors()
    assert critic is not None
    frozen = Reference(ref_policy.double(), reward_model.double(), normalisation)
    return Actors(policy.double(), critic.double(), frozen)


def tiny_ppo(**fields: Any) -> PPOConfig:
    small = {"num_iterations": 3, "batch_size": 8, "num_minibatches": 2, "max_tokens": 5}
    return PPOConfig(**{**small, **fields})


def roll(actors: Actors, config: PPOConfig, seed: int = 0) -> tuple[Rollout, Metrics]:
    """A rollout on two passes over the prompts."""
    episodes = sample_episodes(
        actors.policy,
        PROMPTS * 2,
        config,
        pad_id=PAD,
        eos_id=EOS,
        generator=generator_for(seed, "roll"),
    )
    return assess(
        actors, episodes, config, kl_coef=config.kl_coef, moments=RunningMoments(), pad_id=PAD
    )
