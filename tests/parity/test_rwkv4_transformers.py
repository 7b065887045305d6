"""RWKV-4 equal to `RwkvForCausalLM` of transformers: logits, state and gradients.

Whole sequences only: its one-token decoding of a batch is wrong, and it knows no padding. Its
weights are not rescaled (rescale_every=0); in eval mode it would divide them in place.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from rlhf_core.rwkv4.model import RWKV4
from tests.unit.rlhf_core.builders import token_rows, weights_of
from tests.unit.rlhf_core.rwkv4.setting import tiny_rwkv4

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

pytestmark = pytest.mark.parity

LAYERS, VOCAB, DIM = 7, 64, 32  # its rescaling would begin at layer 6
NAMES = {
    "emb.": "embeddings.",
    ".ln0.": ".pre_ln.",
    ".att.": ".attention.",
    ".ffn.": ".feed_forward.",
    "mix_k": "mix_key",
    "mix_v": "mix_value",
    "mix_r": "mix_receptance",
}


def name_there(name: str) -> str:
    for official, other in NAMES.items():
        name = name.replace(official, other)
    return name if name == "head.weight" else f"rwkv.{name}"


@pytest.fixture(scope="module")
def pair() -> tuple[RWKV4, Any]:
    ours = tiny_rwkv4(vocab_size=VOCAB, dim=DIM, num_layers=LAYERS)
    config = transformers.RwkvConfig(
        vocab_size=VOCAB,
        context_length=64,
        hidden_size=DIM,
        num_hidden_layers=LAYERS,
        rescale_every=0,
        tie_word_embeddings=False,
    )
    theirs = transformers.RwkvForCausalLM(config)
    theirs.load_state_dict({name_there(name): x for name, x in weights_of(ours).items()})
    return ours, theirs


def batch() -> Tensor:
    return torch.tensor(token_rows(0, [37, 37, 37], vocab_size=VOCAB))


@torch.no_grad()
def test_logits_and_state_are_equal(pair: tuple[RWKV4, Any]) -> None:
    # Guards: a bonus, decay or gate that the equations are ambiguous about.
    ours, theirs = pair
    logits, state = ours(batch())
    output = theirs.eval()(batch(), use_cache=True)
    assert logits.std() > 0.5
    assert_close(logits, output.logits, atol=1e-4, rtol=0)
    channel_shift, time_shift, *sums = output.state  # each (B, C, D)
    for mine, expected in zip(state, (time_shift, *sums, channel_shift), strict=True):
        scale = max(float(expected.abs().max()), 1.0)
        assert_close(mine, expected.permute(2, 0, 1), atol=1e-5 * scale, rtol=0)


def test_gradients_are_equal(pair: tuple[RWKV4, Any]) -> None:
    # Guards: a detached exponent that takes a part of the gradient with it.
    ours, theirs = pair
    targets = batch()[:, 1:].flatten()
    loss = cross_entropy(ours(batch())[0][:, :-1].flatten(0, 1), targets)
    loss.backward()
    output = theirs.train()(batch(), labels=None, use_cache=False)
    cross_entropy(output.logits[:, :-1].flatten(0, 1), targets).backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        gradient = expected.pop(name_there(name)).grad
        scale = float(gradient.abs().max())
        assert scale > 1e-5, name
        assert_close(parameter.grad, gradient, atol=5e-5 * scale, rtol=0, msg=name)
    assert expected == {}
