"""The 4.5M-parameter RWKV-7 that is timed, and the same weights in `rwkv7_hf`.

Weights are the official initialisation plus noise: with its zero matrices, half of the model
would not show in a comparison of logits.
"""

from typing import Any

import torch
from rwkv7_hf import RWKV7ForCausalLM
from rwkv7_hf.converter import infer_config, prepare_translated_weight, translate_name
from torch import Generator, Tensor, nn

from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.init import initialise
from rlhf_core.rwkv.model import RWKV

CONFIG = RWKVConfig(vocab_size=2048, dim=256, num_layers=4)
NOISE = 0.02


def our_model() -> RWKV:
    """L4 C256 V2048, ranks as the official formula gives them; the same weights at every call."""
    generator = Generator().manual_seed(0)
    model = initialise(RWKV(CONFIG), generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(NOISE * torch.randn(parameter.shape, generator=generator))
    return model


def hf_twin(model: RWKV) -> Any:
    """`rwkv7_hf`'s model with the weights of `model`, converted by that package's own functions."""
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    config = infer_config(weights, dtype_name="float32", attn_mode="reference", fuse_norm=False)
    twin = RWKV7ForCausalLM(config)
    expected = twin.state_dict()
    translated = {}
    for name, value in weights.items():
        theirs, transposed = translate_name(name, config.num_hidden_layers)
        translated[theirs] = prepare_translated_weight(
            value,
            src_name=name,
            dst_name=theirs,
            transposed=transposed,
            expected=expected[theirs],
            dtype=torch.float32,
        )
    twin.load_state_dict(translated)
    return twin


def matmul_weights(model: RWKV) -> list[tuple[int, int]]:
    """(inputs, outputs) of every matrix that a matrix product reads, once a token.

    That is receptance, key, value, output, both matrices of each low-rank map, both of channel
    mixing, and the head: all matrices but the embedding, which is looked up, and r_k, which is
    multiplied elementwise.
    """
    linear = [(m.in_features, m.out_features) for m in model.modules() if isinstance(m, nn.Linear)]
    low_rank = [
        (parameter.shape[0], parameter.shape[1])  # x @ w1 @ w2, not transposed
        for name, parameter in model.named_parameters()
        if name[-1] in "12" and parameter.ndim == 2
    ]
    return linear + low_rank


def random_tokens(rows: int, columns: int, seed: int) -> Tensor:
    """Ordinary tokens, int64 (rows, columns)."""
    generator = Generator().manual_seed(seed)
    return torch.randint(2, CONFIG.vocab_size, (rows, columns), generator=generator)
