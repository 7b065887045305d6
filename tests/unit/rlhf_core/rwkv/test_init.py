"""Facts that the official initialisation is known by."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.init import initialise
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import generator_for
from tests.unit.rlhf_core.builders import are_equal

CONFIG = RWKVConfig(vocab_size=1000, dim=128, num_layers=3)


@pytest.fixture(scope="module")
def fresh() -> RWKV:
    return initialise(RWKV(CONFIG), generator_for(0, "init"))


@torch.no_grad()
def test_first_loss_is_the_known_one(fresh: RWKV) -> None:
    # Guards: a skipped or mis-scaled initialisation, which trains markedly worse.
    ids = torch.randint(1000, (8, 33), generator=generator_for(1))
    logits, _ = fresh(ids[:, :-1])
    loss = float(cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))
    assert loss == pytest.approx(math.log(1000) + 0.125, abs=0.02)
    assert float(logits.std()) == pytest.approx(0.49, abs=0.03)


def test_decays_span_the_known_range(fresh: RWKV) -> None:
    # Guards: decay written in the other convention.
    w0 = torch.cat([block.att.w0.detach().flatten() for block in fresh.layers])
    decay = torch.exp(-math.exp(-0.5) * torch.sigmoid(w0))
    assert float(decay.min()) == pytest.approx(0.561, abs=2e-3)
    assert float(decay.max()) == pytest.approx(0.9998, abs=2e-4)


def test_blocks_start_as_the_identity(fresh: RWKV) -> None:
    # Guards: noise through the residual stream at step 0.
    for block in fresh.layers:
        assert not block.att.output.weight.any()
        assert not block.ffn.value.weight.any()
        assert not any(getattr(block.att, name).any() for name in ("w1", "a1", "g1"))
        assert block.att.w2.any()


@torch.no_grad()
def test_matrices_have_their_gains(fresh: RWKV) -> None:
    # Guards: a gain on the wrong matrix.
    att = fresh.layers[1].att
    for weight, gain in ((att.receptance, 1.0), (att.key, 0.1), (att.value, 1.0)):
        gram = weight.weight @ weight.weight.T
        assert_close(gram, gain**2 * torch.eye(128), atol=1e-5, rtol=0)
    gram = fresh.head.weight.T @ fresh.head.weight
    assert_close(gram, 0.25 * 1000 / 128 * torch.eye(128), atol=1e-4, rtol=0)
    assert 5e-5 < float(fresh.emb.weight.abs().max()) <= 1e-4


@torch.no_grad()
def test_mixing_depends_on_depth(fresh: RWKV) -> None:
    # Guards: depth counted from the wrong end.
    half = 64
    first, last = fresh.layers[0].att, fresh.layers[2].att
    assert float(first.x_w[0, 0, half]) == pytest.approx(1 - 0.5**0.9)
    assert float(last.x_w[0, 0, half]) == pytest.approx(1 - 0.5**0.3)
    assert float(fresh.layers[2].ffn.x_k[0, 0, half]) == pytest.approx(
        1 - 0.5 ** (1 / 81), abs=1e-6
    )
    assert float(fresh.layers[1].att.ln_x.weight[0]) == pytest.approx((2 / 3) ** 0.7)


def test_initialisation_comes_from_the_generator_alone() -> None:
    # Guards: a draw from the global generator.
    first, second, third = (
        dict(initialise(RWKV(CONFIG), generator_for(seed, "init")).state_dict())
        for seed in (0, 0, 1)
    )
    assert are_equal(first, second)
    assert not torch.equal(first["head.weight"], third["head.weight"])
    assert not torch.equal(first["emb.weight"], third["emb.weight"])


def test_every_parameter_is_finite_and_filled(fresh: RWKV) -> None:
    # Guards: a new parameter that stays uninitialised memory.
    model = RWKV(CONFIG)
    norms = {id(p) for m in model.modules() if "Norm" in type(m).__name__ for p in m.parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            if id(parameter) not in norms:
                parameter.fill_(torch.nan)
    initialise(model, generator_for(0, "init"))
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert are_equal(dict(model.state_dict()), dict(fresh.state_dict()))
