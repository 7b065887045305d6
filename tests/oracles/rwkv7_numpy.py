"""RWKV-7 in numpy, one token at a time, from the equations of arXiv:2503.14456, section 4.

Slow and obvious on purpose. Shares nothing with the code under test: loops over tokens and heads,
the transition as a matrix, the decay in its other form w = exp(-exp(-softplus(-x) - 1/2)).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class LayerState(NamedTuple):
    """What one layer carries: two token-shift rows (C,) and S as [head, value, key]."""

    time_shift: Array
    wkv: Array
    channel_shift: Array


def empty_state(num_layers: int, dim: int, head_size: int) -> list[LayerState]:
    """The state before any token."""
    heads = dim // head_size
    return [
        LayerState(np.zeros(dim), np.zeros((heads, head_size, head_size)), np.zeros(dim))
        for _ in range(num_layers)
    ]


def wkv_step(
    state: Array, *, r: Array, w: Array, k: Array, v: Array, kk: Array, a: Array
) -> tuple[Array, Array]:
    """One head, one token: S' = S (diag(w) - kk (a kk)^T) + v k^T, y = S' r."""
    transition = np.diag(w) - np.outer(kk, a * kk)
    state = state @ transition + np.outer(v, k)
    return state @ r, state


def logits_and_state(
    weights: dict[str, Array],
    ids: list[int],
    state: list[LayerState],
    head_size: int,
) -> tuple[Array, list[LayerState]]:
    """Next-token logits (T, V) and the state after the last token."""
    rows = []
    for token in ids:
        x = _layer_norm(weights, "blocks.0.ln0", weights["emb.weight"][token])
        v_first = None
        new_state = []
        for layer, carried in enumerate(state):
            block = f"blocks.{layer}"
            time_input = _layer_norm(weights, f"{block}.ln1", x)
            out, v_first, wkv = _time_mix(
                weights,
                f"{block}.att",
                time_input,
                v_first=v_first,
                carried=carried,
                head_size=head_size,
            )
            x = x + out
            channel_input = _layer_norm(weights, f"{block}.ln2", x)
            x = x + _channel_mix(weights, f"{block}.ffn", channel_input, carried.channel_shift)
            new_state.append(LayerState(time_input, wkv, channel_input))
        state = new_state
        rows.append(weights["head.weight"] @ _layer_norm(weights, "ln_out", x))
    return np.stack(rows), state


def _time_mix(
    weights: dict[str, Array],
    prefix: str,
    x: Array,
    *,
    v_first: Array | None,
    carried: LayerState,
    head_size: int,
) -> tuple[Array, Array, Array]:
    def get(name: str) -> Array:
        return weights[f"{prefix}.{name}"]

    def mix(name: str) -> Array:
        amount = get(name).reshape(-1)
        return x * (1 - amount) + carried.time_shift * amount

    def vector(name: str) -> Array:
        return get(name).reshape(-1)

    r = get("receptance.weight") @ mix("x_r")
    k = get("key.weight") @ mix("x_k")
    v = get("value.weight") @ mix("x_v")
    log_log = -_softplus(-(vector("w0") + np.tanh(mix("x_w") @ get("w1")) @ get("w2"))) - 0.5
    w = np.exp(-np.exp(log_log))
    a = _sigmoid(vector("a0") + mix("x_a") @ get("a1") @ get("a2"))
    g = _sigmoid(mix("x_g") @ get("g1")) @ get("g2")
    if v_first is None:
        v_first = v
    else:
        share = _sigmoid(vector("v0") + mix("x_v") @ get("v1") @ get("v2"))
        v = v * (1 - share) + v_first * share
    removal = k * vector("k_k")
    k = k * (1 + (a - 1) * vector("k_a"))

    normed, bonus = np.zeros_like(x), np.zeros_like(x)
    wkv = np.zeros_like(carried.wkv)
    for head in range(len(x) // head_size):
        part = slice(head * head_size, (head + 1) * head_size)
        kk = removal[part] / max(np.sqrt((removal[part] ** 2).sum()), 1e-12)
        y, wkv[head] = wkv_step(
            carried.wkv[head], r=r[part], w=w[part], k=k[part], v=v[part], kk=kk, a=a[part]
        )
        normed[part] = (y - y.mean()) / np.sqrt(y.var() + 64e-5)
        bonus[part] = (r[part] * k[part] * get("r_k")[head]).sum() * v[part]
    y = normed * get("ln_x.weight") + get("ln_x.bias")
    return get("output.weight") @ ((y + bonus) * g), v_first, wkv


def _channel_mix(weights: dict[str, Array], prefix: str, x: Array, previous: Array) -> Array:
    amount = weights[f"{prefix}.x_k"].reshape(-1)
    hidden = weights[f"{prefix}.key.weight"] @ (x * (1 - amount) + previous * amount)
    return weights[f"{prefix}.value.weight"] @ np.maximum(hidden, 0) ** 2


def _layer_norm(weights: dict[str, Array], prefix: str, x: Array) -> Array:
    normed = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    return normed * weights[f"{prefix}.weight"] + weights[f"{prefix}.bias"]


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _softplus(x: Array) -> Array:
    return np.logaddexp(0, x)
