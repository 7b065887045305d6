"""The RWKV-4 model: equal to its definition, in every way of feeding it."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from rlhf_core.collate import pad_right
from rlhf_core.rwkv4.config import RWKV4Config
from rlhf_core.rwkv4.model import RWKV4
from tests.oracles import rwkv4_numpy as oracle
from tests.unit.rlhf_core.builders import EOS, PAD, random, token_rows
from tests.unit.rlhf_core.rwkv4.setting import tiny_config, tiny_rwkv4

LENGTHS = [5, 1, 9, 4]


def oracle_run(model: RWKV4, ids: list[int]) -> tuple[np.ndarray, list[oracle.LayerHistory]]:
    weights = {name: value.double().numpy() for name, value in model.state_dict().items()}
    empty = oracle.empty_history(model.config.num_layers, model.config.dim)
    return oracle.logits_and_history(weights, ids, empty)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@torch.no_grad()
def test_logits_and_state_are_those_of_the_equations(dtype: torch.dtype, atol: float) -> None:
    # Guards: any wrong mix, decay, bonus, gate or norm.
    model = tiny_rwkv4(dtype=torch.float64)
    ids = token_rows(3, [14])[0]
    expected, history = oracle_run(model, ids)
    logits, state = model.to(dtype)(torch.tensor([ids]))
    assert np.abs(expected).max() > 0.5
    assert_close(logits[0].double().numpy(), expected, atol=atol, rtol=0)
    for layer, seen in enumerate(history):
        for name in ("time_shift", "channel_shift"):
            ours = getattr(state, name)[layer, 0].double().numpy()
            assert_close(ours, getattr(seen, name), atol=atol, rtol=0)
        w = -model.layers[layer].att.time_decay.double().exp().numpy()
        scale = np.exp(state.exponent[layer, 0].double().numpy())
        sums = oracle.carried_sums(seen.keys, seen.values, w)
        for ours, theirs in zip((state.numerator, state.denominator), sums, strict=True):
            assert_close(ours[layer, 0].double().numpy(), theirs / scale, atol=atol, rtol=0)


def test_parameters_are_those_of_the_official_checkpoints() -> None:
    # Guards: a renamed, transposed or missing tensor, which no official file would load into.
    dim = 16
    vector, square = (1, 1, dim), (dim, dim)
    expected: dict[str, tuple[int, ...]] = {
        "emb.weight": (11, dim),
        "head.weight": (11, dim),
        "ln_out.weight": (dim,),
        "ln_out.bias": (dim,),
        "blocks.0.ln0.weight": (dim,),
        "blocks.0.ln0.bias": (dim,),
    }
    for block in ("blocks.0", "blocks.1"):
        for norm in ("ln1", "ln2"):
            expected |= {f"{block}.{norm}.weight": (dim,), f"{block}.{norm}.bias": (dim,)}
        expected |= {f"{block}.att.time_decay": (dim,), f"{block}.att.time_first": (dim,)}
        expected |= {f"{block}.att.time_mix_{name}": vector for name in "kvr"}
        expected |= {f"{block}.ffn.time_mix_{name}": vector for name in "kr"}
        for name in ("receptance", "key", "value", "output"):
            expected[f"{block}.att.{name}.weight"] = square
        expected[f"{block}.ffn.key.weight"] = (4 * dim, dim)
        expected[f"{block}.ffn.value.weight"] = (dim, 4 * dim)
        expected[f"{block}.ffn.receptance.weight"] = square
    ours = {name: tuple(x.shape) for name, x in RWKV4(tiny_config()).state_dict().items()}
    assert ours == expected


@pytest.mark.parametrize(
    ("layers", "dim", "count"),
    [(12, 768, 1.693e8), (24, 1024, 4.304e8), (32, 4096, 7.393e9), (40, 5120, 1.415e10)],
)
def test_parameter_count_is_the_published_one(layers: int, dim: int, count: float) -> None:
    # Guards: a size that only a tiny model gets right. Counts: arXiv:2305.13048, table 2.
    with torch.device("meta"):
        model = RWKV4(RWKV4Config(vocab_size=50277, dim=dim, num_layers=layers))
    ours = sum(x.numel() for x in model.parameters())
    assert ours == pytest.approx(count, rel=5e-4)
    # The formula of its section 4.
    assert ours == 2 * 50277 * dim + 13 * dim**2 * layers + dim * (11 * layers + 4)


@pytest.mark.parametrize("chunk_size", [1, 3, 16])
def test_chunk_size_does_not_show(chunk_size: int) -> None:
    # Guards: a result that depends on a setting of speed.
    ids = torch.tensor(token_rows(0, [13, 13]))
    expected, _ = tiny_rwkv4(dtype=torch.float64)(ids)
    logits, _ = tiny_rwkv4(dtype=torch.float64, chunk_size=chunk_size)(ids)
    assert_close(logits, expected, atol=1e-10, rtol=0)


def test_token_by_token_is_the_whole_sequence() -> None:
    # Guards: sampling and scoring following different models.
    model = tiny_rwkv4(dtype=torch.float64)
    ids = torch.tensor(token_rows(0, [9, 9]))
    expected, end = model(ids)
    state, steps = None, []
    for t in range(9):
        logits, state = model(ids[:, t : t + 1], None, state)
        steps.append(logits)
    assert_close(torch.cat(steps, dim=1), expected, atol=1e-10, rtol=0)
    assert_close(state, end, atol=1e-10, rtol=0)


@pytest.mark.parametrize("padding", [PAD, EOS, 7])
def test_padding_changes_neither_logits_nor_state(padding: int) -> None:
    # Guards: padding that is read as a token; a state taken at the last column.
    model = tiny_rwkv4(dtype=torch.float64)
    with torch.no_grad():
        model.emb.weight[PAD] = 1e4  # nothing in particular may depend on what padding holds
    rows = token_rows(0, LENGTHS)
    ids, lengths = pad_right([*rows, [2] * 14], padding)
    logits, state = model(ids, lengths)
    for row, tokens in enumerate(rows):
        expected, end = model(torch.tensor([tokens]))
        assert_close(logits[row, : len(tokens)], expected[0], atol=1e-10, rtol=0)
        assert_close([x[:, row] for x in state], [x[:, 0] for x in end], atol=1e-10, rtol=0)


def test_ragged_continuation_from_a_state() -> None:
    # Guards: padding combined with an incoming state, in the shift rows above all.
    model = tiny_rwkv4(dtype=torch.float64)
    first, second = token_rows(0, [3, 3, 3]), token_rows(1, [1, 4, 2])
    _, state = model(torch.tensor(first))
    logits, state = model(*pad_right(second, PAD), state)
    for row in range(3):
        whole, end = model(torch.tensor([[*first[row], *second[row]]]))
        own = logits[row, : len(second[row])]
        assert_close(own, whole[0, len(first[row]) :], atol=1e-10, rtol=0)
        assert_close([x[:, row] for x in state], [x[:, 0] for x in end], atol=1e-10, rtol=0)


def test_forked_states_go_their_own_ways() -> None:
    # Guards: K responses that share memory, or a fork in the wrong order.
    model = tiny_rwkv4(dtype=torch.float64)
    prompts = token_rows(0, [4, 2])
    _, state = model(*pad_right(prompts, PAD))
    forked = state.repeat(3)
    before = [x.clone() for x in forked]
    tokens = torch.tensor([[2], [3], [4], [5], [6], [7]])
    logits, _ = model(tokens, None, forked)
    assert all(torch.equal(x, y) for x, y in zip(forked, before, strict=True))
    for row in range(6):
        whole, _ = model(torch.tensor([[*prompts[row // 3], int(tokens[row])]]))
        assert_close(logits[row, 0], whole[0, -1], atol=1e-10, rtol=0)


def test_gradients_flow_through_a_shared_prefix() -> None:
    # Guards: a carried state whose detached scale takes a part of the prompt's gradient with it.
    prompt, responses = token_rows(0, [6])[0], token_rows(1, [5, 5])
    gradients = []
    for shared in (True, False):
        model = tiny_rwkv4(dtype=torch.float64)
        if shared:
            _, state = model.encode(torch.tensor([prompt]))
            hidden, _ = model.encode(torch.tensor(responses), None, state.repeat(2))
        else:
            rows = [[*prompt, *response] for response in responses]
            hidden = model.encode(torch.tensor(rows))[0][:, len(prompt) :]
        (hidden * random(2, *hidden.shape)).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0]["blocks.0.att.key.weight"].abs().max() > 0.1
    assert_close(gradients[0], gradients[1], atol=1e-9, rtol=1e-9)


def test_selected_states_are_those_rows() -> None:
    # Guards: selection along layers instead of rows.
    _, state = tiny_rwkv4()(*pad_right(token_rows(0, LENGTHS), PAD))
    chosen = state.select(torch.tensor([3, 1, 1]))
    for ours, theirs in zip(chosen, state, strict=True):
        assert torch.equal(ours, torch.stack([theirs[:, 3], theirs[:, 1], theirs[:, 1]], dim=1))


def test_no_token_sees_the_future() -> None:
    # Guards: a leak inside a chunk.
    model = tiny_rwkv4(dtype=torch.float64)
    ids = torch.tensor(token_rows(0, [10]))
    other = ids.clone()
    other[0, 6] = (other[0, 6] + 1) % 11
    first, second = model(ids)[0], model(other)[0]
    assert_close(first[:, :6], second[:, :6], atol=1e-12, rtol=0)
    assert all((first[0, t] - second[0, t]).abs().max() > 1e-6 for t in range(6, 10))


def test_padding_gets_no_gradient() -> None:
    # Guards: padding that trains the embedding, or an infinite exponent in its backward pass.
    model = tiny_rwkv4(dtype=torch.float64)
    ids, lengths = pad_right(token_rows(0, LENGTHS), PAD)
    hidden, state = model.encode(ids, lengths)
    weights = random(1, *hidden.shape)
    is_real = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).unsqueeze(-1)
    ((hidden * weights * is_real).sum() + sum((x**2).sum() for x in state)).backward()
    assert not model.emb.weight.grad[PAD].any()
    assert all(x.grad is None or x.grad.isfinite().all() for x in model.parameters())


def test_bfloat16_model_carries_a_float32_state() -> None:
    # Guards: a carried sum in the model's own half precision.
    model = tiny_rwkv4().bfloat16()
    logits, state = model(*pad_right(token_rows(0, LENGTHS), PAD))
    assert logits.dtype == torch.bfloat16
    for carried in (state, model.initial_state(1)):
        assert carried.time_shift.dtype == torch.bfloat16
        assert carried.numerator.dtype == carried.exponent.dtype == torch.float32
