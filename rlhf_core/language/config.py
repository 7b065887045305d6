"""Settings of a language-model training. Imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageConfig:
    """Pretraining or supervised fine-tuning: AdamW, linear warm-up, cosine decay.

    Attributes:
        num_steps: Optimiser steps.
        batch_size: Sequences a step.
        learning_rate: Peak rate; `att.w0` trains at twice this (RWKV-LM).
        weight_decay: On 2-D matrices only.
        adam_eps: RWKV-LM's 1e-18: some RWKV gradients are tiny. For a transformer take 1e-8.
        warmup: Share of the steps with rising rate, in [0, 1].
        final_rate: Last rate as a share of the peak, in [0, 1].
        max_grad_norm: Global norm to which gradients are clipped.
        max_tokens: Sequences are cut here; how many were is reported.

    Raises:
        ValueError: If a field is out of range.
    """

    num_steps: int = 300
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    adam_eps: float = 1e-18
    warmup: float = 0.05
    final_rate: float = 0.1
    max_grad_norm: float = 1.0
    max_tokens: int = 256

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.max_tokens < 2:
            raise ValueError("max_tokens is 1; a prompt and a response need at least 2")
        for name in ("learning_rate", "adam_eps", "max_grad_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("warmup", "final_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in 0 to 1")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay is {self.weight_decay}; it must not be negative")
