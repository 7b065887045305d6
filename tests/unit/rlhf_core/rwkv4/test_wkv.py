"""The WKV recurrence of RWKV-4 against its definition."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.rwkv4.wkv import (
    WeightedSum,
    WKV4Inputs,
    empty_sum,
    wkv4_chunked,
    wkv4_sequential,
)
from tests.oracles import rwkv4_numpy as oracle
from tests.unit.rlhf_core.builders import random

FORMS = {
    "sequential": wkv4_sequential,
    "chunked": lambda inputs, state: wkv4_chunked(inputs, state, chunk_size=4),
}


def wkv_inputs(
    num_tokens: int, *, batch: int = 2, dim: int = 5, dtype: torch.dtype = torch.float64
) -> WKV4Inputs:
    k, v = 2 * random(0, batch, num_tokens, dim), random(1, batch, num_tokens, dim)
    w, u = -(random(2, dim) - 1).exp(), random(3, dim)
    return WKV4Inputs(*(x.to(dtype) for x in (k, v, w, u)))


def start_state(inputs: WKV4Inputs) -> WeightedSum:
    """What some earlier tokens leave."""
    batch, _, dim = inputs.k.shape
    earlier = inputs._replace(k=random(4, batch, 3, dim), v=random(5, batch, 3, dim))
    _, state = wkv4_sequential(earlier, empty_sum(earlier.k[:, 0]))
    return WeightedSum(*(x.to(inputs.k.dtype) for x in state))


def part(inputs: WKV4Inputs, where: slice) -> WKV4Inputs:
    is_real = None if inputs.is_real is None else inputs.is_real[:, where]
    return inputs._replace(k=inputs.k[:, where], v=inputs.v[:, where], is_real=is_real)


def relative_error(value: Tensor, truth: Tensor) -> float:
    return float((value.double() - truth).abs().max() / truth.abs().max())


@pytest.mark.parametrize("form", FORMS)
def test_outputs_are_the_sums_of_the_paper(form: str) -> None:
    # Guards: a decay of the token before counted once too often, the bonus kept in the state.
    inputs = wkv_inputs(11)
    y, end = FORMS[form](inputs, empty_sum(inputs.k[:, 0]))
    w, u = inputs.w.numpy(), inputs.u.numpy()
    for row in range(2):
        keys, values = inputs.k[row].numpy(), inputs.v[row].numpy()
        for t in range(11):
            expected = oracle.wkv(keys[: t + 1], values[: t + 1], w, u)
            assert_close(y[row, t].numpy(), expected, atol=1e-10, rtol=0)
        for ours, expected in zip(end[:2], oracle.carried_sums(keys, values, w), strict=True):
            unscaled = ours[row].numpy() * np.exp(end.exponent[row].numpy())
            assert_close(unscaled, expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 16, 64])
@pytest.mark.parametrize("num_tokens", [1, 5, 16, 33])
def test_chunked_is_sequential(num_tokens: int, chunk_size: int) -> None:
    # Guards: an off-by-one of a chunk's edge, a lost incoming state, T no multiple of the chunk.
    inputs = wkv_inputs(num_tokens)
    state = start_state(inputs)
    expected = wkv4_sequential(inputs, state)
    chunked = wkv4_chunked(inputs, state, chunk_size=chunk_size)
    assert_close(chunked, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shift", [-1000.0, 1000.0])
def test_a_constant_in_all_keys_changes_nothing(form: str, shift: float) -> None:
    # Guards: an exponential that is taken before the largest exponent is subtracted.
    inputs = wkv_inputs(19)
    empty = empty_sum(inputs.k[:, 0])
    expected, end = FORMS[form](inputs, empty)
    y, moved = FORMS[form](inputs._replace(k=inputs.k + shift), empty)
    assert_close(y, expected, atol=1e-10, rtol=0)
    assert_close(moved.exponent - shift, end.exponent, atol=1e-10, rtol=0)
    assert_close(moved[:2], end[:2], atol=1e-10, rtol=0)


@pytest.mark.parametrize("log_decay", [-40.0, -1e-4])
def test_extreme_decays_stay_exact(log_decay: float) -> None:
    # Guards: decays that are multiplied up and divided out again.
    inputs = wkv_inputs(130)
    inputs = inputs._replace(w=torch.full_like(inputs.w, log_decay))
    state = start_state(inputs)
    truth, truth_end = wkv4_sequential(inputs, state)
    single = WKV4Inputs(*(x.float() for x in inputs[:4]))
    single_state = WeightedSum(*(x.float() for x in state))
    for y, end in (
        wkv4_sequential(single, single_state),
        wkv4_chunked(single, single_state, chunk_size=16),
    ):
        assert relative_error(y, truth) < 1e-5
        assert relative_error(end.mean(), truth_end.mean()) < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_finite_differences(form: str) -> None:
    # Guards: a detached exponent that takes a part of the gradient with it.
    inputs = wkv_inputs(6, batch=1, dim=2)
    state = start_state(inputs)
    leaves = [x.clone().requires_grad_() for x in (*inputs[:4], *state)]

    def recurrence(*tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, end = FORMS[form](WKV4Inputs(*tensors[:4]), WeightedSum(*tensors[4:]))
        # Of an end only the sums have gradients; how they are scaled is nobody's parameter.
        return y, end.numerator * end.exponent.exp(), end.denominator * end.exponent.exp()

    assert torch.autograd.gradcheck(recurrence, leaves)


def test_gradients_of_both_forms_agree() -> None:
    # Guards: training (chunked) and decoding (sequential) following different functions.
    inputs = wkv_inputs(37)
    weights = random(6, 2, 37, 5)
    gradients = []
    for form in (wkv4_sequential, lambda i, s: wkv4_chunked(i, s, chunk_size=16)):
        leaves = [x.clone().requires_grad_() for x in (*inputs[:4], *start_state(inputs))]
        y, end = form(WKV4Inputs(*leaves[:4]), WeightedSum(*leaves[4:]))
        ((y * weights).sum() + (end.mean() ** 2).sum()).backward()
        gradients.append([leaf.grad for leaf in leaves])
    assert_close(gradients[1], gradients[0], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("cut", [1, 7, 16, 20])
def test_continuing_from_the_state_is_one_run(cut: int) -> None:
    # Guards: a state that is not all that the future depends on.
    inputs = wkv_inputs(21)
    state = start_state(inputs)
    whole, end = wkv4_chunked(inputs, state, chunk_size=8)
    first, middle = wkv4_chunked(part(inputs, slice(0, cut)), state, chunk_size=8)
    second, last = wkv4_sequential(part(inputs, slice(cut, 21)), middle)
    assert_close(torch.cat([first, second], dim=1), whole, atol=1e-10, rtol=0)
    assert_close(last, end, atol=1e-10, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_padding_leaves_the_state_bit_equal(form: str) -> None:
    # Guards: padding that decays the state or adds to it.
    inputs = wkv_inputs(9)
    idle = inputs._replace(is_real=torch.zeros(2, 9, 1, dtype=torch.bool))
    state = start_state(inputs)
    y, end = FORMS[form](idle, state)
    assert all(torch.equal(x, z) for x, z in zip(end, state, strict=True))
    assert y.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_a_ragged_batch_is_its_rows_one_by_one(form: str) -> None:
    # Guards: a chunk of padding, or the end of a row inside a chunk, that moves the others' state.
    lengths = [3, 14]
    is_real = torch.arange(14).expand(2, 14) < torch.tensor(lengths).unsqueeze(1)
    inputs = wkv_inputs(14)._replace(is_real=is_real.unsqueeze(-1))
    y, end = FORMS[form](inputs, empty_sum(inputs.k[:, 0]))
    for row, length in enumerate(lengths):
        alone = inputs._replace(
            k=inputs.k[row : row + 1, :length], v=inputs.v[row : row + 1, :length], is_real=None
        )
        expected, state = wkv4_sequential(alone, empty_sum(alone.k[:, 0]))
        assert_close(y[row : row + 1, :length], expected, atol=1e-10, rtol=0)
        assert_close([x[row] for x in end], [x[0] for x in state], atol=1e-10, rtol=0)


@pytest.mark.parametrize("form", FORMS)
def test_half_precision_inputs_are_computed_in_float32(form: str) -> None:
    # Guards: a bfloat16 sum, which soon no longer notices a new token.
    inputs = wkv_inputs(6, dtype=torch.bfloat16)
    y, end = FORMS[form](inputs, empty_sum(inputs.k[:, 0].float()))
    assert y.dtype == end.numerator.dtype == end.exponent.dtype == torch.float32
    exact = WKV4Inputs(*(x.double() for x in inputs[:4]))
    truth, _ = wkv4_sequential(exact, empty_sum(exact.k[:, 0]))
    assert relative_error(y, truth) < 1e-5


def test_memory_grows_as_the_length() -> None:
    # Guards: a T x T matrix per channel, which no long sequence would fit beside.
    def kept_for_backward(num_tokens: int) -> int:
        sizes = []

        def note(x: Tensor) -> Tensor:
            sizes.append(x.numel())
            return x

        inputs = wkv_inputs(num_tokens)
        inputs.k.requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            wkv4_chunked(inputs, empty_sum(inputs.k.detach()[:, 0]), chunk_size=16)
        return sum(sizes)

    assert kept_for_backward(512) < 2.2 * kept_for_backward(256)


def test_inputs_are_not_written_to() -> None:
    # Guards: an in-place decode step that spoils a forked state.
    inputs = wkv_inputs(6)
    state = start_state(inputs)
    before = [x.clone() for x in (*inputs[:4], *state)]
    for form in FORMS.values():
        form(inputs, state)
    after = (*inputs[:4], *state)
    assert all(torch.equal(x, z) for x, z in zip(after, before, strict=True))
