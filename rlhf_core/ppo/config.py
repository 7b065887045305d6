"""Settings of PPO, each with the source of its default. Imports no torch.

Sources: [IG] InstructGPT arXiv:2203.02155 appendix C; [OAI] openai/lm-human-preferences
train_policy.py; [N+] arXiv:2403.17031 (The N+ Implementation Details of RLHF with PPO); [TRL] the
PPOTrainer of trl 1.12; [RLOO] arXiv:2402.14740; [GRPO] arXiv:2402.03300. docs/maths.md has a table
of who does what.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, get_args

AT_LEAST_ONE = (
    "num_iterations",
    "batch_size",
    "samples_per_prompt",
    "num_epochs",
    "num_minibatches",
    "max_prompt_tokens",
    "max_tokens",
    "ptx_batch_size",
)
POSITIVE = (
    "learning_rate",
    "value_learning_rate",
    "adam_eps",
    "max_grad_norm",
    "temperature",
    "clip_ratio",
    "value_clip",
    "kl_target",
    "kl_horizon",
    "lora_alpha",
)
NOT_NEGATIVE = ("kl_coef", "value_coef", "ptx_coef", "lora_rank")
# NaN is within no bounds.
RULES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (AT_LEAST_ONE, lambda value: value >= 1, "be at least 1"),
    (POSITIVE, lambda value: value > 0, "be above 0"),
    (NOT_NEGATIVE, lambda value: value >= 0, "not be negative"),
    (("discount", "gae_lambda"), lambda value: 0 <= value <= 1, "lie in 0 to 1"),
    (("ema_decay", "adam_beta2"), lambda value: 0 <= value < 1, "be at least 0 and below 1"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig:
    """PPO with a per-token KL penalty, or its critic-free relatives behind the same loop.

    Attributes:
        estimator: "gae" with a critic [OAI, IG], or an episode's return against the others of its
            prompt: "rloo" [RLOO], "grpo" [GRPO].
        num_iterations: Rollouts, each followed by `num_epochs` x `num_minibatches` updates.
        batch_size: Episodes a rollout.
        samples_per_prompt: Episodes a prompt; 1 [OAI, IG], at least 2 without a critic.
        num_epochs: Passes over a rollout; [OAI] 4, [IG] 1.
        num_minibatches: Updates a pass.
        learning_rate: Of the policy, linear to 0 over the run [OAI].
        value_learning_rate: Of the critic [IG: apart from the policy's].
        adam_eps: [OAI] 1e-5.
        adam_beta2: Decay of the second moment; 0.99 as RWKV-LM, 0.95 [IG], 0.999 [TRL]. The
            first is 0.9 everywhere.
        max_grad_norm: Global norm to which gradients are clipped.
        temperature: Divides the logits in rollout, reference and update alike.
        max_prompt_tokens: A longer prompt loses its beginning.
        max_tokens: Longest response, EOS included.
        discount: gamma; 1 [IG]. Read by "gae" alone, as `gae_lambda` and all about values.
        gae_lambda: lambda; 0.95 [OAI].
        clip_ratio: Policy ratio clip; 0.2 [OAI, IG].
        value_clip: Clip of the value change; 0.2 [OAI].
        value_coef: Weight of the critic's loss; it scales the critic's gradients alone. [TRL] 0.1.
        score_position: The score stands on the "last" response token [OAI], or on the position
            "after_eos" [N+, TRL].
        missing_eos: Without EOS, `missing_eos_score` may "replace" the score [OAI, N+] or be
            "add"ed to it [TRL subtracts a penalty].
        missing_eos_score: -1 [OAI, N+].
        scale_scores: Divide scores by their running standard deviation [trlx].
        whiten_rewards: Rescale rewards to variance 1, mean kept [OAI]; off [N+].
        whiten_advantages: Shift and scale advantages to mean 0 and variance 1 [OAI].
        variance: Of whitening: "biased" divides by n [OAI, N+], "unbiased" by n - 1 [TRL].
        kl_estimator: k1, k2 or k3 (rlhf_core.logprobs); k1 [OAI, IG], k3 [GRPO].
        kl_placement: In the "reward" [OAI, IG, RLOO] or in the "loss" [GRPO], where k1 would have
            no mean gradient, k2 has that of KL(pi || ref) and k3 that of KL(ref || pi).
        kl_coef: Weight of the KL penalty (the start value if adaptive); 0.02 [IG], 0.05 [N+].
        kl_control: "fixed", or "adaptive" towards `kl_target` [OAI].
        kl_target: Nats per sequence (summed over tokens, as [OAI]).
        kl_horizon: Episodes over which the adaptive coefficient moves [OAI].
        ptx_coef: Weight of the pretraining loss in each update; 0 is off, 27.8 [IG].
        ptx_batch_size: Pretraining documents an update.
        ema_decay: Of the moving average of the policy's weights, which is then what is kept;
            0 is off, 0.992 [IG].
        lora_rank: Train low-rank changes of the matrices alone; 0 trains all weights.
        lora_alpha: The change is scaled by `lora_alpha` / `lora_rank`.

    Raises:
        ValueError: If a field is out of range.
    """

    estimator: Literal["gae", "rloo", "grpo"] = "gae"
    num_iterations: int = 50
    batch_size: int = 64
    samples_per_prompt: int = 1
    num_epochs: int = 2
    num_minibatches: int = 2
    learning_rate: float = 3e-4
    value_learning_rate: float = 1e-3
    adam_eps: float = 1e-5
    adam_beta2: float = 0.99
    max_grad_norm: float = 1.0
    temperature: float = 1.0
    max_prompt_tokens: int = 256
    max_tokens: int = 48
    discount: float = 1.0
    gae_lambda: float = 0.95
    clip_ratio: float = 0.2
    value_clip: float = 0.2
    value_coef: float = 1.0
    score_position: Literal["last", "after_eos"] = "last"
    missing_eos: Literal["replace", "add"] = "replace"
    missing_eos_score: float = -1.0
    scale_scores: bool = False
    whiten_rewards: bool = False
    whiten_advantages: bool = True
    variance: Literal["biased", "unbiased"] = "biased"
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    kl_placement: Literal["reward", "loss"] = "reward"
    kl_coef: float = 0.05
    kl_control: Literal["fixed", "adaptive"] = "fixed"
    kl_target: float = 6.0
    kl_horizon: int = 10000
    ptx_coef: float = 0.0
    ptx_batch_size: int = 8
    ema_decay: float = 0.0
    lora_rank: int = 0
    lora_alpha: float = 16.0

    def __post_init__(self) -> None:
        for names, is_allowed, rule in RULES:
            for name in names:
                if not is_allowed(getattr(self, name)):
                    raise ValueError(f"{name} is {getattr(self, name)}; it must {rule}")
        for field in fields(self):
            choices = get_args(field.type)
            if choices and getattr(self, field.name) not in choices:
                raise ValueError(
                    f"{field.name} is {getattr(self, field.name)!r}; it must be one of {choices}"
                )
        self._check_together()

    def _check_together(self) -> None:
        for name in ("num_minibatches", "samples_per_prompt"):
            if self.batch_size % getattr(self, name):
                raise ValueError(
                    f"batch_size is {self.batch_size}, no multiple of {name} "
                    f"{getattr(self, name)}; change either"
                )
        if self.estimator != "gae" and self.samples_per_prompt < 2:
            raise ValueError(
                f"estimator {self.estimator} compares the episodes of a prompt; set "
                "samples_per_prompt to at least 2"
            )
        if self.estimator != "gae" and self.discount != 1:
            raise ValueError(
                f"discount is {self.discount}, which {self.estimator} does not know; set it to 1"
            )
        if self.ema_decay and self.lora_rank:
            raise ValueError(
                "ema_decay and lora_rank exclude each other: an average of factors is not one of "
                "weights; set one of them to 0"
            )
        if (self.kl_placement, self.kl_estimator) == ("loss", "k1"):
            raise ValueError(
                'kl_placement is "loss" with kl_estimator "k1", whose mean gradient is zero; set '
                'kl_estimator to "k2" or "k3"'
            )
