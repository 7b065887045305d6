"""How responses are drawn. Imports no torch, so that a run's config can be read without it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateConfig:
    """How the K responses of a set are drawn.

    Attributes:
        responses_per_prompt: K, 2 to 9; InstructGPT used 4 to 9 (arXiv:2203.02155, section 3.5).
        temperature: Divides the logits, above 0.
        max_prompt_tokens: A longer prompt loses its beginning.
        max_tokens: Longest response, EOS included.
        batch_size: Prompts answered at once.

    Raises:
        ValueError: If a field is out of range.
    """

    responses_per_prompt: int = 4
    temperature: float = 1.0
    max_prompt_tokens: int = 256
    max_tokens: int = 48
    batch_size: int = 64

    def __post_init__(self) -> None:
        if not 2 <= self.responses_per_prompt <= 9:
            raise ValueError(
                f"responses_per_prompt is {self.responses_per_prompt}; a ranking needs 2 to 9"
            )
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")
        for name in ("max_prompt_tokens", "max_tokens", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
