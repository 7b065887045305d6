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
    outputs = []
    for t in range(r.shape[1]):
        removed = state @ kk[:, t].unsqueeze(-1)
        state = (
            state * w[:, t].unsqueeze(-2)
            - removed * b[:, t].unsqueeze(-2)
            + v[:, t].unsqueeze(-1) * k[:, t].unsqueeze(-2)
        )
        outputs.append((state @ r[:, t].unsqueeze(-1)).squeeze(-1))
    return torch.stack(outputs, dim=1), state


def wkv_chunked(inputs: WKVInputs, state: Tensor, *, chunk_size: int = 16) -> tuple[Tensor, Tensor]:
    """The same map, parallel over the tokens of a chunk; arguments as `wkv_sequential`.

    Inside a chunk, with c_t the cumulative log decay and U_t = S_{t-1} (-kk_t), the rows of U solve
    the unit lower triangular system (I - A) U = (-kk e^e) S_0^T + A_k V, e_t = c_t - log w_t.
    Decays enter as differences to the chunk's middle, so that no factor leaves float32.
    """
    num_tokens, size = inputs.r.shape[1], inputs.r.shape[-1]
    padding = -num_tokens % chunk_size
    r_GLN, log_w_GLN, k_GLN, v_GLN, kk_GLN, a_GLN = (
        _split_chunks(at_least_float32(x), chunk_size, padding) for x in inputs
    )
    b_GLN = kk_GLN * a_GLN
    c = log_w_GLN.cumsum(-2)  # inclusive: decay from the chunk's start to after token t
    e = c - log_w_GLN  # exclusive: to before token t
    middle, end = c[..., chunk_size // 2 - 1, None, :], c[..., -1:, :]
    grown = (middle - c).exp()
    queries = torch.cat([-kk_GLN * (e - middle).exp(), r_GLN * (c - middle).exp()], dim=-2)
    keys = torch.cat([b_GLN * grown, k_GLN * grown], dim=-2)
    scores = queries @ keys.mT  # (B, H, G, 2L, 2L): [kk; r] x [b; k]
    (removal_b, removal_k), (receptance_b, receptance_k) = (
        rows.split(chunk_size, dim=-1) for rows in scores.split(chunk_size, dim=-2)
    )
    removal_b, removal_k = removal_b.tril(-1), removal_k.tril(-1)  # U_t reads the state before t
    receptance_b, receptance_k = receptance_b.tril(), receptance_k.tril()  # y_t the one after

    # The inverse by substitution on the L x L identity, then matmuls: the right-hand side proper
    # is 8 times as wide, and batched triangular solves are slow on a CPU.
    identity = torch.eye(chunk_size, dtype=r_GLN.dtype, device=r_GLN.device)
    inverse = torch.linalg.solve_triangular(
        identity - removal_b, identity, upper=False, unitriangular=True
    )
    solved = inverse @ torch.cat([-kk_GLN * e.exp(), removal_k @ v_GLN], dim=-1)
    u_state, u_local = solved.split(size, dim=-1)

    carried = (end - c).exp()
    k_end, b_end, w_end = k_GLN * carried, b_GLN * carried, end.exp().squeeze(-2)
    local = v_GLN.mT @ k_end + u_local.mT @ b_end  # what a chunk adds, as [value, key]
    keep = u_state.mT @ b_end  # [key, key]: how the incoming state is rewritten
    state = state.to(r_GLN)
    starts = []
    for w_g, keep_g, local_g in zip(w_end.unbind(2), keep.unbind(2), local.unbind(2), strict=True):
        starts.append(state)
        state = state * w_g.unsqueeze(-2) + state @ keep_g + local_g
    start = torch.stack(starts, dim=2)
    u = u_state @ start.mT + u_local
    y = receptance_k @ v_GLN + receptance_b @ u + (r_GLN * c.exp()) @ start.mT
    return y.flatten(2, 3)[:, :, :num_tokens].transpose(1, 2), state


def _split_chunks(x_BTHN: Tensor, chunk_size: int, padding: int) -> Tensor:
    """(B, T, H, N) to (B, H, G, L, N); zeros at the end are identity steps."""
    padded = pad(x_BTHN, (0, 0, 0, 0, 0, padding))
    return padded.transpose(1, 2).unflatten(2, (-1, chunk_size))
