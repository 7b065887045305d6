"""Official initialisation of RWKV-4.

Source: BlinkDL/RWKV-LM, RWKV-v4neo/src/model.py (the classes' __init__, then
generate_init_weight). One difference: there embeddings are drawn from U(-r, r) with r the learning
rate; here r is 1e-4, as in RWKV-7 and as RWKV-LM's README recommends.
"""

import math

import torch
from torch import Generator, nn

from rlhf_core.rwkv4.model import RWKV4, Block


@torch.no_grad()
def initialise(model: RWKV4, generator: Generator) -> RWKV4:
    """Fill all parameters of `model` in place and return it."""
    config = model.config
    model.emb.weight.uniform_(-1e-4, 1e-4, generator=generator)
    _orthogonal(model.head, 0.5, generator)
    for layer, block in enumerate(model.layers):
        _initialise_block(block, layer, config.num_layers, generator)
    return model


def _initialise_block(block: Block, layer: int, num_layers: int, generator: Generator) -> None:
    att, ffn = block.att, block.ffn
    dim = att.config.dim
    depth = layer / (num_layers - 1)
    shallow = 1.0 - layer / num_layers
    channel = torch.arange(dim)
    share = (channel / dim).view(1, 1, -1)

    att.time_decay.copy_(-5 + 8 * (channel / (dim - 1)) ** (0.7 + 1.3 * depth))
    att.time_first.copy_(math.log(0.3) + 0.5 * ((channel + 1) % 3 - 1))
    att.time_mix_k.copy_(share**shallow)
    att.time_mix_v.copy_(share**shallow + 0.3 * depth)
    att.time_mix_r.copy_(share ** (0.5 * shallow))
    ffn.time_mix_k.copy_(share**shallow)
    ffn.time_mix_r.copy_(share**shallow)

    _orthogonal(att.value, 1.0, generator)
    _orthogonal(ffn.key, 1.0, generator)
    for silent in (att.key, att.receptance, att.output, ffn.receptance, ffn.value):
        silent.weight.zero_()


def _orthogonal(linear: nn.Linear, scale: float, generator: Generator) -> None:
    """Orthogonal columns of length `scale` sqrt(rows / columns), or rows of length `scale`."""
    rows, columns = linear.weight.shape
    gain = scale * math.sqrt(max(rows / columns, 1.0))
    nn.init.orthogonal_(linear.weight, gain=gain, generator=generator)
