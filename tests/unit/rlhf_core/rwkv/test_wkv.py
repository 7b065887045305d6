"""The WKV recurrence against its definition."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.rwkv.wkv import WKVInputs, wkv_chunked, wkv_sequential
from rlhf_core.seeding import generator_for
from tests.oracles.rwkv7_numpy import wkv_step
from tests.unit.rlhf_core.builders import random

STRONGEST = -math.exp(-0.5)


def wkv_inputs(
    num_tokens: int,
    *,
    seed: int = 0,
    batch: int = 2,
    heads: int = 2,
    size: int = 4,
    dtype: torch.dtype = torch.float64,
) -> WKVInputs:
    generator = generator_for(seed, "wkv")

    def draw() -> Tensor:
        shape = (batch, num_tokens, heads, size)
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    r, k, v = draw(), draw(), draw()
    log_w = STRONGEST * torch.sigmoid(2 * draw())
    kk = torch.nn.functional.normalize(draw(), dim=-1)
    return WKVInputs(*(x.to(dtype) for x in (r, log_w, k, v, kk, torch.sigmoid(draw()))))


def start_state(inputs: WKVInputs, seed: int = 1) -> Tensor:
    batch, _, heads, size = inputs.r.shape
    return random(seed, batch, heads, size, size).to(inputs.r.dtype)


def looping_inputs(num_tokens: int, log_w: float, size: int = 16) -> WKVInputs:
    """A policy stuck in a loop: the same key at every step, rate 1."""
    inputs = wkv_inputs(num_tokens, size=size)
    kk = inputs.kk[:, :1].expand_as(inputs.kk)
    return inputs._replace(
        kk=kk, k=kk, a=torch.ones_like(inputs.a), log_w=torch.full_like(inputs.log_w, log_w)
    )


def relative_error(value: Tensor, truth: Tensor) -> float:
    return float((value.double() - truth).abs().max() / truth.abs().max())


def test_sequential_is_the_recurrence_of_the_paper() -> None:
    # Guards: a wrong sign, a transposed state, y read before the update.
    inputs = wkv_inputs(7)
    state = start_state(inputs)
    y, end = wkv_sequential(inputs, state)
    for row in range(2):
        for head in range(2):
            oracle = state[row, head].numpy()
            for t in range(7):
                r, log_w, k, v, kk, a = (x[row, t, head].numpy() for x in inputs)
                expected, oracle = wkv_step(oracle, r=r, w=np.exp(log_w), k=k, v=v, kk=kk, a=a)
                assert_close(y[row, t, head].numpy(), expected, atol=1e-10, rtol=0)
            assert_close(end[row, head].numpy(), oracle, atol=1e-10, rtol=0)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 16, 64])
@pytest.mark.parametrize("num_tokens", [1, 5, 16, 33])
def test_chunked_is_sequential(num_tokens: int, chunk_size: int) -> None:
    # Guards: an off-by-one of a chunk's edge, a lost incoming state, T no multiple of the chunk.
    inputs = wkv_inputs(num_tokens)
    state = start_state(inputs)
    expected = wkv_sequential(inputs, state)
    chunked = wkv_chunked(inputs, state, chunk_size=chunk_size)
    assert_close(chunked, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("chunk_size", [16, 32, 64])
def test_float32_stays_close_to_float64(chunk_size: int) -> None:
    # Guards: a half precision or a cumulative product inside the recurrence.
    inputs = wkv_inputs(130, size=16)
    state = start_state(inputs)
    truth, truth_end = wkv_sequential(inputs, state)
    single = WKVInputs(*(x.float() for x in inputs))
    for y, end in (
        wkv_sequential(single, state.float()),
        wkv_chunked(single, state.float(), chunk_size=chunk_size),
    ):
        assert relative_error(y, truth) < 1e-5
        assert relative_error(end, truth_end) < 1e-5


@pytest.mark.parametrize("log_w", [0.0, -1e-4, -2e-3])
@pytest.mark.parametrize("chunk_size", [16, 32, 64])
def test_repeated_keys_with_slow_decay_stay_exact(chunk_size: int, log_w: float) -> None:
    # Guards: inversion by Neumann doubling, whose powers overflow when a policy loops.
    inputs = looping_inputs(128, log_w)
    state = start_state(inputs)
    truth, truth_end = wkv_sequential(inputs, state)
    single = WKVInputs(*(x.float() for x in inputs))
    y, end = wkv_chunked(single, state.float(), chunk_size=chunk_size)
    assert relative_error(y, truth) < 1e-5
    assert relative_error(end, truth_end) < 1e-5


@pytest.mark.parametrize("chunk_size", [16, 64, 256])
def test_strongest_decay_does_not_overflow(chunk_size: int) -> None:
    # Guards: decays referred to the chunk's start, whose inverse leaves float32 at long chunks.
    inputs = wkv_inputs(256, size=8)
    inputs = inputs._replace(log_w=torch.full_like(inputs.log_w, STRONGEST))
    state = start_state(inputs)
    truth, truth_end = wkv_sequential(inputs, state)
    single = WKVInputs(*(x.float() for x in inputs))
    y, end = wkv_chunked(single, state.float(), chunk_size=chunk_size)
    assert relative_error(y, truth) < 1e-5
    assert relative_error(end, truth_end) < 1e-5


@pytest.mark.parametrize("form", ["sequential", "chunked"])
def test_gradients_are_those_of_finite_differences(form: str) -> None:
    # Guards: a detached intermediate, a non-differentiable in-place write.
    inputs = wkv_inputs(5, batch=1, heads=1, size=2)
    leaves = [x.clone().requires_grad_() for x in (*inputs, start_state(inputs))]

    def recurrence(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        if form == "sequential":
            return wkv_sequential(WKVInputs(*tensors[:6]), tensors[6])
        return wkv_chunked(WKVInputs(*tensors[:6]), tensors[6], chunk_size=2)

    assert torch.autograd.gradcheck(recurrence, leaves)


def test_gradients_of_both_forms_agree() -> None:
    # Guards: training (chunked) and decoding (sequential) following different functions.
    inputs = wkv_inputs(37, size=8)
    weights = random(5, 2, 37, 2, 8)
    gradients = []
    for form in (wkv_sequential, lambda i, s: wkv_chunked(i, s, chunk_size=16)):
        leaves = [x.clone().requires_grad_() for x in (*inputs, start_state(inputs))]
        y, end = form(WKVInputs(*leaves[:6]), leaves[6])
        ((y * weights).sum() + (end**2).sum()).backward()
        gradients.append([leaf.grad for leaf in leaves])
    assert_close(gradients[1], gradients[0], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("cut", [1, 7, 16, 20])
def test_continuing_from_the_state_is_one_run(cut: int) -> None:
    # Guards: a state that is not all that the future depends on.
    inputs = wkv_inputs(21)
    state = start_state(inputs)
    whole, end = wkv_chunked(inputs, state, chunk_size=8)
    first, middle = wkv_chunked(WKVInputs(*(x[:, :cut] for x in inputs)), state, chunk_size=8)
    second, last = wkv_sequential(WKVInputs(*(x[:, cut:] for x in inputs)), middle)
    assert_close(torch.cat([first, second], dim=1), whole, atol=1e-10, rtol=0)
    assert_close(last, end, atol=1e-10, rtol=0)


def test_identity_steps_leave_the_state_bit_equal() -> None:
    # Guards: padding that decays or writes to the state.
    inputs = wkv_inputs(9)
    zero = torch.zeros_like(inputs.k)
    idle = inputs._replace(log_w=zero, k=zero, v=zero, kk=zero)
    state = start_state(inputs)
    assert torch.equal(wkv_sequential(idle, state)[1], state)
    assert torch.equal(wkv_chunked(idle, state, chunk_size=4)[1], state)


def test_half_precision_inputs_are_computed_in_float32() -> None:
    # Guards: a bfloat16 state, which loses a quarter of the past in 512 tokens.
    inputs = wkv_inputs(6, dtype=torch.bfloat16)
    state = start_state(inputs).float()
    for y, end in (wkv_sequential(inputs, state), wkv_chunked(inputs, state, chunk_size=4)):
        assert y.dtype == end.dtype == torch.float32
    exact = WKVInputs(*(x.double() for x in inputs))
    assert relative_error(y, wkv_sequential(exact, state.double())[0]) < 1e-5


def test_inputs_are_not_written_to() -> None:
    # Guards: an in-place decode step that spoils a forked state.
    inputs = wkv_inputs(6)
    state = start_state(inputs)
    before = [x.clone() for x in (*inputs, state)]
    wkv_sequential(inputs, state)
    wkv_chunked(inputs, state, chunk_size=4)
    assert all(torch.equal(x, y) for x, y in zip((*inputs, state), before, strict=True))
