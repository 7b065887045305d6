"""The WKV recurrence of RWKV-7, step by step and in chunks.

    S_t = S_{t-1} diag(w_t) - (S_{t-1} kk_t) (a_t * kk_t)^T + v_t k_t^T,    y_t = S_t r_t

Both forms compute in float32 (float64 if given float64) and carry the state as [value, key], the
layout of the official code. A step with log_w = 0 and k = v = kk = 0 leaves the state unchanged:
that is how padding is made inert (see time_mix).

Shapes: B batch, T tokens, H heads, N head size, G chunks, L tokens of a chunk.

Omitted on purpose: Neumann inversion of (I - A), which overflows where keys repeat, and any
CUDA kernel.

References:
    [1] RWKV-7 "Goose", arXiv:2503.14456, section 4.
    [2] Chunked form of diagonal-plus-low-rank recurrences: arXiv:2406.06484, section 3.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from rlhf_core.backbones import at_least_float32


class WKVInputs(NamedTuple):
    """What the recurrence reads of each token, all (B, T, H, N).

    Attributes:
        r: Receptance.
        log_w: Log decay, at most 0.
        k: Key.
        v: Value.
        kk: Normalised removal key.
        a: In-context learning rate in [0, 1].
    """

    r: Tensor
    log_w: Tensor
    k: Tensor
    v: Tensor
    kk: Tensor
    a: Tensor


def wkv_sequential(inputs: WKVInputs, state: Tensor) -> tuple[Tensor, Tensor]:
    """The recurrence as written above, one token at a time: the reference, and the decode step.

    Args:
        inputs: What each token contributes.
        state: S_0 as [value, key], (B, H, N, N).

    Returns:
        Outputs y (B, T, H, N) and the state after the last token (B, H, N, N).
    """
    r, log_w, k, v, kk, a = (at_least_float32(x) for x in inputs)
    w, b, state = log_w.exp(), kk * a, state.to(r)
    # [k; b] are the keys of a step's change, whose values are [v, removed].
    keys, readers = torch.stack([k, -b], dim=-2), torch.stack([kk, w * r], dim=-1)
    outputs = []
    for t in range(r.shape[1]):
        # Decoding takes as long as it takes to read and write S: it is read once, since
        # S_t r_t = S_{t-1} (w_t r_t) + the change times r_t, and changed in place after its decay.
        removed, kept = (state @ readers[:, t]).unbind(-1)
        values = torch.stack([v[:, t], removed], dim=-1)
        change = values @ (keys[:, t] @ r[:, t].unsqueeze(-1))
        outputs.append(kept + change.squeeze(-1))
        decayed = (state * w[:, t].unsqueeze(-2)).flatten(0, 1)
        state = decayed.baddbmm_(values.flatten(0, 1), keys[:, t].flatten(0, 1)).view_as(state)
    return torch.stack(outputs, dim=1), state


def wkv_chunked(inputs: WKVInputs, state: Tensor, *, chunk_size: int = 16) -> tuple[Tensor, Tensor]:
    """The same map, parallel over the tokens of a chunk; arguments as `wkv_sequential`.

    Inside a chunk, with c_t the cumulative log decay and U_t = -S_{t-1} kk_t, the rows of U solve
    the unit lower triangular system (I + A_b) U = -(kk e^e) S_0^T - A_k V: e_t = c_t - log w_t, and
    A_b, A_k are the products of kk with the keys before it. Decays enter as differences to the
    chunk's middle, so that no factor leaves float32; which point that is changes nothing, so no
    gradient flows through it.
    """
    num_tokens = inputs.r.shape[1]
    r_LN, log_w_LN, k_LN, v_LN, kk_LN, a_LN = (
        _split_chunks(at_least_float32(x), chunk_size) for x in inputs
    )
    c = log_w_LN.cumsum(-2)  # inclusive: decay from the chunk's start to after token t
    end, middle = c[..., -1:, :], c[..., chunk_size // 2 - 1, None, :].detach()
    grown = (middle - c).exp()
    queries = torch.cat([kk_LN * (c - log_w_LN - middle).exp(), r_LN * (c - middle).exp()], dim=-2)
    keys = torch.cat([kk_LN * a_LN * grown, k_LN * grown], dim=-2)
    scores = queries @ keys.mT  # (G, B, H, 2L, 2L): [kk; r] x [b; k]
    (removal_b, removal_k), (receptance_b, receptance_k) = (
        rows.split(chunk_size, dim=-1) for rows in scores.split(chunk_size, dim=-2)
    )
    # U_t reads the state before token t, y_t the one after.
    removal_b, removal_k = removal_b.tril(-1), removal_k.tril(-1)
    receptance = torch.cat([receptance_b.tril(), receptance_k.tril()], dim=-1)

    # The inverse by substitution on the L x L identity, then matmuls: the right-hand side proper
    # is 8 times as wide, and batched triangular solves are slow on a CPU.
    identity = torch.eye(chunk_size, dtype=c.dtype, device=c.device)
    inverse = torch.linalg.solve_triangular(
        identity + removal_b, -identity, upper=False, unitriangular=True
    )
    kk_start, r_start = (queries * middle.exp()).split(chunk_size, dim=-2)
    readers = torch.cat([inverse @ kk_start, r_start], dim=-2)  # of the state before the chunk
    u_local = (inverse @ removal_k) @ v_LN
    keys_end = keys * (end - middle).exp()
    state = state.to(c)
    outputs = []
    chunks = (readers, u_local, v_LN, receptance, end.exp(), keys_end)
    for reader, u_own, v, receiver, decay, key in zip(*(x.unbind(0) for x in chunks), strict=True):
        u_state, y_state = (reader @ state.mT).split(chunk_size, dim=-2)
        values = torch.cat([u_state + u_own, v], dim=-2)
        outputs.append(y_state + receiver @ values)
        state = state * decay + values.mT @ key
    y = torch.stack(outputs, dim=1).transpose(2, 3)  # (B, G, L, H, N)
    return y.flatten(1, 2)[:, :num_tokens], state


def _split_chunks(x_BTHN: Tensor, chunk_size: int) -> Tensor:
    """(B, T, H, N) to (G, B, H, L, N); zeros at the end are identity steps."""
    padding = -x_BTHN.shape[1] % chunk_size
    if padding:
        x_BTHN = pad(x_BTHN, (0, 0, 0, 0, 0, padding))
    return x_BTHN.unflatten(1, (-1, chunk_size)).permute(1, 0, 3, 2, 4)
