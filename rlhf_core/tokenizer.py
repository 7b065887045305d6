"""A byte-level BPE tokenizer, trained by `tokenizers` and kept as one tokenizer.json.

Every string has a token sequence (the alphabet is all 256 bytes) and decodes to itself. PAD and
EOS are different tokens: a reward model that reads the last real token must not confuse them.
"""

from collections.abc import Iterable
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from rlhf_core.text_tokenizer import TextTokenizer

PAD, EOS = "<pad>", "<eos>"
# What GPT-NeoX calls them, whose tokenizer the Pile and Raven models of RWKV-4 have.
PADS, ENDS = (PAD, "<|padding|>"), (EOS, "<|endoftext|>")


class Tokenizer(TextTokenizer):
    """Text to token ids and back; adds no special token by itself."""

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        self._inner = inner
        self.pad_id = _special_id(inner, PADS)
        self.eos_id = _special_id(inner, ENDS)

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special ones counted."""
        return self._inner.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; "<eos>" in it stays ordinary text."""
        return self._inner.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        """The text of `ids` without special tokens; broken UTF-8 becomes U+FFFD."""
        return self._inner.decode(ids, skip_special_tokens=True)

    def save(self, path: Path) -> None:
        """Write tokenizer.json to `path`."""
        path.write_text(self._inner.to_str(pretty=True), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read the tokenizer.json at `path`."""
        inner = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
        inner.encode_special_tokens = True
        return cls(inner)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train byte-level BPE; ids 0 and 1 are PAD and EOS, then 256 bytes, then merges."""
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[PAD, EOS],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    inner.encode_special_tokens = True  # text that spells a special token must not become one
    return Tokenizer(inner)


def _special_id(inner: tokenizers.Tokenizer, names: Iterable[str]) -> int:
    """Id of the first of `names` that the tokenizer has."""
    for name in names:
        token_id = inner.token_to_id(name)
        if token_id is not None:
            return token_id
    raise ValueError(f"this tokenizer has no token {' or '.join(names)}")
