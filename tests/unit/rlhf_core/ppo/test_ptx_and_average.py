"""The pretraining mix and the moving average of the weights."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rlhf_core.language.training import Document, language_loss
from rlhf_core.ppo import training as ppo_training
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.ppo.training import PPOTraining
from rlhf_core.resume import run
from tests.unit.rlhf_core.builders import EOS, PAD, are_equal, token_rows, weights_of
from tests.unit.rlhf_core.ppo.setting import PROMPTS, exact_actors, tiny_ppo

DOCUMENTS = [Document(ids, 0) for ids in token_rows(3, [4, 7, 2, 5])]


def prepare(config: PPOConfig) -> PPOTraining:
    return PPOTraining(
        exact_actors(), PROMPTS, config, pad_id=PAD, eos_id=EOS, seed=0, documents=DOCUMENTS
    )


def first_gradient(**fields: float) -> dict[str, Tensor]:
    """What the first update takes off each weight of the policy, with plain descent at rate 1."""
    config = tiny_ppo(num_epochs=1, num_minibatches=1, max_grad_norm=1e9, **fields)
    training = prepare(config)
    parameters = list(training.actors.policy.parameters())
    training.optimizers["policy"] = torch.optim.SGD([{"params": parameters, "base": 1.0}], lr=1.0)
    before = weights_of(training.actors.policy)
    training.advance()
    return {name: before[name] - now for name, now in weights_of(training.actors.policy).items()}


@pytest.mark.parametrize("ptx_coef", [27.8, 0.5])
def test_pretraining_adds_its_gradient_times_the_coefficient(ptx_coef: float) -> None:
    # Guards: a coefficient left out or squared, the PPO loss scaled instead, documents of which
    # some are never read.
    plain = first_gradient()
    mixed = first_gradient(ptx_coef=ptx_coef, ptx_batch_size=len(DOCUMENTS))
    policy = exact_actors().policy
    loss, _ = language_loss(policy, DOCUMENTS, PAD)
    loss.backward()
    for name, parameter in policy.named_parameters():
        expected = ptx_coef * parameter.grad
        assert_close(mixed[name] - plain[name], expected, atol=1e-11, rtol=1e-9)
    assert any(gradient.abs().max() > 1e-3 for gradient in plain.values())


def test_documents_come_round_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    # Guards: one batch of text for the whole run, documents drawn with replacement.
    read: Counter[str] = Counter()

    def spy(model: Any, batch: list[Document], pad_id: int) -> Any:
        read.update(str(document.ids) for document in batch)
        return language_loss(model, batch, pad_id)

    monkeypatch.setattr(ppo_training, "language_loss", spy)
    list(run(prepare(tiny_ppo(ptx_coef=1.0, ptx_batch_size=3, num_iterations=2))))
    assert read == {str(document.ids): 6 for document in DOCUMENTS}  # 8 updates of 3


def test_loss_of_the_mix_is_reported_without_its_coefficient() -> None:
    # Guards: a chart whose height is the coefficient's.
    config = tiny_ppo(ptx_coef=27.8, ptx_batch_size=4, num_epochs=1, num_minibatches=1)
    loss, _ = language_loss(exact_actors().policy, DOCUMENTS, PAD)
    found = prepare(config).advance()["ppo/loss/ptx"]
    assert found == pytest.approx(float(loss.detach()), abs=1e-12)


def test_without_a_coefficient_no_text_is_read() -> None:
    # Guards: a mix that is on by default.
    training = prepare(tiny_ppo(num_iterations=1))
    assert training.documents == []
    assert "ppo/loss/ptx" not in training.advance()


def test_a_mix_without_text_is_refused() -> None:
    # Guards: a run that promises pretraining and has nothing to read.
    with pytest.raises(ValueError, match="no document has a token to learn"):
        PPOTraining(exact_actors(), PROMPTS, tiny_ppo(ptx_coef=1.0), pad_id=PAD, eos_id=EOS, seed=0)


@pytest.mark.parametrize("decay", [0.992, 0.25])
def test_average_follows_its_recursion(decay: float) -> None:
    # Guards: the two shares exchanged, an average that starts at zero or moves once a rollout.
    training = prepare(
        tiny_ppo(ema_decay=decay, num_epochs=1, num_minibatches=1, learning_rate=1e-2)
    )
    expected = weights_of(training.actors.policy)
    start = weights_of(training.actors.policy)
    for _ in range(3):
        training.advance()
        now = weights_of(training.actors.policy)
        expected = {name: decay * expected[name] + (1 - decay) * now[name] for name in now}
    last = weights_of(training.actors.policy)
    assert training.keep_average() == "ema"
    kept = weights_of(training.actors.policy)
    for name, average in expected.items():
        assert_close(kept[name], average, atol=1e-12, rtol=0)
    assert not are_equal(kept, last)
    assert not are_equal(kept, start)


def test_average_moves_at_every_update() -> None:
    # Guards: a decay meant for updates that is applied once a rollout.
    fields = {"learning_rate": 1e-2, "num_iterations": 1}
    once = prepare(tiny_ppo(ema_decay=0.5, num_epochs=1, num_minibatches=1, **fields))
    four = prepare(tiny_ppo(ema_decay=0.5, num_epochs=4, num_minibatches=1, **fields))
    shares = []
    for training in (once, four):
        start = weights_of(training.actors.policy)["head.weight"]
        training.advance()
        moved = (training.actors.policy.head.weight.detach() - start).norm()
        shares.append(float((training.average["head.weight"] - start).norm() / moved))
    assert shares[0] == pytest.approx(0.5, abs=1e-6)
    assert 0.6 < shares[1] < 1.0


def test_without_an_average_the_last_weights_are_kept() -> None:
    # Guards: a policy overwritten with nothing, and a register that says "ema".
    training = prepare(tiny_ppo(num_iterations=1))
    training.advance()
    last = weights_of(training.actors.policy)
    assert training.keep_average() == "last"
    assert are_equal(weights_of(training.actors.policy), last)
    assert training.average == {}


def test_average_does_not_change_what_is_learnt() -> None:
    # Guards: rollouts sampled from the averaged policy.
    plain, averaged = prepare(tiny_ppo()), prepare(tiny_ppo(ema_decay=0.9))
    assert list(run(plain)) == list(run(averaged))
    assert are_equal(weights_of(plain.actors.policy), weights_of(averaged.actors.policy))
