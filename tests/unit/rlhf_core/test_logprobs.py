"""Log-probabilities of responses, and estimators of KL."""

import math

import pytest
import torch
from torch.testing import assert_close

from rlhf_core.collate import Dialogues, join
from rlhf_core.logprobs import (
    KL_ESTIMATORS,
    kl_k1,
    kl_k2,
    kl_k3,
    logprobs_and_entropy,
    response_logprobs,
    token_logits,
)
from tests.oracles.responses_enumerated import response_probabilities
from tests.unit.rlhf_core.builders import (
    EOS,
    PAD,
    ragged_dialogues,
    random,
    tiny_policy,
    with_padding_of,
)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("pad_id", [None, PAD])
@torch.no_grad()
def test_equal_to_the_full_log_softmax_row_by_row(temperature: float, pad_id: int | None) -> None:
    # Guards: a shift by one, a temperature that multiplies or is left out, a PAD with a share.
    policy = tiny_policy(dtype=torch.float64)
    batch = ragged_dialogues()
    result, entropies = logprobs_and_entropy(policy, batch, temperature=temperature, pad_id=pad_id)
    assert_close(response_logprobs(policy, batch, temperature=temperature, pad_id=pad_id), result)
    for row in range(4):
        ids = batch.ids[row, : batch.lengths[row]].tolist()
        logits = policy(torch.tensor([ids]))[0][0]
        possible = logits[:, 1:] if pad_id == PAD else logits
        shares = (possible / temperature).softmax(-1)
        log_softmax = shares.log().tolist()
        if pad_id == PAD:
            log_softmax = [[None, *row] for row in log_softmax]
        start = int(batch.prompt_lengths[row])
        for t, position in enumerate(range(start, len(ids))):
            expected = log_softmax[position - 1][ids[position]]
            assert result.is_response[row, t]
            assert float(result.logprobs[row, t]) == pytest.approx(expected, abs=1e-10)
            entropy = -sum(p * math.log(p) for p in shares[position - 1].tolist())
            assert float(entropies[row, t]) == pytest.approx(entropy, abs=1e-10)
        assert not result.is_response[row, len(ids) - start :].any()


@pytest.mark.parametrize("value", [PAD, EOS, 9])
@torch.no_grad()
def test_padding_is_inert(value: int) -> None:
    # Guards: padding that is scored as part of the response.
    policy = tiny_policy(dtype=torch.float64)
    batch = ragged_dialogues()
    first, second = (
        logprobs_and_entropy(policy, rows, temperature=1.0, pad_id=PAD)
        for rows in (batch, with_padding_of(batch, value))
    )
    assert_close(second, first, atol=1e-10, rtol=0)
    scored, entropies = first
    for padded in (scored.logprobs, entropies):
        assert not padded[~scored.is_response].any()


@torch.no_grad()
def test_scorer_agrees_with_the_distribution_that_is_sampled() -> None:
    # Guards: sampling one policy and scoring another (negative mean KL).
    policy = tiny_policy(2, vocab_size=5, dtype=torch.float64)
    expected = response_probabilities(
        policy, [2, 3], max_tokens=3, temperature=0.7, pad_id=PAD, eos_id=EOS
    )
    responses = [list(ids) for ids in expected]
    batch = join([[2, 3]] * len(responses), responses, PAD)
    logprobs = response_logprobs(policy, batch, temperature=0.7, pad_id=PAD).logprobs
    probabilities = torch.tensor(list(expected.values()), dtype=torch.float64)
    assert_close(logprobs.sum(1).exp(), probabilities, atol=1e-12, rtol=0)
    assert float(logprobs.sum(1).exp().sum()) == pytest.approx(1, abs=1e-12)


@torch.no_grad()
def test_rows_do_not_depend_on_each_other() -> None:
    # Guards: a result that depends on what other rows stand in the batch.
    policy = tiny_policy(dtype=torch.float64)
    batch = ragged_dialogues()
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Dialogues(*(x[order] for x in batch))
    first, second = (
        response_logprobs(policy, rows, temperature=1.0, pad_id=PAD).logprobs
        for rows in (batch, shuffled)
    )
    assert_close(second, first[order], atol=1e-10, rtol=0)


def test_k1_and_k3_have_the_expectation_of_the_true_kl() -> None:
    # Guards: k3 with the ratio upside down, k1 with the sign reversed.
    log_policy, log_reference = random(0, 6).log_softmax(0), random(1, 6).log_softmax(0)
    share = log_policy.exp()
    true = sum(
        float(p) * (float(a) - float(b))
        for p, a, b in zip(share, log_policy, log_reference, strict=True)
    )
    assert true > 0.1
    for estimator in (kl_k1, kl_k3):
        assert float((share * estimator(log_policy, log_reference)).sum()) == pytest.approx(true)


def test_k3_is_never_negative_and_zero_at_equality() -> None:
    # Guards: cancellation, which makes (rho - 1) - log rho negative near 1.
    near = 1e-5 * random(0, 1000, dtype=torch.float32)
    assert (kl_k3(near, torch.zeros(1000)) >= 0).all()
    assert (kl_k3(random(0, 1000), random(1, 1000)) > 0).all()
    assert not kl_k3(near, near).any()
    assert not kl_k1(near, near).any()
    assert (kl_k1(random(0, 1000), random(1, 1000)) < 0).any()


def test_k2_is_half_the_squared_log_ratio() -> None:
    # Guards: the square of a ratio, a missing half; agreement to second order where policies are
    # close.
    assert kl_k2(torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, -1.0])).tolist() == [2.0, 0.5]
    first, second = random(0, 100), random(1, 100)
    assert torch.equal(kl_k2(first, second), kl_k2(second, first))
    near = 1e-3 * first
    assert_close(kl_k2(near, torch.zeros(100).double()), kl_k3(near, 0 * near), atol=1e-7, rtol=0)


def test_estimators_go_by_their_names() -> None:
    # Guards: a config that names one estimator and gets another.
    assert {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3} == KL_ESTIMATORS


def test_token_logits_are_tempered_and_without_padding() -> None:
    # Guards: a temperature that multiplies; PAD's share handed out, or another token's taken.
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 5.0]])
    shares = token_logits(logits, temperature=0.5, pad_id=0).softmax(-1)
    odds = math.exp(2.0)  # (2 - 1) / 0.5
    assert_close(shares[0], torch.tensor([0.0, 1 / (1 + odds), odds / (1 + odds)]))
    assert shares[1].tolist() == [0.0, 0.5, 0.5]
    assert torch.equal(token_logits(logits, temperature=0.5, pad_id=None), 2 * logits)
    last = token_logits(logits, temperature=1.0, pad_id=2)
    assert torch.equal(last[:, :2], logits[:, :2])
    assert (last[:, 2] == -torch.inf).all()


def test_token_logits_keep_at_least_float32() -> None:
    # Guards: log-probabilities in bfloat16, whose ratios jump by a percent.
    for given, kept in (
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        logits = torch.ones(2, 3, dtype=given)
        assert token_logits(logits, temperature=1.0, pad_id=0).dtype == kept


def test_a_token_that_cannot_be_produced_leaves_finite_gradients() -> None:
    # Guards: 0 * inf on the way back through PAD's logit.
    policy, batch = tiny_policy(), ragged_dialogues()
    result = response_logprobs(policy, batch, temperature=0.7, pad_id=PAD)
    result.logprobs.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in policy.parameters())
    assert not policy.head.weight.grad[PAD].any()
    assert policy.head.weight.grad[EOS].any()
