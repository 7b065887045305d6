"""The tokenizer: every text survives it, and no text forges a special token."""

from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf_core.tokenizer import Tokenizer, train_tokenizer

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog", "\u4f60\u597d"] * 5
TOKENIZER = train_tokenizer(TEXTS, 300)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_survives_the_round_trip(text: str) -> None:
    # Guards: an alphabet without all bytes, an added leading space, a Unicode normalisation.
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@pytest.mark.parametrize("text", ["<eos>", "<pad>", "a<eos>b", "<eos><eos>", " <pad> "])
@pytest.mark.parametrize("is_loaded", [False, True])
def test_text_that_spells_a_special_token_stays_text(
    text: str, is_loaded: bool, tmp_path: Path
) -> None:
    # Guards: a user's "<eos>" ending the prompt, before saving or after loading.
    tokenizer = TOKENIZER
    if is_loaded:
        tokenizer.save(tmp_path / "tokenizer.json")
        tokenizer = Tokenizer.load(tmp_path / "tokenizer.json")
    ids = tokenizer.encode(text)
    assert not {tokenizer.eos_id, tokenizer.pad_id} & set(ids)
    assert tokenizer.decode(ids) == text


def test_special_tokens_are_two_and_decode_to_nothing() -> None:
    # Guards: PAD == EOS, with which a reward model reads the wrong last token.
    assert (TOKENIZER.pad_id, TOKENIZER.eos_id) == (0, 1)
    ids = TOKENIZER.encode("the cat")
    assert TOKENIZER.decode([*ids, TOKENIZER.eos_id, TOKENIZER.pad_id]) == "the cat"


def test_merges_are_learnt_and_counted() -> None:
    # Guards: a vocabulary size that the model's embedding does not match.
    assert 258 < TOKENIZER.vocab_size <= 300
    assert len(TOKENIZER.encode("the cat sat")) < len(b"the cat sat")
    assert max(TOKENIZER.encode("the cat sat on the mat \u4f60")) < TOKENIZER.vocab_size


def test_training_is_deterministic(tmp_path: Path) -> None:
    # Guards: ids that differ from run to run, and with them every artifact.
    for name in ("first", "second"):
        train_tokenizer(TEXTS, 300).save(tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_saving_and_loading_keeps_the_bytes(tmp_path: Path) -> None:
    # Guards: settings that tokenizer.json does not carry.
    TOKENIZER.save(tmp_path / "first")
    Tokenizer.load(tmp_path / "first").save(tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_broken_utf8_is_shown_not_raised() -> None:
    # Guards: a crash on half a character, which sampling produces.
    half = TOKENIZER.encode("\U0001f600")[:1]
    assert TOKENIZER.decode(half) == "\ufffd"


def test_foreign_tokenizer_without_special_tokens_is_refused() -> None:
    # Guards: a silent None as the padding id.
    with pytest.raises(ValueError, match="<pad>"):
        Tokenizer(tokenizers.Tokenizer(tokenizers.models.BPE()))
