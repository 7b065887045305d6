"""Log-probabilities of responses, and estimators of KL."""

import pytest
import torch
from torch.testing import assert_close

from rlhf_core.collate import Dialogues, join
from rlhf_core.logprobs import kl_k1, kl_k3, response_logprobs
from tests.oracles.responses_enumerated import response_probabilities
from tests.unit.rlhf_core.builders import (
    EOS,
    PAD,
    ragged_dialogues,
    random,
    tiny_policy,
    with_padding_of,
    without_padding,
)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
@torch.no_grad()
def test_equal_to_the_full_log_softmax_row_by_row(temperature: float) -> None:
    # Guards: a shift by one, a temperature that multiplies or is left out.
    policy = tiny_policy(dtype=torch.float64)
    batch = ragged_dialogues()
    result = response_logprobs(policy, batch, temperature=temperature)
    for row in range(4):
        ids = batch.ids[row, : batch.lengths[row]].tolist()
        log_softmax = (policy(torch.tensor([ids]))[0][0] / temperature).log_softmax(-1)
        start = int(batch.prompt_lengths[row])
        for t, position in enumerate(range(start, len(ids))):
            distribution = log_softmax[position - 1]
            assert result.is_response[row, t]
            assert_close(
                result.logprobs[row, t].double(), distribution[ids[position]], atol=1e-5, rtol=0
            )
            entropy = -sum(float(x) * float(x.exp()) for x in distribution)
            assert float(result.entropy[row, t]) == pytest.approx(entropy, abs=1e-5)
        assert not result.is_response[row, len(ids) - start :].any()


@pytest.mark.parametrize("value", [PAD, EOS, 9])
@torch.no_grad()
def test_padding_is_inert(value: int) -> None:
    # Guards: padding that is scored as part of the response.
    policy = tiny_policy(dtype=torch.float64)
    batch = ragged_dialogues()
    first = response_logprobs(policy, batch, temperature=1.0)
    second = response_logprobs(policy, with_padding_of(batch, value), temperature=1.0)
    assert_close(second, first, atol=1e-6, rtol=0)
    for padded in (first.logprobs, first.entropy):
        assert not padded[~first.is_response].any()


@torch.no_grad()
def test_scorer_agrees_with_the_distribution_that_is_sampled() -> None:
    # Guards: sampling one policy and scoring another (negative mean KL).
    policy = without_padding(tiny_policy(2, vocab_size=5))
    expected = response_probabilities(
        policy, [2, 3], max_tokens=3, temperature=0.7, pad_id=PAD, eos_id=EOS
    )
    responses = [list(ids) for ids in expected]
    batch = join([[2, 3]] * len(responses), responses, PAD)
    logprobs = response_logprobs(policy, batch, temperature=0.7).logprobs
    assert_close(logprobs.sum(1).exp(), torch.tensor(list(expected.values())), atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_rows_do_not_depend_on_each_other() -> None:
    # Guards: a result that depends on what other rows stand in the batch.
    policy = tiny_policy(dtype=torch.float64)
    batch = ragged_dialogues()
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Dialogues(*(x[order] for x in batch))
    first = response_logprobs(policy, batch, temperature=1.0).logprobs
    second = response_logprobs(policy, shuffled, temperature=1.0).logprobs
    assert_close(second, first[order], atol=1e-6, rtol=0)


def test_both_estimators_have_the_expectation_of_the_true_kl() -> None:
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
