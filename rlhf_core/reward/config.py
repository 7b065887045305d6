"""Settings of the reward model's training. Imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardConfig:
    """Reward-model training; a batch element is a prompt with all its ranked responses.

    Attributes:
        num_epochs: Passes over the prompts; the best epoch by validation accuracy is kept.
        batch_size: Prompts a step.
        learning_rate: Peak rate, cosine to `final_rate` of it.
        weight_decay: On 2-D matrices only.
        adam_eps: RWKV-LM's 1e-18: some RWKV gradients are tiny. For a transformer take 1e-8.
        warmup: Share of the steps with rising rate.
        final_rate: Last rate as a share of the peak; InstructGPT ends at 0.1 (appendix C.2).
        max_grad_norm: Global norm to which gradients are clipped.
        max_tokens: Longest prompt + response; pairs that are equal after the cut are dropped.
        segment_embeddings: Tell prompt from response by two learnt vectors, as the seed does.
        num_folds: Folds of cross-validation over families; 0 for none.
        lora_rank: Train low-rank changes of the backbone's matrices alone; 0 trains all weights.
        lora_alpha: The change is scaled by `lora_alpha` / `lora_rank`.

    Raises:
        ValueError: If a field is out of range.
    """

    num_epochs: int = 3
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    adam_eps: float = 1e-18
    warmup: float = 0.05
    final_rate: float = 0.1
    max_grad_norm: float = 1.0
    max_tokens: int = 256
    segment_embeddings: bool = True
    num_folds: int = 0
    lora_rank: int = 0
    lora_alpha: float = 16.0

    def __post_init__(self) -> None:
        for name in ("num_epochs", "batch_size", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.max_tokens < 2:
            raise ValueError("max_tokens is 1; a prompt and a response need at least 2")
        for name in ("learning_rate", "adam_eps", "max_grad_norm", "lora_alpha"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("warmup", "final_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in 0 to 1")
        if self.lora_rank < 0:
            raise ValueError(f"lora_rank is {self.lora_rank}; it must not be negative")
        if self.num_folds == 1 or self.num_folds < 0:
            raise ValueError(f"num_folds is {self.num_folds}; it must be 0 or at least 2")
