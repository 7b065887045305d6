"""RWKV-4 in numpy, one token at a time, from the equations of arXiv:2305.13048, section 3.

Slow and obvious on purpose. Shares nothing with the code under test: every output of the WKV is
computed anew from all keys and values so far, as the sum that the paper writes (eq. 16), in its
plain form without any scaling, which float64 allows at the sizes of tests. What it carries is all
keys and values, not a running sum.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class LayerHistory(NamedTuple):
    """What one layer has seen: two token-shift rows (C,), and keys and values (T, C)."""

    time_shift: Array
    keys: Array
    values: Array
    channel_shift: Array


def empty_history(num_layers: int, dim: int) -> list[LayerHistory]:
    """Before any token."""
    zero, none = np.zeros(dim), np.zeros((0, dim))
    return [LayerHistory(zero, none, none, zero) for _ in range(num_layers)]


def wkv(keys: Array, values: Array, w: Array, u: Array) -> Array:
    """Output at the last of T tokens; keys and values (T, C), decay w <= 0 and bonus u (C,)."""
    last = len(keys) - 1
    numerator, denominator = np.zeros_like(w), np.zeros_like(w)
    for i in range(last):
        weight = np.exp((last - 1 - i) * w + keys[i])
        numerator += weight * values[i]
        denominator += weight
    weight = np.exp(u + keys[last])
    return (numerator + weight * values[last]) / (denominator + weight)


def carried_sums(keys: Array, values: Array, w: Array) -> tuple[Array, Array]:
    """Numerator and denominator that the next token meets, before its own term, unscaled."""
    numerator, denominator = np.zeros_like(w), np.zeros_like(w)
    for i in range(len(keys)):
        weight = np.exp((len(keys) - 1 - i) * w + keys[i])
        numerator += weight * values[i]
        denominator += weight
    return numerator, denominator


def logits_and_history(
    weights: dict[str, Array], ids: list[int], history: list[LayerHistory]
) -> tuple[Array, list[LayerHistory]]:
    """Next-token logits (T, V) and what the layers have seen by then."""
    rows = []
    for token in ids:
        x = _layer_norm(weights, "blocks.0.ln0", weights["emb.weight"][token])
        after = []
        for layer, seen in enumerate(history):
            block = f"blocks.{layer}"
            time_input = _layer_norm(weights, f"{block}.ln1", x)
            out, keys, values = _time_mix(weights, f"{block}.att", time_input, seen)
            x = x + out
            channel_input = _layer_norm(weights, f"{block}.ln2", x)
            x = x + _channel_mix(weights, f"{block}.ffn", channel_input, seen.channel_shift)
            after.append(LayerHistory(time_input, keys, values, channel_input))
        history = after
        rows.append(weights["head.weight"] @ _layer_norm(weights, "ln_out", x))
    return np.stack(rows), history


def _time_mix(
    weights: dict[str, Array], prefix: str, x: Array, seen: LayerHistory
) -> tuple[Array, Array, Array]:
    def mixed(name: str) -> Array:
        share = weights[f"{prefix}.time_mix_{name}"].reshape(-1)
        return x * share + seen.time_shift * (1 - share)

    r = _sigmoid(weights[f"{prefix}.receptance.weight"] @ mixed("r"))
    keys = np.vstack([seen.keys, weights[f"{prefix}.key.weight"] @ mixed("k")])
    values = np.vstack([seen.values, weights[f"{prefix}.value.weight"] @ mixed("v")])
    w, u = -np.exp(weights[f"{prefix}.time_decay"]), weights[f"{prefix}.time_first"]
    return weights[f"{prefix}.output.weight"] @ (r * wkv(keys, values, w, u)), keys, values


def _channel_mix(weights: dict[str, Array], prefix: str, x: Array, previous: Array) -> Array:
    def mixed(name: str) -> Array:
        share = weights[f"{prefix}.time_mix_{name}"].reshape(-1)
        return x * share + previous * (1 - share)

    hidden = np.maximum(weights[f"{prefix}.key.weight"] @ mixed("k"), 0) ** 2
    r = _sigmoid(weights[f"{prefix}.receptance.weight"] @ mixed("r"))
    return r * (weights[f"{prefix}.value.weight"] @ hidden)


def _layer_norm(weights: dict[str, Array], prefix: str, x: Array) -> Array:
    normed = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    return normed * weights[f"{prefix}.weight"] + weights[f"{prefix}.bias"]


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))
