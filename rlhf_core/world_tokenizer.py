"""The World tokenizer of RWKV-7 and of the World models of RWKV-4: greedy longest match over bytes.

The vocabulary and the matching come from the package pyrwkv_tokenizer. Text of our own ids is put
together here, from the vocabulary's bytes: the package stops the process at a token that is half a
character. Ids 1 to 65529 have text; 0 is the end of a document, and rows 65530 to 65535 exist only
to fill the embedding, so PAD is the last of them.

Omitted on purpose: chat templates.
"""

import ast
import hashlib
import importlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from rlhf_core.text_tokenizer import TextTokenizer

KIND = "rwkv_world"
VOCAB_SIZE = 65536
# Of rwkv_vocab_v20230424.txt with Unix line ends: the vocabulary of all World checkpoints.
VOCABULARY_SHA256 = "e6dee3d4e31b4d5c40ac99508ac6c701ceef4bed681bf2167ce9a908552bca89"


class WorldTokenizer(TextTokenizer):
    """The tokenizer of the World checkpoints.

    Attributes:
        pad_id: Of a row that no text has.
        eos_id: The end of a document, which no text has either.
    """

    pad_id = VOCAB_SIZE - 1
    eos_id = 0

    def __init__(self) -> None:
        """Read the package's vocabulary.

        Raises:
            ImportError: If the package is not installed.
            ValueError: If its vocabulary is not that of the World checkpoints.
        """
        try:
            package: Any = importlib.import_module("pyrwkv_tokenizer")
        except ModuleNotFoundError:
            raise ImportError(
                "the World tokenizer needs the package pyrwkv_tokenizer; "
                "install it with: pip install -e '.[world]'"
            ) from None
        self._inner = package.RWKVTokenizer()
        self._vocabulary = Path(self._inner.vocab_filepath)
        found = hashlib.sha256(self._vocabulary.read_bytes()).hexdigest()
        if found != VOCABULARY_SHA256:
            raise ValueError(
                f"{self._vocabulary} has sha256 {found}, the World vocabulary {VOCABULARY_SHA256}; "
                "install the package again: pip install -e '.[world]'"
            )

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding, those without text counted."""
        return VOCAB_SIZE

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, all of 1 to 65529."""
        return self._inner.encode(text)

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`; ids without text give none, broken UTF-8 becomes U+FFFD."""
        return b"".join(self._bytes.get(i, b"") for i in ids).decode("utf-8", errors="replace")

    def save(self, path: Path) -> None:
        """Note at `path` which tokenizer this is; the vocabulary itself stays in the package."""
        record = {"kind": KIND, "vocabulary_sha256": VOCABULARY_SHA256}
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "WorldTokenizer":
        """Read what `save` wrote.

        Raises:
            ImportError: If the package is not installed.
            ValueError: If the note names another tokenizer or vocabulary.
        """
        record = json.loads(path.read_text(encoding="utf-8"))
        expected = {"kind": KIND, "vocabulary_sha256": VOCABULARY_SHA256}
        if record != expected:
            raise ValueError(f"{path} is {record}; this reader knows {expected}")
        return cls()

    @cached_property
    def _bytes(self) -> dict[int, bytes]:
        """Token id to bytes; a line of the vocabulary is `ID LITERAL LENGTH`."""
        table = {}
        with self._vocabulary.open(encoding="utf-8") as lines:
            for line in lines:
                token_id, _, rest = line.partition(" ")
                literal = ast.literal_eval(rest.rpartition(" ")[0])
                table[int(token_id)] = literal.encode() if isinstance(literal, str) else literal
        return table
