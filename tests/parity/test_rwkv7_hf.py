"""RWKV-7 equal to `rwkv7-hf`: gradients, padding and cache, on a checkpoint that it converts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from rlhf_core.collate import is_within, pad_right
from rlhf_core.official import save_official
from rlhf_core.rwkv.model import RWKV, RWKVState
from tests.unit.rlhf_core.builders import PAD, tiny_policy, token_rows

converter = pytest.importorskip("rwkv7_hf.converter", reason="rwkv7-hf is not installed")

pytestmark = pytest.mark.parity

LAYERS, VOCAB, LENGTHS = 3, 64, [5, 1, 23, 12]


class Pair(NamedTuple):
    """One checkpoint, read by both."""

    ours: RWKV
    theirs: Any
    name_there: Callable[[str], tuple[str, bool]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    directory = tmp_path_factory.mktemp("rwkv7_hf")
    # Heads of 64, for its group norm has eps 1e-5 times the head size; the official one 64e-5.
    ours = tiny_policy(vocab_size=VOCAB, dim=128, num_layers=LAYERS, head_size=64, chunk_size=16)
    save_official(ours, directory / "model.pth")
    arguments = ["--input", str(directory / "model.pth"), "--output", str(directory / "folder")]
    converter.main([*arguments, "--precision", "fp32"])
    theirs = converter.RWKV7ForCausalLM.from_pretrained(directory / "folder").eval()
    return Pair(ours, theirs, lambda name: converter.translate_name(name, LAYERS))


def batch() -> tuple[Tensor, Tensor]:
    return pad_right(token_rows(0, LENGTHS, vocab_size=VOCAB), PAD)


def assert_states_match(ours: RWKVState, cache: Any) -> None:
    for layer in range(LAYERS):
        theirs = (
            cache.attention_shift[layer],
            cache.recurrent_state[layer].mT,  # they keep [key, value]
            cache.ffn_shift[layer],
        )
        for mine, expected in zip(ours, theirs, strict=True):
            scale = max(float(expected.abs().max()), 1.0)
            assert_close(mine[layer], expected, atol=1e-5 * scale, rtol=0)


@torch.no_grad()
def test_logits_of_a_padded_batch_are_equal(pair: Pair) -> None:
    # Guards: padding that is read as a token.
    ids, lengths = batch()
    is_real = is_within(lengths, ids.shape[1])
    logits, state = pair.ours(ids, lengths)
    output = pair.theirs(input_ids=ids, attention_mask=is_real.long(), use_cache=True)
    assert logits[is_real].std() > 0.5
    assert_close(logits[is_real], output.logits[is_real], atol=1e-4, rtol=0)
    assert_states_match(state, output.past_key_values)


@torch.no_grad()
def test_left_padding_there_is_right_padding_here(pair: Pair) -> None:
    # Guards: a continuation of a padded row that differs from what their generate would do.
    rows = token_rows(0, LENGTHS, vocab_size=VOCAB)
    width = max(LENGTHS)
    left = torch.tensor([[PAD] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    output = pair.theirs(input_ids=left, attention_mask=mask, use_cache=True)
    _, state = pair.ours(*batch())
    assert_states_match(state, output.past_key_values)
    following = torch.tensor(token_rows(2, [3] * len(rows), vocab_size=VOCAB))
    logits, state = pair.ours(following, None, state)
    output = pair.theirs(
        input_ids=following, past_key_values=output.past_key_values, use_cache=True
    )
    assert_close(logits, output.logits, atol=1e-4, rtol=0)
    assert_states_match(state, output.past_key_values)


def test_gradients_are_equal(pair: Pair) -> None:
    # Guards: a backward pass of the chunked form that no other implementation shares.
    ids, lengths = batch()
    is_learnt = is_within(lengths, ids.shape[1])[:, 1:]
    targets = ids[:, 1:][is_learnt]

    logits, _ = pair.ours(ids[:, :-1], (lengths - 1).clamp_min(1))
    ours = cross_entropy(logits[is_learnt], targets)
    mask = is_within(lengths, ids.shape[1])[:, :-1].long()
    logits = pair.theirs(input_ids=ids[:, :-1], attention_mask=mask, use_cache=False).logits
    theirs = cross_entropy(logits[is_learnt], targets)
    assert_close(ours, theirs, atol=1e-5, rtol=0)
    ours.backward()
    theirs.backward()

    expected = dict(pair.theirs.named_parameters())
    for name, parameter in pair.ours.named_parameters():
        name_there, is_transposed = pair.name_there(name)
        gradient = expected.pop(name_there).grad
        gradient = (gradient.T if is_transposed else gradient).reshape(parameter.shape)
        scale = float(gradient.abs().max())
        assert scale > 1e-5, name
        assert_close(parameter.grad, gradient, atol=5e-5 * scale, rtol=0, msg=name)
    assert expected == {}
