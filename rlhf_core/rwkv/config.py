"""Sizes of an RWKV-7 model. Imports no torch, so that a run's config can be read without it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RWKVConfig:
    """Sizes of an RWKV-7 model; ranks are those of the low-rank maps inside time mixing.

    A model pretrained here has the vocabulary of its tokenizer, of at most `vocab_size` tokens.

    Raises:
        ValueError: If a size is not positive or `dim` is no multiple of `head_size`.
    """

    vocab_size: int = 1024
    dim: int = 128
    num_layers: int = 3
    head_size: int = 64
    decay_rank: int = 32
    rate_rank: int = 32
    value_rank: int = 32
    gate_rank: int = 64
    chunk_size: int = 16

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.dim % self.head_size:
            raise ValueError(
                f"dim is {self.dim}, no multiple of head_size {self.head_size}; change either"
            )
        if self.head_size < 2:
            raise ValueError("head_size is 1; RWKV-7's initialisation needs at least 2")
        if self.chunk_size > 256:
            raise ValueError(f"chunk_size is {self.chunk_size}; above 256 float32 overflows")
        if self.num_layers < 2:
            raise ValueError("num_layers is 1; RWKV-7's initialisation needs at least 2 layers")

    @property
    def num_heads(self) -> int:
        """Heads of time mixing."""
        return self.dim // self.head_size

    @property
    def ffn_dim(self) -> int:
        """Width of channel mixing."""
        return 4 * self.dim
