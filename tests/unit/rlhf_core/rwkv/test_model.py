"""The RWKV-7 model: equal to its definition, in every way of feeding it."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from rlhf_core.collate import pad_right
from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.model import RWKV, RWKVState
from tests.oracles import rwkv7_numpy as oracle
from tests.unit.rlhf_core.builders import (
    EOS,
    PAD,
    RANKS,
    random,
    tiny_config,
    tiny_policy,
    token_rows,
)

LENGTHS = [5, 1, 9, 4]


def stacked(state: RWKVState) -> list[torch.Tensor]:
    """The three parts of a state with their layers as one tensor each, (D, B, ...)."""
    return [torch.stack(part) for part in state]


def oracle_run(policy: RWKV, ids: list[int]) -> tuple[np.ndarray, list[oracle.LayerState]]:
    weights = {name: value.double().numpy() for name, value in policy.state_dict().items()}
    config = policy.config
    empty = oracle.empty_state(config.num_layers, config.dim, config.head_size)
    return oracle.logits_and_state(weights, ids, empty, config.head_size)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_logits_and_state_are_those_of_the_equations(dtype: torch.dtype, atol: float) -> None:
    # Guards: any wrong mix, decay, gate, norm, bonus or value residual.
    policy = tiny_policy(dtype=torch.float64)
    ids = token_rows(3, [14])[0]
    expected, state = oracle_run(policy, ids)
    with torch.no_grad():
        logits, carried = policy.to(dtype)(torch.tensor([ids]))
    assert np.abs(expected).max() > 0.5
    assert_close(logits[0].double().numpy(), expected, atol=atol, rtol=0)
    for name in RWKVState._fields:
        ours = torch.stack(getattr(carried, name))[:, 0].double().numpy()
        theirs = np.stack([getattr(layer, name) for layer in state])
        assert_close(ours, theirs, atol=atol, rtol=0)


def test_parameters_are_those_of_the_official_checkpoints() -> None:
    # Guards: a renamed, transposed or missing tensor, which no official file would load into.
    dim, heads, size = 16, 2, 8
    vector, square = (1, 1, dim), (dim, dim)
    expected: dict[str, tuple[int, ...]] = {
        "emb.weight": (11, dim),
        "head.weight": (11, dim),
        "ln_out.weight": (dim,),
        "ln_out.bias": (dim,),
        "blocks.0.ln0.weight": (dim,),
        "blocks.0.ln0.bias": (dim,),
        "blocks.1.att.v0": vector,
        "blocks.1.att.v1": (dim, RANKS["value_rank"]),
        "blocks.1.att.v2": (RANKS["value_rank"], dim),
    }
    for block in ("blocks.0", "blocks.1"):
        for norm in ("ln1", "ln2", "att.ln_x"):
            expected |= {f"{block}.{norm}.weight": (dim,), f"{block}.{norm}.bias": (dim,)}
        for name in ("x_r", "x_w", "x_k", "x_v", "x_a", "x_g", "w0", "a0", "k_k", "k_a"):
            expected[f"{block}.att.{name}"] = vector
        for name, rank in (("w", "decay_rank"), ("a", "rate_rank"), ("g", "gate_rank")):
            expected[f"{block}.att.{name}1"] = (dim, RANKS[rank])
            expected[f"{block}.att.{name}2"] = (RANKS[rank], dim)
        for name in ("receptance", "key", "value", "output"):
            expected[f"{block}.att.{name}.weight"] = square
        expected[f"{block}.att.r_k"] = (heads, size)
        expected[f"{block}.ffn.x_k"] = vector
        expected[f"{block}.ffn.key.weight"] = (4 * dim, dim)
        expected[f"{block}.ffn.value.weight"] = (dim, 4 * dim)
    ours = {name: tuple(x.shape) for name, x in RWKV(tiny_config()).state_dict().items()}
    assert ours == expected


@pytest.mark.parametrize(
    ("layers", "dim", "ranks", "count"),
    [
        (12, 768, (64, 32, 128), 191_034_624),
        (24, 1024, (64, 32, 128), 450_767_872),
        (24, 2048, (96, 64, 256), 1_527_404_544),
        (61, 4096, (192, 128, 384), 13_269_245_952),
    ],
)
def test_parameter_count_is_the_published_one(
    layers: int, dim: int, ranks: tuple[int, int, int], count: int
) -> None:
    # Guards: a size that only a tiny model gets right.
    config = RWKVConfig(
        vocab_size=65536,
        dim=dim,
        num_layers=layers,
        decay_rank=ranks[0],
        rate_rank=ranks[0],
        value_rank=ranks[1],
        gate_rank=ranks[2],
    )
    with torch.device("meta"):
        assert sum(x.numel() for x in RWKV(config).parameters()) == count


@pytest.mark.parametrize("chunk_size", [1, 3, 16])
def test_chunk_size_does_not_show(chunk_size: int) -> None:
    # Guards: a result that depends on a setting of speed.
    ids = torch.tensor(token_rows(0, [13, 13]))
    expected, _ = tiny_policy(dtype=torch.float64)(ids)
    logits, _ = tiny_policy(dtype=torch.float64, chunk_size=chunk_size)(ids)
    assert_close(logits, expected, atol=1e-10, rtol=0)


def test_token_by_token_is_the_whole_sequence() -> None:
    # Guards: sampling and scoring following different models.
    policy = tiny_policy(dtype=torch.float64)
    ids = torch.tensor(token_rows(0, [9, 9]))
    expected, end = policy(ids)
    state, steps = None, []
    for t in range(9):
        logits, state = policy(ids[:, t : t + 1], None, state)
        steps.append(logits)
    assert_close(torch.cat(steps, dim=1), expected, atol=1e-10, rtol=0)
    assert_close(state, end, atol=1e-10, rtol=0)


@pytest.mark.parametrize("cut", [1, 4, 6])
def test_continuing_from_the_state_is_one_run(cut: int) -> None:
    # Guards: a token-shift row that is lost between calls.
    policy = tiny_policy(dtype=torch.float64)
    ids = torch.tensor(token_rows(0, [9, 9]))
    expected, end = policy(ids)
    _, state = policy(ids[:, :cut])
    logits, last = policy(ids[:, cut:], None, state)
    assert_close(logits, expected[:, cut:], atol=1e-10, rtol=0)
    assert_close(last, end, atol=1e-10, rtol=0)


@pytest.mark.parametrize("padding", [PAD, EOS, 7])
def test_padding_changes_neither_logits_nor_state(padding: int) -> None:
    # Guards: padding that is read as a token; a state taken at the last column.
    policy = tiny_policy(dtype=torch.float64)
    with torch.no_grad():
        policy.emb.weight[PAD] = 1e4  # nothing in particular may depend on what padding holds
    rows = token_rows(0, LENGTHS)
    ids, lengths = pad_right([*rows, [2] * 14], padding)
    logits, state = policy(ids, lengths)
    for row, tokens in enumerate(rows):
        expected, end = policy(torch.tensor([tokens]))
        assert_close(logits[row, : len(tokens)], expected[0], atol=1e-10, rtol=0)
        assert_close(
            [x[:, row] for x in stacked(state)], [x[:, 0] for x in stacked(end)], atol=1e-10, rtol=0
        )


def test_ragged_prefill_and_decode_is_one_by_one() -> None:
    # Guards: a continuation from the state of a padded row.
    policy = tiny_policy(dtype=torch.float64)
    rows = token_rows(0, LENGTHS)
    _, state = policy(*pad_right(rows, PAD))
    following = torch.tensor([[2, 3], [4, 5], [6, 7], [8, 9]])
    logits, _ = policy(following, None, state)
    for row, tokens in enumerate(rows):
        whole, _ = policy(torch.tensor([[*tokens, *following[row].tolist()]]))
        assert_close(logits[row], whole[0, -2:], atol=1e-10, rtol=0)


def test_ragged_continuation_from_a_state() -> None:
    # Guards: padding combined with an incoming state, in the shift rows above all.
    policy = tiny_policy(dtype=torch.float64)
    first, second = token_rows(0, [3, 3, 3]), token_rows(1, [1, 4, 2])
    _, state = policy(torch.tensor(first))
    _, state = policy(*pad_right(second, PAD), state)
    for row in range(3):
        _, end = policy(torch.tensor([[*first[row], *second[row]]]))
        assert_close(
            [x[:, row] for x in stacked(state)], [x[:, 0] for x in stacked(end)], atol=1e-10, rtol=0
        )


def test_forked_states_go_their_own_ways() -> None:
    # Guards: K responses that share memory, or a fork in the wrong order.
    policy = tiny_policy(dtype=torch.float64)
    prompts = token_rows(0, [4, 2])
    _, state = policy(*pad_right(prompts, PAD))
    forked = state.repeat(3)
    before = [x.clone() for x in stacked(forked)]
    tokens = torch.tensor([[2], [3], [4], [5], [6], [7]])
    logits, _ = policy(tokens, None, forked)
    assert all(torch.equal(x, y) for x, y in zip(stacked(forked), before, strict=True))
    for row in range(6):
        whole, _ = policy(torch.tensor([[*prompts[row // 3], int(tokens[row])]]))
        assert_close(logits[row, 0], whole[0, -1], atol=1e-10, rtol=0)


def test_selected_states_are_those_rows() -> None:
    # Guards: selection along layers instead of rows.
    policy = tiny_policy()
    _, state = policy(*pad_right(token_rows(0, LENGTHS), PAD))
    chosen = state.select(torch.tensor([3, 1, 1]))
    for ours, theirs in zip(stacked(chosen), stacked(state), strict=True):
        assert torch.equal(ours, torch.stack([theirs[:, 3], theirs[:, 1], theirs[:, 1]], dim=1))


def test_no_token_sees_the_future() -> None:
    # Guards: a leak inside a chunk.
    policy = tiny_policy(dtype=torch.float64)
    ids = torch.tensor(token_rows(0, [10]))
    other = ids.clone()
    other[0, 6] = (other[0, 6] + 1) % 11
    first, second = policy(ids)[0], policy(other)[0]
    assert_close(first[:, :6], second[:, :6], atol=1e-12, rtol=0)
    assert all((first[0, t] - second[0, t]).abs().max() > 1e-6 for t in range(6, 10))


def test_padding_gets_no_gradient() -> None:
    # Guards: padding that trains the embedding, or a division by zero at its zero keys.
    policy = tiny_policy(dtype=torch.float64)
    rows = token_rows(0, LENGTHS)
    ids, lengths = pad_right(rows, PAD)
    hidden, state = policy.encode(ids, lengths)
    weights = random(1, *hidden.shape)
    is_real = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).unsqueeze(-1)
    ((hidden * weights * is_real).sum() + sum((x**2).sum() for x in stacked(state))).backward()
    assert not policy.emb.weight.grad[PAD].any()
    assert all(x.grad is None or x.grad.isfinite().all() for x in policy.parameters())


def test_bfloat16_model_carries_a_float32_state() -> None:
    # Guards: a carried state in the model's own half precision.
    policy = tiny_policy().bfloat16()
    ids, lengths = pad_right(token_rows(0, LENGTHS), PAD)
    logits, state = policy(ids, lengths)
    assert logits.dtype == torch.bfloat16
    assert {x.dtype for x in (*state.wkv, *policy.initial_state(1).wkv)} == {torch.float32}
