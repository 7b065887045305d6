"""Tiny RWKV-4 models whose every path matters."""

import torch

from rlhf_core.rwkv4.config import RWKV4Config
from rlhf_core.rwkv4.init import initialise
from rlhf_core.rwkv4.model import RWKV4
from rlhf_core.seeding import generator_for
from tests.unit.rlhf_core.builders import shaken

TINY = {"vocab_size": 11, "dim": 16, "num_layers": 2, "chunk_size": 4}


def tiny_config(**sizes: int) -> RWKV4Config:
    return RWKV4Config(**{**TINY, **sizes})


def tiny_rwkv4(seed: int = 0, *, dtype: torch.dtype = torch.float32, **sizes: int) -> RWKV4:
    """Official initialisation plus noise: the zero matrices at step 0 would hide most errors."""
    model = initialise(RWKV4(tiny_config(**sizes)), generator_for(seed, "policy"))
    return shaken(model, seed).to(dtype).eval()
