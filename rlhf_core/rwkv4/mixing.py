"""Time and channel mixing of RWKV-4: the two halves of a block.

Attributes carry the names of the official checkpoints (`time_decay`, `time_mix_k`, ...), so that a
state dict of ours is a checkpoint in the official layout.

Shapes: B batch, T tokens, C channels.

References:
    [1] RWKV: Reinventing RNNs for the Transformer Era, arXiv:2305.13048, section 3.
    [2] BlinkDL/RWKV-LM, RWKV-v4neo/src/model.py.
"""

import torch
from torch import Tensor, nn

from rlhf_core.backbones import at_least_float32
from rlhf_core.rwkv.time_mix import token_shift
from rlhf_core.rwkv4.config import RWKV4Config
from rlhf_core.rwkv4.wkv import WeightedSum, WKV4Inputs, wkv4_chunked, wkv4_sequential


class TimeMix(nn.Module):
    """out = W_o (sigmoid(r) * wkv(k, v)), with r, k, v of the shifted input."""

    def __init__(self, config: RWKV4Config) -> None:
        super().__init__()
        dim = config.dim
        self.config = config
        self.time_decay = nn.Parameter(torch.empty(dim))
        self.time_first = nn.Parameter(torch.empty(dim))
        self.time_mix_k = nn.Parameter(torch.empty(1, 1, dim))
        self.time_mix_v = nn.Parameter(torch.empty(1, 1, dim))
        self.time_mix_r = nn.Parameter(torch.empty(1, 1, dim))
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.receptance = nn.Linear(dim, dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)

    def forward(
        self, x_BTC: Tensor, shift_BC: Tensor, state: WeightedSum, is_real_BT1: Tensor | None
    ) -> tuple[Tensor, WeightedSum]:
        """One layer of time mixing over right-padded sequences.

        Args:
            x_BTC: Normed input.
            shift_BC: The previous token's normed input.
            state: WKV state, (B, C), float32 at least.
            is_real_BT1: False at padding, which leaves the state unchanged; None if all is real.

        Returns:
            Output (B, T, C) and the new state (B, C).
        """
        shifted = token_shift(x_BTC, shift_BC)
        k = self.key(torch.lerp(shifted, x_BTC, self.time_mix_k))
        v = self.value(torch.lerp(shifted, x_BTC, self.time_mix_v))
        r = self.receptance(torch.lerp(shifted, x_BTC, self.time_mix_r))
        w = -at_least_float32(self.time_decay).exp()
        inputs = WKV4Inputs(k, v, w, self.time_first, is_real_BT1)
        if x_BTC.shape[1] == 1:
            y, state = wkv4_sequential(inputs, state)
        else:
            y, state = wkv4_chunked(inputs, state, chunk_size=self.config.chunk_size)
        return self.output(torch.sigmoid(r) * y.to(x_BTC.dtype)), state


class ChannelMix(nn.Module):
    """out = sigmoid(W_r x_r) * W_v relu(W_k x_k)^2, with x_r, x_k of the shifted input."""

    def __init__(self, config: RWKV4Config) -> None:
        super().__init__()
        dim = config.dim
        self.time_mix_k = nn.Parameter(torch.empty(1, 1, dim))
        self.time_mix_r = nn.Parameter(torch.empty(1, 1, dim))
        self.key = nn.Linear(dim, config.ffn_dim, bias=False)
        self.receptance = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(config.ffn_dim, dim, bias=False)

    def forward(self, x_BTC: Tensor, shift_BC: Tensor) -> Tensor:
        """Normed input (B, T, C) and the previous token's (B, C) to the output (B, T, C)."""
        shifted = token_shift(x_BTC, shift_BC)
        hidden = torch.relu(self.key(torch.lerp(shifted, x_BTC, self.time_mix_k))) ** 2
        r = self.receptance(torch.lerp(shifted, x_BTC, self.time_mix_r))
        return torch.sigmoid(r) * self.value(hidden)
