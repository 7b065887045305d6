"""The RWKV-4 language model over right-padded batches, with a carried state.

Parameter names and shapes are those of the official checkpoints (Pile, Raven, World 4). The state
after a right-padded sequence is that of its last real token, as in `rlhf_core.rwkv.model`.

Shapes: B batch, T tokens, C channels, D layers, V vocabulary.

Omitted on purpose: the experiments of its training code (tiny attention, head_qk, pos_emb, ffnPre),
dropout (PPO needs none), weight tying.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from rlhf_core.backbones import Backbone
from rlhf_core.collate import is_within, last_real
from rlhf_core.rwkv4.config import RWKV4Config
from rlhf_core.rwkv4.mixing import ChannelMix, TimeMix
from rlhf_core.rwkv4.wkv import WeightedSum, empty_sum


class RWKV4State(NamedTuple):
    """What the model carries from token to token, of constant size; all (D, B, C).

    Attributes:
        time_shift: Last normed input of time mixing.
        numerator: Of the WKV's sum, float32 at least.
        denominator: Of the WKV's sum, float32 at least.
        exponent: Of the WKV's sum, float32 at least.
        channel_shift: Last normed input of channel mixing.
    """

    time_shift: Tensor
    numerator: Tensor
    denominator: Tensor
    exponent: Tensor
    channel_shift: Tensor

    def select(self, rows: Tensor) -> "RWKV4State":
        """The states of the given batch rows (int64 indices, repeats allowed)."""
        return RWKV4State(*(x.index_select(1, rows) for x in self))

    def repeat(self, num_copies: int) -> "RWKV4State":
        """Each row `num_copies` times in a row: a prompt's state forked for K responses."""
        return RWKV4State(*(x.repeat_interleave(num_copies, dim=1) for x in self))


class Block(nn.Module):
    """x += TimeMix(LN1(x)); x += ChannelMix(LN2(x)). Layer 0 also norms the embedding."""

    def __init__(self, config: RWKV4Config, layer: int) -> None:
        super().__init__()
        self.ln0 = nn.LayerNorm(config.dim) if layer == 0 else None
        self.ln1 = nn.LayerNorm(config.dim)
        self.ln2 = nn.LayerNorm(config.dim)
        self.att = TimeMix(config)
        self.ffn = ChannelMix(config)


class RWKV4(Backbone):
    """RWKV-4; weights are uninitialised until `rlhf_core.rwkv4.init` or a checkpoint fills them."""

    head: nn.Linear

    def __init__(self, config: RWKV4Config) -> None:
        super().__init__()
        self.config = config
        self.emb = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.ln_out = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, config.vocab_size, bias=False)

    @property
    def dim(self) -> int:
        """Channels of a hidden state."""
        return self.config.dim

    @property
    def layers(self) -> list[Block]:
        """The blocks, typed."""
        return cast("list[Block]", list(self.blocks))

    def initial_state(self, batch_size: int) -> RWKV4State:
        """The state before any token."""
        weight = self.emb.weight
        shift = weight.new_zeros(self.config.num_layers, batch_size, self.config.dim)
        wkv_dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        return RWKV4State(shift, *empty_sum(shift.to(wkv_dtype)), shift)

    def encode(
        self,
        ids_BT: Tensor,
        lengths_B: Tensor | None = None,
        state: RWKV4State | None = None,
        extra_embedding_BTC: Tensor | None = None,
    ) -> tuple[Tensor, RWKV4State]:
        """As `Backbone.encode`; padding is an identity step of the recurrence."""
        state = state or self.initial_state(ids_BT.shape[0])
        is_real = None
        if lengths_B is not None:
            is_real = is_within(lengths_B, ids_BT.shape[1]).unsqueeze(-1)
        x = self.emb(ids_BT)
        if extra_embedding_BTC is not None:
            x = x + extra_embedding_BTC
        carried = []
        for layer, block in enumerate(self.layers):
            if block.ln0 is not None:
                x = block.ln0(x)
            time_shift, *wkv, channel_shift = (part[layer] for part in state)
            time_input = block.ln1(x)
            mixed, wkv_sum = block.att(time_input, time_shift, WeightedSum(*wkv), is_real)
            x = x + mixed
            channel_input = block.ln2(x)
            x = x + block.ffn(channel_input, channel_shift)
            carried.append(
                (_last(time_input, lengths_B), *wkv_sum, _last(channel_input, lengths_B))
            )
        new_state = RWKV4State(*(torch.stack(part) for part in zip(*carried, strict=True)))
        return self.ln_out(x), new_state


def _last(x_BTC: Tensor, lengths_B: Tensor | None) -> Tensor:
    return x_BTC[:, -1] if lengths_B is None else last_real(x_BTC, lengths_B)
