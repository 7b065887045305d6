"""The World tokenizer equal to the one in the `rwkv` package, whose vocabulary is its own copy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlhf_core.world_tokenizer import WorldTokenizer

official = pytest.importorskip("rwkv.rwkv_tokenizer", reason="the package rwkv is not installed")
pytest.importorskip("pyrwkv_tokenizer")

pytestmark = pytest.mark.parity

# Latin, Greek and Cyrillic, Hebrew to Thai, CJK, Hangul, emoji, anything; with plain text between.
RANGES = ((32, 127), (160, 1424), (1424, 3712), (0x3040, 0x9FFF), (0xAC00, 0xD7A3))
RANGES = (*RANGES, (0x1F300, 0x1FAFF), (0x10000, 0x10FFFF), (0, 32))
WORDS = ("the ", " lamp", "\n\n", "User: ", "    ", "1234567", "é", "你好", "<|endoftext|>")


@pytest.fixture(scope="module")
def theirs() -> Any:
    path = Path(official.__file__).with_name("rwkv_vocab_v20230424.txt")
    return official.TRIE_TOKENIZER(str(path))


@pytest.fixture(scope="module")
def ours() -> WorldTokenizer:
    return WorldTokenizer()


def texts(count: int) -> Iterator[str]:
    """Random text, most of it of one script."""
    generator = np.random.default_rng(0)
    for _ in range(count):
        low, high = RANGES[generator.integers(len(RANGES))]
        pieces = [
            WORDS[generator.integers(len(WORDS))]
            if generator.random() < 0.3
            else chr(generator.integers(low, high))
            for _ in range(generator.integers(1, 60))
        ]
        yield "".join(pieces)


def test_ids_are_equal_and_text_comes_back(ours: WorldTokenizer, theirs: Any) -> None:
    # Guards: a match that is not the longest; ids of another release of the vocabulary.
    for text in texts(1000):
        ids = ours.encode(text)
        assert ids == theirs.encode(text)
        assert ours.decode(ids) == text


def test_every_id_has_the_same_bytes(ours: WorldTokenizer, theirs: Any) -> None:
    # Guards: a line of the vocabulary that is read otherwise, those of half characters above all.
    assert sorted(theirs.idx2token) == list(range(1, 65530))
    for token_id, content in theirs.idx2token.items():
        assert ours.decode([token_id]) == content.decode(errors="replace")


def test_random_ids_decode_alike(ours: WorldTokenizer, theirs: Any) -> None:
    # Guards: decoding token by token, which breaks characters that two tokens share.
    generator = np.random.default_rng(1)
    for _ in range(200):
        ids = generator.integers(1, 65530, size=30)
        ids = np.where(generator.random(30) < 0.5, ids % 256 + 1, ids).tolist()
        assert ours.decode(ids) == theirs.decodeBytes(ids).decode(errors="replace")
