"""Settings of the tokenizer that pretraining trains. Imports no torch."""

from dataclasses import dataclass

# The 256 bytes, PAD and EOS.
SMALLEST_VOCABULARY = 258


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerConfig:
    """A byte-level BPE tokenizer.

    Attributes:
        vocab_size: Token ids at most, special ones counted.

    Raises:
        ValueError: If the vocabulary cannot hold the bytes and the special tokens.
    """

    vocab_size: int = 512

    def __post_init__(self) -> None:
        if self.vocab_size < SMALLEST_VOCABULARY:
            raise ValueError(
                f"vocab_size is {self.vocab_size}; it must be at least {SMALLEST_VOCABULARY}: "
                "256 bytes, padding and end of sequence"
            )
