"""Settings of PPO, each with the source of its default. Imports no torch.

Sources: [IG] InstructGPT arXiv:2203.02155 appendix C; [OAI] openai/lm-human-preferences
train_policy.py; [N+] arXiv:2403.17031 (The N+ Implementation Details of RLHF with PPO).
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig:
    """PPO with a separate critic and a per-token KL penalty in the reward.

    Attributes:
        num_iterations: Rollouts, each followed by `num_epochs` x `num_minibatches` updates.
        batch_size: Episodes a rollout.
        num_epochs: Passes over a rollout; [OAI] 4, [IG] 1.
        num_minibatches: Updates a pass.
        learning_rate: Of the policy, linear to 0 over the run [OAI].
        value_learning_rate: Of the critic [IG: apart from the policy's].
        adam_eps: [OAI] 1e-5.
        max_grad_norm: Global norm to which gradients are clipped.
        temperature: Divides the logits in rollout, reference and update alike.
        max_prompt_tokens: A longer prompt loses its beginning.
        max_tokens: Longest response, EOS included.
        discount: gamma; 1 [IG].
        gae_lambda: lambda; 0.95 [OAI].
        clip_ratio: Policy ratio clip; 0.2 [OAI, IG].
        value_clip: Clip of the value change; 0.2 [OAI].
        kl_coef: Weight of the KL penalty (the start value if adaptive); 0.02 [IG], 0.05 [N+].
        kl_control: "fixed", or "adaptive" towards `kl_target` [OAI].
        kl_target: Nats per sequence (summed over tokens, as [OAI]).
        kl_horizon: Episodes over which the adaptive coefficient moves [OAI].
        missing_eos_score: Score of a response without EOS, in place of the model's [N+].
        whiten_rewards: Rescale rewards to variance 1, mean kept [OAI]; off [N+].

    Raises:
        ValueError: If a field is out of range.
    """

    num_iterations: int = 50
    batch_size: int = 64
    num_epochs: int = 2
    num_minibatches: int = 2
    learning_rate: float = 3e-4
    value_learning_rate: float = 1e-3
    adam_eps: float = 1e-5
    max_grad_norm: float = 1.0
    temperature: float = 1.0
    max_prompt_tokens: int = 256
    max_tokens: int = 48
    discount: float = 1.0
    gae_lambda: float = 0.95
    clip_ratio: float = 0.2
    value_clip: float = 0.2
    kl_coef: float = 0.05
    kl_control: Literal["fixed", "adaptive"] = "fixed"
    kl_target: float = 6.0
    kl_horizon: int = 10000
    missing_eos_score: float = -1.0
    whiten_rewards: bool = False

    def __post_init__(self) -> None:
        for name in (
            "num_iterations",
            "batch_size",
            "num_epochs",
            "num_minibatches",
            "max_prompt_tokens",
            "max_tokens",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        positive = ("learning_rate", "value_learning_rate", "temperature", "clip_ratio")
        for name in (*positive, "value_clip", "max_grad_norm", "kl_target", "kl_horizon"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("discount", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in 0 to 1")
        if self.kl_coef < 0:
            raise ValueError(f"kl_coef is {self.kl_coef}; it must not be negative")
        if self.batch_size % self.num_minibatches:
            raise ValueError(
                f"batch_size is {self.batch_size}, no multiple of num_minibatches "
                f"{self.num_minibatches}; change either"
            )
