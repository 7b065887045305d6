"""The WKV recurrence of RWKV-4, step by step and in chunks.

    y_t = (sum_{i<t} e^{(t-1-i) w + k_i} v_i + e^{u + k_t} v_t) / (the same without v),   w <= 0

Numerator and denominator are two sums with the same weights, of which only the ratio has a
meaning. They are kept as a `WeightedSum`: divided by e^exponent, where the exponent is the largest
one of their terms, so that no exponential overflows whatever the keys are. Computed in float32
(float64 if given float64). A token of weight 0 that does not decay leaves the state as it is: that
is how padding is made inert.

Shapes: B batch, T tokens, C channels, G chunks, L tokens of a chunk.

Omitted on purpose: any CUDA kernel, and the form with a T x T matrix of weights per channel.

References:
    [1] RWKV: Reinventing RNNs for the Transformer Era, arXiv:2305.13048, eq. 16 and appendix D.
    [2] BlinkDL/RWKV-LM, RWKV-v4neo/src/model.py and model_run.py.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from rlhf_core.backbones import at_least_float32

# The official code's logarithm of 0: e^NOTHING is 0, and sums with it stay finite.
NOTHING = -1e38


class WeightedSum(NamedTuple):
    """Sums over tokens of e^{x_i} v_i and of e^{x_i}, both divided by e^exponent; all (..., C).

    Attributes:
        numerator: The sum with values; `aa` of the official code.
        denominator: The sum of the weights; `bb`.
        exponent: The largest x_i; `pp`.
    """

    numerator: Tensor
    denominator: Tensor
    exponent: Tensor

    def scaled(self, log_factor: Tensor) -> "WeightedSum":
        """All weights multiplied by e^log_factor."""
        return self._replace(exponent=self.exponent + log_factor)

    def plus(self, other: "WeightedSum") -> "WeightedSum":
        """The sum over the tokens of both.

        The common exponent is detached: the ratio does not depend on it.
        """
        exponent = torch.maximum(self.exponent, other.exponent).detach()
        ours, theirs = (self.exponent - exponent).exp(), (other.exponent - exponent).exp()
        return WeightedSum(
            ours * self.numerator + theirs * other.numerator,
            ours * self.denominator + theirs * other.denominator,
            exponent,
        )

    def mean(self) -> Tensor:
        """The weighted mean of the values."""
        return self.numerator / self.denominator


class WKV4Inputs(NamedTuple):
    """What the recurrence reads.

    Attributes:
        k: Key, the logarithm of a token's weight, (B, T, C).
        v: Value, (B, T, C).
        w: Log decay a token, at most 0, (C,).
        u: Added to the key of the current token, (C,).
        is_real: False at padding, bool (B, T, 1); None if all is real.
    """

    k: Tensor
    v: Tensor
    w: Tensor
    u: Tensor
    is_real: Tensor | None = None


def empty_sum(like: Tensor) -> WeightedSum:
    """The sum over no token, in the shape of `like`."""
    zero = torch.zeros_like(like)
    return WeightedSum(zero, zero, torch.full_like(like, NOTHING))


def wkv4_sequential(inputs: WKV4Inputs, state: WeightedSum) -> tuple[Tensor, WeightedSum]:
    """The recurrence one token at a time: the reference, and the decode step.

    Args:
        inputs: What each token contributes, and the channels' constants.
        state: Sum over the tokens before, (B, C), decayed up to the first token here.

    Returns:
        Outputs y (B, T, C) and the sum after the last real token (B, C).
    """
    token, w_BTC, u = _tokens(inputs)
    outputs = []
    for t in range(inputs.k.shape[1]):
        token_t = WeightedSum(*(x[:, t] for x in token))
        outputs.append(state.plus(token_t.scaled(u)).mean())
        state = state.scaled(w_BTC[:, t]).plus(token_t)
    return torch.stack(outputs, dim=1), state


def wkv4_chunked(
    inputs: WKV4Inputs, state: WeightedSum, *, chunk_size: int = 16
) -> tuple[Tensor, WeightedSum]:
    """The same map in L + T/L steps instead of T; arguments as `wkv4_sequential`.

    Sums can be added in any order, so all chunks are walked at once from an empty sum, then the
    sums of whole chunks are carried from chunk to chunk, then both are added. Time and memory grow
    as T C.
    """
    num_tokens = inputs.k.shape[1]
    padding = -num_tokens % chunk_size
    token, w_BTC, u = _tokens(inputs)
    numerator, denominator, w_BGLC = (
        _split_chunks(x, chunk_size, padding) for x in (*token[:2], w_BTC)
    )
    exponent = _split_chunks(token.exponent, chunk_size, padding, filler=NOTHING)
    token = WeightedSum(numerator, denominator, exponent)

    local = empty_sum(token.numerator[:, :, 0])
    before = []
    for t in range(chunk_size):
        before.append(local)
        local = local.scaled(w_BGLC[:, :, t]).plus(WeightedSum(*(x[:, :, t] for x in token)))
    decay = w_BGLC.cumsum(2)  # from the chunk's start to after token t
    starts = []
    for g in range(w_BGLC.shape[1]):
        starts.append(state)
        chunk = WeightedSum(*(x[:, g] for x in local))
        state = state.scaled(decay[:, g, -1]).plus(chunk)
    start = WeightedSum(*(torch.stack(x, dim=1).unsqueeze(2) for x in zip(*starts, strict=True)))
    inside = WeightedSum(*(torch.stack(x, dim=2) for x in zip(*before, strict=True)))
    past = start.scaled(decay - w_BGLC).plus(inside)
    y = past.plus(token.scaled(u)).mean()
    return y.flatten(1, 2)[:, :num_tokens], state


def _tokens(inputs: WKV4Inputs) -> tuple[WeightedSum, Tensor, Tensor]:
    """Each token as a sum of one term, its log decay (B, T, C), and u."""
    k, v, w, u = (at_least_float32(x) for x in inputs[:4])
    w_BTC = w.expand_as(k)
    if inputs.is_real is not None:
        k = k.masked_fill(~inputs.is_real, NOTHING)
        w_BTC = w_BTC * inputs.is_real
    return WeightedSum(v, torch.ones_like(k), k), w_BTC, u


def _split_chunks(x_BTC: Tensor, chunk_size: int, padding: int, filler: float = 0.0) -> Tensor:
    """(B, T, C) to (B, G, L, C), with `filler` at the end."""
    return pad(x_BTC, (0, 0, 0, padding), value=filler).unflatten(1, (-1, chunk_size))
