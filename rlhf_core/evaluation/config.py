"""Settings of the evaluation. Imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """How SFT and PPO policy are compared on the test split.

    Attributes:
        num_prompts: Test prompts to answer, spread over the families; 0 for all.
        responses_per_prompt: Replies a prompt and model.
        temperature: Divides the logits; no top-k, no top-p.
        max_prompt_tokens: A longer prompt loses its beginning.
        max_tokens: Longest reply, EOS included.
        batch_size: Prompts answered at once.
        num_resamples: Bootstrap resamples of families.
        best_of_n: Replies a prompt of the SFT policy among which best-of-n chooses; 0 leaves that
            curve out.

    Raises:
        ValueError: If a field is out of range.
    """

    num_prompts: int = 0
    responses_per_prompt: int = 8
    temperature: float = 1.0
    max_prompt_tokens: int = 256
    max_tokens: int = 48
    batch_size: int = 32
    num_resamples: int = 2000
    best_of_n: int = 16

    def __post_init__(self) -> None:
        for name in ("num_prompts", "best_of_n"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        for name in (
            "responses_per_prompt",
            "max_prompt_tokens",
            "max_tokens",
            "batch_size",
            "num_resamples",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")
