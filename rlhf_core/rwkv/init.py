"""Official initialisation of RWKV-7.

Source: BlinkDL/RWKV-LM, RWKV-v7/train_temp/src/model.py (class __init__, then
generate_init_weight). Naive initialisation trains markedly worse: docs/log.md.
"""

import math

import torch
from torch import Generator, Tensor, nn

from rlhf_core.rwkv.model import RWKV, Block

MIX_EXPONENTS = {"x_r": 0.2, "x_w": 0.9, "x_k": 0.7, "x_v": 0.7, "x_a": 0.9, "x_g": 0.2}


@torch.no_grad()
def initialise(model: RWKV, generator: Generator) -> RWKV:
    """Fill all parameters of `model` in place and return it."""
    config = model.config
    model.emb.weight.uniform_(-1e-4, 1e-4, generator=generator)
    ratio = config.vocab_size / config.dim
    _orthogonal(model.head.weight, 0.5 * math.sqrt(max(ratio, 1.0)), generator)
    for layer, block in enumerate(model.layers):
        _initialise_block(block, layer, config.num_layers, generator)
    return model


def _initialise_block(block: Block, layer: int, num_layers: int, generator: Generator) -> None:
    att, ffn = block.att, block.ffn
    dim, head_size = att.config.dim, att.config.head_size
    depth = layer / (num_layers - 1)
    shallow = 1.0 - layer / num_layers
    channel = torch.arange(dim)
    linear = channel / (dim - 1) - 0.5
    zigzag = ((channel % head_size) - (head_size - 1) / 2) / ((head_size - 1) / 2)
    zigzag = zigzag * zigzag.abs()

    for name, exponent in MIX_EXPONENTS.items():
        _fill(getattr(att, name), 1.0 - (channel / dim) ** (exponent * shallow))
    decay = -6.0 + 6.0 * (channel / (dim - 1)) ** (1.0 + depth**0.3)
    _fill(att.w0, decay + 0.5 + 2.5 * zigzag)
    _fill(att.a0, -0.19 + 0.3 * zigzag + 0.4 * linear)
    _fill(att.k_k, 0.71 - 0.1 * linear)
    att.k_a.fill_(1.02)
    att.r_k.fill_(-0.04)
    names = ["w", "a", "g"]
    if layer > 0:
        _fill(att.v0, 0.73 - 0.4 * linear)
        names.append("v")
    for name in names:
        getattr(att, f"{name}1").zero_()
        _orthogonal(getattr(att, f"{name}2"), 0.1, generator)
    _orthogonal(att.receptance.weight, 1.0, generator)
    _orthogonal(att.key.weight, 0.1, generator)
    _orthogonal(att.value.weight, 1.0, generator)
    att.output.weight.zero_()
    att.ln_x.weight.fill_(((1 + layer) / num_layers) ** 0.7)

    _fill(ffn.x_k, 1.0 - (channel / dim) ** (shallow**4))
    _orthogonal(ffn.key.weight, 1.0, generator)
    ffn.value.weight.zero_()


def _fill(parameter: Tensor, values: Tensor) -> None:
    parameter.copy_(values.view_as(parameter))


def _orthogonal(weight: Tensor, gain: float, generator: Generator) -> None:
    nn.init.orthogonal_(weight, gain=gain, generator=generator)
