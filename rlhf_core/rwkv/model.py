"""The RWKV-7 language model over right-padded batches, with a carried state.

Parameter names and shapes are those of the official checkpoints (x070). The state after a
right-padded sequence is that of its last real token, so a ragged batch of prompts prefilled at
once gives the states of one-by-one prefill.

Shapes: B batch, T tokens, C channels, H heads, N head size, V vocabulary.

Omitted on purpose: RWKV-4 to 6, dropout (PPO needs none), weight tying.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from rlhf_core.backbones import Backbone
from rlhf_core.collate import last_real
from rlhf_core.rwkv.channel_mix import ChannelMix
from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.time_mix import TimeMix


class RWKVState(NamedTuple):
    """What the model carries from token to token, of constant size; one tensor a layer.

    Attributes:
        time_shift: Last normed input of time mixing, (B, C).
        wkv: WKV state as [value, key], float32 (B, H, N, N).
        channel_shift: Last normed input of channel mixing, (B, C).
    """

    time_shift: tuple[Tensor, ...]
    wkv: tuple[Tensor, ...]
    channel_shift: tuple[Tensor, ...]

    def select(self, rows: Tensor) -> "RWKVState":
        """The states of the given batch rows (int64 indices, repeats allowed)."""
        return self._each(lambda x: x.index_select(0, rows))

    def repeat(self, num_copies: int) -> "RWKVState":
        """Each row `num_copies` times in a row: a prompt's state forked for K responses."""
        return self._each(lambda x: x.repeat_interleave(num_copies, dim=0))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "RWKVState":
        return RWKVState(*(tuple(map(change, part)) for part in self))


class Block(nn.Module):
    """x += TimeMix(LN1(x)); x += ChannelMix(LN2(x)). Layer 0 also norms the embedding."""

    def __init__(self, config: RWKVConfig, layer: int) -> None:
        super().__init__()
        self.ln0 = nn.LayerNorm(config.dim) if layer == 0 else None
        self.ln1 = nn.LayerNorm(config.dim)
        self.ln2 = nn.LayerNorm(config.dim)
        self.att = TimeMix(config, layer)
        self.ffn = ChannelMix(config)


class RWKV(Backbone):
    """RWKV-7; weights are uninitialised until `rlhf_core.rwkv.init` or a checkpoint fills them."""

    head: nn.Linear

    def __init__(self, config: RWKVConfig) -> None:
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

    def initial_state(self, batch_size: int) -> RWKVState:
        """The state before any token."""
        config, weight = self.config, self.emb.weight
        heads, size = config.num_heads, config.head_size
        shift = weight.new_zeros(batch_size, config.dim)
        dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        wkv = weight.new_zeros(batch_size, heads, size, size, dtype=dtype)
        return RWKVState(*((x,) * config.num_layers for x in (shift, wkv, shift)))

    def encode(
        self,
        ids_BT: Tensor,
        lengths_B: Tensor | None = None,
        state: RWKVState | None = None,
        extra_embedding_BTC: Tensor | None = None,
    ) -> tuple[Tensor, RWKVState]:
        """As `Backbone.encode`; padding is an identity step of the recurrence."""
        state = state or self.initial_state(ids_BT.shape[0])
        is_real = None
        if lengths_B is not None and int(lengths_B.min()) < ids_BT.shape[1]:
            positions = torch.arange(ids_BT.shape[1], device=ids_BT.device)
            is_real = (positions < lengths_B.unsqueeze(1)).unsqueeze(-1)
        x = self.emb(ids_BT)
        if extra_embedding_BTC is not None:
            x = x + extra_embedding_BTC
        v_first = None
        carried = []
        for layer, block in enumerate(self.layers):
            if block.ln0 is not None:
                x = block.ln0(x)
            time_input = block.ln1(x)
            mixed, v_first, wkv = block.att(
                time_input, v_first, state.time_shift[layer], state.wkv[layer], is_real
            )
            x = x + mixed
            channel_input = block.ln2(x)
            x = x + block.ffn(channel_input, state.channel_shift[layer])
            if is_real is None or lengths_B is None:
                carried.append((time_input[:, -1], wkv, channel_input[:, -1]))
            else:
                carried.append(
                    (last_real(time_input, lengths_B), wkv, last_real(channel_input, lengths_B))
                )
        return self.ln_out(x), RWKVState(*zip(*carried, strict=True))
