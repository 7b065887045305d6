"""Channel mixing of RWKV-7: a squared-ReLU feed-forward layer over shifted tokens, no gate."""

import torch
from torch import Tensor, nn

from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.time_mix import token_shift


class ChannelMix(nn.Module):
    """out = W_v relu(W_k (x + (shift(x) - x) x_k))^2."""

    def __init__(self, config: RWKVConfig) -> None:
        super().__init__()
        self.x_k = nn.Parameter(torch.empty(1, 1, config.dim))
        self.key = nn.Linear(config.dim, config.ffn_dim, bias=False)
        self.value = nn.Linear(config.ffn_dim, config.dim, bias=False)

    def forward(self, x_BTC: Tensor, shift_BC: Tensor) -> Tensor:
        """Normed input (B, T, C) and the previous token's (B, C) to the output (B, T, C)."""
        mixed = torch.addcmul(x_BTC, token_shift(x_BTC, shift_BC) - x_BTC, self.x_k)
        return self.value(torch.relu(self.key(mixed)) ** 2)
