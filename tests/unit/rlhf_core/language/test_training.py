"""Language modelling: what is learnt, what is only read, and in which order."""

import math

import pytest
import torch
from torch.testing import assert_close

from rlhf_core.guard import DivergedError
from rlhf_core.language.config import LanguageConfig
from rlhf_core.language.training import (
    Document,
    LanguageTraining,
    language_loss,
    learnable,
)
from rlhf_core.resume import run
from rlhf_core.rwkv.model import RWKV
from tests.unit.rlhf_core.builders import (
    EOS,
    PAD,
    are_equal,
    constant_policy,
    tiny_policy,
    token_rows,
    weights_of,
)

DOCUMENTS = [
    Document(ids, context)
    for ids, context in zip(token_rows(0, [5, 9, 3, 7]), [0, 4, 2, 1], strict=True)
]
CONFIG = LanguageConfig(num_steps=6, batch_size=2, learning_rate=1e-2)


def train(policy: RWKV, config: LanguageConfig, seed: int = 0) -> list[dict[str, float]]:
    return list(run(LanguageTraining(policy, DOCUMENTS, config, pad_id=PAD, seed=seed)))


@torch.no_grad()
def test_loss_is_the_mean_over_learnt_tokens() -> None:
    # Guards: a shift by one, a learnt prompt, a mean of row means.
    policy = tiny_policy(dtype=torch.float64)
    terms = []
    for document in DOCUMENTS:
        log_softmax = policy(torch.tensor([document.ids]))[0][0].log_softmax(-1)
        terms += [
            -float(log_softmax[position - 1, document.ids[position]])
            for position in range(max(document.num_context, 1), len(document.ids))
        ]
    loss, count = language_loss(policy, DOCUMENTS, PAD)
    assert count == len(terms) == 4 + 5 + 1 + 6
    assert float(loss) == pytest.approx(sum(terms) / len(terms), abs=1e-5)


@pytest.mark.parametrize("padding", [EOS, 5])
@torch.no_grad()
def test_padding_is_inert(padding: int) -> None:
    # Guards: padding that is learnt.
    policy = tiny_policy(dtype=torch.float64)
    first, _ = language_loss(policy, DOCUMENTS, PAD)
    second, _ = language_loss(policy, DOCUMENTS, padding)
    assert_close(second, first, atol=1e-6, rtol=0)


def test_context_gets_no_gradient_of_its_own() -> None:
    # Guards: a prompt that is trained on in fine-tuning.
    policy = constant_policy([0.0] * 6)
    loss, count = language_loss(policy, [Document([2, 3, 4, 5], 3)], PAD)
    loss.backward()
    assert count == 1
    gradient = policy.head.weight.grad[:, 0]
    share = torch.full((6,), 1 / 6)
    share[5] -= 1
    assert_close(gradient, share, atol=1e-6, rtol=0)


def test_training_repeats_with_the_seed_and_differs_with_another() -> None:
    # Guards: an order from a global generator.
    runs = []
    for seed in (0, 0, 1):
        policy = tiny_policy()
        runs.append((train(policy, CONFIG, seed), weights_of(policy)))
    assert runs[0][0] == runs[1][0]
    assert are_equal(runs[0][1], runs[1][1])
    assert not are_equal(runs[0][1], runs[2][1])


def test_training_learns_by_heart_and_says_so() -> None:
    # Guards: a step that is computed and not taken; a loop that ends in train mode.
    policy = tiny_policy()
    config = LanguageConfig(num_steps=60, batch_size=4, learning_rate=2e-2)
    metrics = train(policy, config)
    assert len(metrics) == 60
    assert metrics[0]["language/loss"] > 2 * metrics[-1]["language/loss"]
    assert metrics[-1]["language/learning_rate"] == pytest.approx(2e-3, rel=0.01)
    assert metrics[0]["language/tokens"] == 16
    assert all(math.isfinite(value) for step in metrics for value in step.values())
    assert not policy.training


def test_no_token_to_learn_is_an_error() -> None:
    # Guards: a training of nothing that reports success.
    for nothing in ([], [Document([2], 0)], [Document([2, 3], 2)]):
        with pytest.raises(ValueError, match="no document has a token to learn"):
            LanguageTraining(tiny_policy(), nothing, CONFIG, pad_id=PAD, seed=0)


def test_documents_without_a_token_to_learn_are_left_out() -> None:
    # Guards: a batch of them alone, whose loss is the mean of nothing.
    assert learnable([Document([2], 0), *DOCUMENTS, Document([2, 3], 2)]) == DOCUMENTS


def test_a_step_that_explodes_is_not_taken_and_three_are_the_most() -> None:
    # Guards: weights lost to one bad batch, a run that skips for ever.
    policy = tiny_policy()
    training = LanguageTraining(policy, DOCUMENTS, CONFIG, pad_id=PAD, seed=0)
    with torch.no_grad():
        policy.head.weight[3, 3] = torch.nan
    before = weights_of(policy)
    for skipped in (1, 2, 3):
        metrics = training.advance()
        assert metrics["guard/skipped"] == skipped
        assert "language/loss" not in metrics
        assert training.step == skipped
    with pytest.raises(DivergedError, match="lower the learning rate"):
        training.advance()
    for name, tensor in policy.state_dict().items():
        assert torch.equal(tensor.nan_to_num(7.0), before[name].nan_to_num(7.0))
