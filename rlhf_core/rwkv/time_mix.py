"""Time mixing of RWKV-7: the block's recurrent half.

Attributes carry the names of the official checkpoints (`x_r`, `w0`, `receptance`, ...), so that a
state dict of ours is a checkpoint in the official layout. Low-rank maps are used as
`x @ w1 @ w2`, not transposed.

Shapes: B batch, T tokens, C channels, H heads, N head size.

References:
    [1] RWKV-7 "Goose", arXiv:2503.14456, section 4.
    [2] BlinkDL/RWKV-LM, RWKV-v7/rwkv_v7_demo.py.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm, normalize

from rlhf_core.backbones import at_least_float32
from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.wkv import WKVInputs, wkv_chunked, wkv_sequential

GROUP_NORM_EPS = 64e-5
DECAY_SCALE = -math.exp(-0.5)


def token_shift(x_BTC: Tensor, previous_BC: Tensor) -> Tensor:
    """x_{t-1} at every position; position 0 sees `previous_BC` (zeros at a sequence's start)."""
    return torch.cat([previous_BC.unsqueeze(1), x_BTC[:, :-1]], dim=1)


class TimeMix(nn.Module):
    """RWKV-7 time mixing; layer 0 has no value residual, hence no v0, v1, v2."""

    def __init__(self, config: RWKVConfig, layer: int) -> None:
        super().__init__()
        dim = config.dim
        self.config = config
        self.x_r, self.x_w, self.x_k, self.x_v, self.x_a, self.x_g = _parameters(6, 1, 1, dim)
        self.w0, self.a0, self.k_k, self.k_a = _parameters(4, 1, 1, dim)
        self.w1, self.w2 = _low_rank(dim, config.decay_rank)
        self.a1, self.a2 = _low_rank(dim, config.rate_rank)
        self.g1, self.g2 = _low_rank(dim, config.gate_rank)
        if layer > 0:
            (self.v0,) = _parameters(1, 1, 1, dim)
            self.v1, self.v2 = _low_rank(dim, config.value_rank)
        self.r_k = nn.Parameter(torch.empty(config.num_heads, config.head_size))
        self.receptance = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)
        self.ln_x = nn.GroupNorm(config.num_heads, dim, eps=GROUP_NORM_EPS)

    def forward(
        self,
        x_BTC: Tensor,
        v_first_BTC: Tensor | None,
        shift_BC: Tensor,
        state_BHNN: Tensor,
        is_real_BT1: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer of time mixing over right-padded sequences.

        Args:
            x_BTC: Normed input.
            v_first_BTC: Values of layer 0, None in layer 0 itself.
            shift_BC: The previous token's normed input.
            state_BHNN: WKV state as [value, key], float32.
            is_real_BT1: False at padding, which leaves the state unchanged; None if all is real.

        Returns:
            Output (B, T, C), values of layer 0 (B, T, C), new state (B, H, N, N).
        """
        heads = (*x_BTC.shape[:2], self.config.num_heads, self.config.head_size)
        delta = token_shift(x_BTC, shift_BC) - x_BTC
        x_r, x_w, x_k, x_v, x_a, x_g = (
            torch.addcmul(x_BTC, delta, mix)
            for mix in (self.x_r, self.x_w, self.x_k, self.x_v, self.x_a, self.x_g)
        )
        r, k, v = self.receptance(x_r), self.key(x_k), self.value(x_v)
        # Decays and states lose the past in bfloat16: 27 % error after 512 tokens at w = 0.998.
        decay = self.w0 + torch.tanh(x_w @ self.w1) @ self.w2
        log_w = DECAY_SCALE * torch.sigmoid(at_least_float32(decay))
        if v_first_BTC is None:
            v_first_BTC = v
        else:
            v = torch.lerp(v, v_first_BTC, torch.sigmoid(self.v0 + x_v @ self.v1 @ self.v2))
        a = torch.sigmoid(self.a0 + x_a @ self.a1 @ self.a2)
        g = torch.sigmoid(x_g @ self.g1) @ self.g2
        kk = normalize((k * self.k_k).view(heads), dim=-1, eps=1e-12).flatten(2)
        k = k * (1 + (a - 1) * self.k_a)
        bonus = (r * k).view(heads).mul(self.r_k).sum(-1, keepdim=True) * v.view(heads)
        if is_real_BT1 is not None:
            log_w, k, kk = log_w * is_real_BT1, k * is_real_BT1, kk * is_real_BT1
        inputs = WKVInputs(*(x.view(heads) for x in (r, log_w, k, v, kk, a)))
        if x_BTC.shape[1] == 1:
            y, state_BHNN = wkv_sequential(inputs, state_BHNN)
        else:
            y, state_BHNN = wkv_chunked(inputs, state_BHNN, chunk_size=self.config.chunk_size)
        y = group_norm(
            y.to(x_BTC.dtype).flatten(0, 1).flatten(1),
            self.config.num_heads,
            self.ln_x.weight,
            self.ln_x.bias,
            GROUP_NORM_EPS,
        ).view_as(x_BTC)
        return self.output((y + bonus.flatten(2)) * g), v_first_BTC, state_BHNN


def _parameters(count: int, *shape: int) -> list[nn.Parameter]:
    return [nn.Parameter(torch.empty(shape)) for _ in range(count)]


def _low_rank(dim: int, rank: int) -> tuple[nn.Parameter, nn.Parameter]:
    return nn.Parameter(torch.empty(dim, rank)), nn.Parameter(torch.empty(rank, dim))
