"""Facts that the official initialisation of RWKV-4 is known by."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from rlhf_core.rwkv4.config import RWKV4Config
from rlhf_core.rwkv4.init import initialise
from rlhf_core.rwkv4.model import RWKV4
from rlhf_core.seeding import generator_for
from tests.unit.rlhf_core.builders import are_equal

CONFIG = RWKV4Config(vocab_size=1000, dim=128, num_layers=3)


@pytest.fixture(scope="module")
def fresh() -> RWKV4:
    return initialise(RWKV4(CONFIG), generator_for(0, "init"))


@torch.no_grad()
def test_first_loss_is_that_of_an_even_guess(fresh: RWKV4) -> None:
    # Guards: a mis-scaled head. Its columns have length 0.5 sqrt(V / C), the hidden state sqrt(C),
    # so logits have variance 1/4 and the loss is ln V + 1/8.
    ids = torch.randint(1000, (8, 33), generator=generator_for(1))
    logits, _ = fresh(ids[:, :-1])
    loss = float(cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()))
    assert loss == pytest.approx(math.log(1000) + 0.125, abs=0.02)
    assert float(logits.std()) == pytest.approx(0.5, abs=0.03)


@torch.no_grad()
def test_decays_and_bonuses_are_the_known_ones(fresh: RWKV4) -> None:
    # Guards: depth counted from the wrong end; the misplaced bracket that makes time_first 1.
    first, last = fresh.layers[0].att, fresh.layers[2].att
    for att, power in ((first, 0.7), (last, 2.0)):
        assert float(att.time_decay[0]) == -5
        assert float(att.time_decay[127]) == 3
        assert float(att.time_decay[64]) == pytest.approx(-5 + 8 * (64 / 127) ** power, abs=1e-5)
        zigzag = [float(x) - math.log(0.3) for x in att.time_first[:4]]
        assert zigzag == pytest.approx([0, 0.5, -0.5, 0], abs=1e-6)


@torch.no_grad()
def test_mixing_depends_on_depth(fresh: RWKV4) -> None:
    # Guards: the exponents of k, v and r swapped.
    half = (0, 0, 64)
    first, last = fresh.layers[0], fresh.layers[2]
    assert float(first.att.time_mix_k[half]) == pytest.approx(0.5)
    assert float(first.att.time_mix_v[half]) == pytest.approx(0.5)
    assert float(first.att.time_mix_r[half]) == pytest.approx(0.5**0.5)
    assert float(last.att.time_mix_k[half]) == pytest.approx(0.5 ** (1 / 3))
    assert float(last.att.time_mix_v[half]) == pytest.approx(0.5 ** (1 / 3) + 0.3)
    assert float(last.att.time_mix_r[half]) == pytest.approx(0.5 ** (1 / 6))
    for name in ("time_mix_k", "time_mix_r"):
        assert float(getattr(last.ffn, name)[half]) == pytest.approx(0.5 ** (1 / 3))


@torch.no_grad()
def test_matrices_have_their_gains(fresh: RWKV4) -> None:
    # Guards: a gain on the wrong matrix.
    block = fresh.layers[1]
    for name in ("att.key", "att.receptance", "att.output", "ffn.receptance", "ffn.value"):
        assert not block.get_submodule(name).weight.any()
    eye = torch.eye(128)
    assert_close(block.att.value.weight @ block.att.value.weight.T, eye, atol=1e-5, rtol=0)
    assert_close(block.ffn.key.weight.T @ block.ffn.key.weight, 4 * eye, atol=1e-5, rtol=0)
    gram = fresh.head.weight.T @ fresh.head.weight
    assert_close(gram, 0.25 * 1000 / 128 * eye, atol=1e-4, rtol=0)
    assert 5e-5 < float(fresh.emb.weight.abs().max()) <= 1e-4


def test_initialisation_comes_from_the_generator_alone() -> None:
    # Guards: a draw from the global generator.
    first, second, third = (
        dict(initialise(RWKV4(CONFIG), generator_for(seed, "init")).state_dict())
        for seed in (0, 0, 1)
    )
    assert are_equal(first, second)
    assert not torch.equal(first["head.weight"], third["head.weight"])


def test_every_parameter_is_finite_and_filled(fresh: RWKV4) -> None:
    # Guards: a new parameter that stays uninitialised memory.
    model = RWKV4(CONFIG)
    norms = {id(p) for m in model.modules() if "Norm" in type(m).__name__ for p in m.parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            if id(parameter) not in norms:
                parameter.fill_(torch.nan)
    initialise(model, generator_for(0, "init"))
    assert are_equal(dict(model.state_dict()), dict(fresh.state_dict()))


@pytest.mark.parametrize("sizes", [{"dim": 0}, {"num_layers": 1}, {"dim": 1}, {"ffn_dim": -4}])
def test_sizes_that_make_no_model_are_refused(sizes: dict[str, int]) -> None:
    # Guards: a division by zero at the first layer instead of a message.
    with pytest.raises(ValueError, match=next(iter(sizes))):
        RWKV4Config(**sizes)


def test_the_width_of_channel_mixing_follows_dim() -> None:
    assert RWKV4Config(dim=32).ffn_dim == 128
    assert RWKV4Config(dim=32, ffn_dim=48).ffn_dim == 48
