"""What every tokenizer must offer: ours (tokenizer.py), RWKV's World and those of transformers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class TextTokenizer(Protocol):
    """Text to token ids and back; adds no special token by itself.

    Attributes:
        pad_id: Fills short rows; never sampled, and not EOS.
        eos_id: Ends a response.
        start_ids: What the model expects before any text: BOS, or nothing.
        has_chat_template: Whether `encode_chat` knows the form of dialogues that the model was
            trained on.
    """

    pad_id: int
    eos_id: int
    start_ids: Sequence[int] = ()
    has_chat_template: bool = False

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special ones counted."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; what spells a special token stays ordinary text."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of `ids` without special tokens; broken UTF-8 becomes U+FFFD."""
        ...

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, str]],  # noqa: ARG002 - read where there is a template
    ) -> list[int]:
        """Token ids of a dialogue up to where the reply begins, in the model's own form.

        Args:
            messages: Turns with `role` (system, user, assistant) and `content`.

        Raises:
            ValueError: If the model has no such form, or its form refuses the dialogue.
        """
        raise ValueError("this tokenizer has no chat template")

    def save(self, path: Path) -> None:
        """Write the tokenizer.json `path`, and beside it what else the tokenizer needs."""
        ...
