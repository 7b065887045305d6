"""Tiny models whose every path matters, and batches to feed them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_core.collate import Dialogues, join
from rlhf_core.reward.model import RewardModel, reward_model_from
from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.init import initialise
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import generator_for

PAD, EOS = 0, 1
TINY = {"vocab_size": 11, "dim": 16, "num_layers": 2, "head_size": 8, "chunk_size": 4}
RANKS = {"decay_rank": 3, "rate_rank": 4, "value_rank": 5, "gate_rank": 6}


def tiny_config(**sizes: int) -> RWKVConfig:
    return RWKVConfig(**{**TINY, **RANKS, **sizes})


def tiny_policy(seed: int = 0, *, dtype: torch.dtype = torch.float32, **sizes: int) -> RWKV:
    """Official initialisation plus noise: the zero matrices at step 0 would hide most errors."""
    generator = generator_for(seed, "policy")
    policy = initialise(RWKV(tiny_config(**sizes)), generator)
    return shaken(policy, seed).to(dtype).eval()


def shaken(model: Any, seed: int, amount: float = 0.3) -> Any:
    """`model` with noise on all its parameters, in place."""
    generator = generator_for(seed, "noise")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(amount * torch.randn(parameter.shape, generator=generator))
    return model


def constant_policy(logits: Sequence[float]) -> RWKV:
    """A policy whose next-token logits are `logits` whatever it has read."""
    policy = initialise(RWKV(tiny_config(vocab_size=len(logits))), generator_for(0, "constant"))
    with torch.no_grad():
        policy.ln_out.weight.zero_()
        policy.ln_out.bias.zero_()
        policy.ln_out.bias[0] = 1.0
        policy.head.weight.zero_()
        policy.head.weight[:, 0] = torch.tensor(logits)
    return policy.eval()


def tiny_reward_model(
    seed: int = 0,
    *,
    segment_embeddings: bool = True,
    dtype: torch.dtype = torch.float32,
    **sizes: int,
) -> RewardModel:
    """A reward model with noise everywhere, segment embeddings included."""
    model = reward_model_from(
        tiny_policy(seed, **sizes),
        segment_embeddings=segment_embeddings,
        generator=generator_for(seed, "head"),
    )
    return shaken(model, seed + 1).to(dtype).eval()


def token_rows(seed: int, lengths: Sequence[int], vocab_size: int = 11) -> list[list[int]]:
    """Rows of random ordinary tokens of the given lengths."""
    generator = generator_for(seed, "rows")
    return [
        torch.randint(EOS + 1, vocab_size, (length,), generator=generator).tolist()
        for length in lengths
    ]


def ragged_dialogues(seed: int = 0) -> Dialogues:
    """Four dialogues, no two alike in prompt or response length."""
    return join(token_rows(seed, [3, 1, 5, 2]), token_rows(seed + 1, [2, 6, 1, 4]), PAD)


def alone(batch: Dialogues, row: int) -> Dialogues:
    """One row of a batch without its padding."""
    length = int(batch.lengths[row])
    return Dialogues(
        batch.ids[row : row + 1, :length],
        batch.lengths[row : row + 1],
        batch.prompt_lengths[row : row + 1],
    )


def with_padding_of(batch: Dialogues, value: int, extra: int = 3) -> Dialogues:
    """The same dialogues, padded further and with `value` instead of PAD."""
    ids = torch.cat([batch.ids, batch.ids.new_full((len(batch.ids), extra), value)], dim=1)
    is_padding = torch.arange(ids.shape[1]) >= batch.lengths.unsqueeze(1)
    return batch._replace(ids=ids.masked_fill(is_padding, value))


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, to compare with later."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def are_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def random(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=generator_for(seed, "random"), dtype=dtype)
