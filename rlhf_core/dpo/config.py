"""Settings of direct preference optimisation. Imports no torch.

Sources: [DPO] arXiv:2305.18290; [cDPO] E. Mitchell, A note on DPO with noisy preferences, 2023.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DPOConfig:
    """DPO as a baseline; a batch element is a prompt with all its ranked responses.

    Attributes:
        num_epochs: Passes over the prompts; 0 leaves the baseline out.
        batch_size: Prompts a step.
        beta: Weight of the KL to the SFT policy that the loss stands for; 0.1 [DPO].
        label_smoothing: Share of pairs taken to be labelled the wrong way round [cDPO]; 0 [DPO].
        learning_rate: Peak rate, cosine to `final_rate` of it.
        weight_decay: On 2-D matrices only.
        adam_eps: RWKV-LM's 1e-18: some RWKV gradients are tiny. For a transformer take 1e-8.
        warmup: Share of the steps with rising rate.
        final_rate: Last rate as a share of the peak.
        max_grad_norm: Global norm to which gradients are clipped.
        max_tokens: Longest prompt + response; pairs that are equal after the cut are dropped.

    Raises:
        ValueError: If a field is out of range.
    """

    num_epochs: int = 0
    batch_size: int = 16
    beta: float = 0.1
    label_smoothing: float = 0.0
    learning_rate: float = 3e-4
    weight_decay: float = 0.0
    adam_eps: float = 1e-18
    warmup: float = 0.1
    final_rate: float = 0.0
    max_grad_norm: float = 1.0
    max_tokens: int = 256

    def __post_init__(self) -> None:
        for name in ("num_epochs", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; it must be at least 1")
        if self.max_tokens < 2:
            raise ValueError(
                f"max_tokens is {self.max_tokens}; a prompt and a response need at least 2"
            )
        for name in ("beta", "learning_rate", "adam_eps", "max_grad_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("warmup", "final_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in 0 to 1")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(
                f"label_smoothing is {self.label_smoothing}; it must be at least 0 and below 0.5: "
                "from there on the labels say nothing, or the contrary"
            )
