"""Sizes of an RWKV-4 model. Imports no torch, so that a run's config can be read without it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RWKV4Config:
    """Sizes of an RWKV-4 model.

    Attributes:
        vocab_size: Rows of embedding and head.
        dim: Channels of a hidden state.
        num_layers: Blocks.
        ffn_dim: Width of channel mixing; 0 is replaced by 4 * dim, the width of all released files.
        chunk_size: Tokens that the WKV walks one by one while all chunks go in parallel. Changes
            time and nothing else; about the square root of the usual length is fastest.

    Raises:
        ValueError: If a size is not positive, or too small for the official initialisation.
    """

    vocab_size: int = 1024
    dim: int = 128
    num_layers: int = 3
    ffn_dim: int = 0
    chunk_size: int = 16

    def __post_init__(self) -> None:
        if self.ffn_dim == 0:
            object.__setattr__(self, "ffn_dim", 4 * self.dim)
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("dim", "num_layers"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} is 1; RWKV-4's initialisation needs at least 2")
