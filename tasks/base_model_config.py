"""The model that a run starts from. Imports no torch, so that a run's config can be read fast."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModelConfig:
    """A model of the user's in the place of one trained from scratch.

    Attributes:
        path: A policy directory of ours, or the folder of a causal language model of transformers
            (config.json, safetensors, tokenizer), read from the disk alone. The sections `model`
            and `pretrain` are unused then. Empty: the stage pretrain trains a model.
    """

    path: str = field(default="", metadata={"folder": True})
