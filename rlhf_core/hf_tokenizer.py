"""Tokenizers of transformers folders, with their chat templates.

PAD and EOS are found, not assumed: many models pad with EOS, and many chat models end a turn with
another token than a text. Text never becomes a special token, in a chat neither: only what the
template itself writes does.

Omitted on purpose: several end tokens at a time (generation stops at one), templates with tools.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_core.text_tokenizer import TextTokenizer

# Noncharacters of Unicode, which no text should hold, around the number of a special token.
OPEN, CLOSE = "\ufdd0", "\ufdd1"
MARK = re.compile(f"{OPEN}(\\d+){CLOSE}")
REPLY = "the reply of a probe"


class HFTokenizer(TextTokenizer):
    """A tokenizer of transformers.

    Attributes:
        pad_token: The token that serves as PAD; where it is not the tokenizer's own, another
            special token that the model can do without.
    """

    def __init__(self, inner: Any, *, eos_id: int | None = None) -> None:
        """Find the special tokens of `inner`, a PreTrainedTokenizerBase.

        Args:
            inner: The tokenizer.
            eos_id: EOS where neither template nor tokenizer name one.

        Raises:
            ValueError: If there is no EOS, or no special token beside it that can be PAD.
        """
        self._inner = inner
        self._special = _special_tokens(inner)
        self.has_chat_template = inner.chat_template is not None
        ends = (self._end_of_turn(), inner.eos_token_id, eos_id)
        found = next((end for end in ends if end is not None), None)
        if found is None:
            raise ValueError("the tokenizer has no EOS; set eos_token in tokenizer_config.json")
        self.eos_id = found
        if inner.eos_token_id is None:
            inner.eos_token = inner.convert_ids_to_tokens(found)  # so that it is saved
        self.pad_token, self.pad_id = self._find_pad()
        self.start_ids = _start_ids(inner)
        self._refuse_text_as_special()

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special and added ones counted."""
        return len(self._inner)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; what spells a special token stays ordinary text."""
        return self._ids(text, split_special_tokens=True)

    def decode(self, ids: list[int]) -> str:
        """The text of `ids` without special tokens and ids beyond the vocabulary."""
        text: str = self._inner.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """As `TextTokenizer.encode_chat`, by the folder's chat template."""
        if not self.has_chat_template:
            return super().encode_chat(messages)
        tokens = list(self._special)
        spelled = re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))))

        def marked(text: str) -> str:
            text = text.replace(OPEN, "\ufffd")
            return spelled.sub(lambda found: f"{OPEN}{tokens.index(found[0])}{CLOSE}", text)

        turns = [{"role": it["role"], "content": marked(it["content"])} for it in messages]
        pieces = MARK.split(self._render(turns, is_prompt=True))
        ids = self._ids(pieces[0])
        for token, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            ids += self.encode(tokens[int(token)]) + self._ids(piece)
        return ids

    def save(self, path: Path) -> None:
        """Write tokenizer.json at `path`, its config and the chat template beside it."""
        self._inner.save_pretrained(path.parent)

    @classmethod
    def load(cls, path: Path) -> "HFTokenizer":
        """Read the tokenizer.json at `path` and what is beside it, or the files it stands for.

        Raises:
            ImportError: If transformers is not installed.
            ValueError: If there is no tokenizer that we can use.
        """
        from transformers import AutoTokenizer

        directory = path.parent
        try:
            inner = AutoTokenizer.from_pretrained(
                directory, local_files_only=True, trust_remote_code=False
            )
        except OSError as error:
            raise ValueError(f"{directory}: {str(error).splitlines()[0]}") from error
        for of_loading in ("is_local", "local_files_only"):
            inner.init_kwargs.pop(of_loading, None)  # it would be saved, and only then
        return cls(inner, eos_id=_generation_eos(directory))

    def _ids(self, text: str, *, split_special_tokens: bool = False) -> list[int]:
        encoded = self._inner(
            text, add_special_tokens=False, split_special_tokens=split_special_tokens
        )
        return list(encoded["input_ids"])

    def _render(self, messages: Sequence[Mapping[str, str]], *, is_prompt: bool) -> str:
        from jinja2 import TemplateError

        try:
            text: str = self._inner.apply_chat_template(
                messages, add_generation_prompt=is_prompt, tokenize=False
            )
        except TemplateError as error:
            raise ValueError(f"the model's chat template refuses a dialogue: {error}") from error
        return text

    def _end_of_turn(self) -> int | None:
        """The special token with which the chat template ends a reply."""
        if not self.has_chat_template:
            return None
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": REPLY}]
        rest = self._render(turns, is_prompt=False).rpartition(REPLY)[2].lstrip()
        ends = [token for token in self._special if rest.startswith(token)]
        return self._special[max(ends, key=len)] if ends else None

    def _find_pad(self) -> tuple[str, int]:
        inner = self._inner
        # Not the unknown token: ordinary text becomes that.
        for token in (inner.pad_token, inner.bos_token, *self._special):
            is_unknown = token == inner.unk_token
            if not is_unknown and self._special.get(token, self.eos_id) != self.eos_id:
                return token, self._special[token]
        raise ValueError(
            "the tokenizer has no special token but EOS, and PAD must be another: add a pad_token "
            "to it and a row to the model's embedding (resize_token_embeddings), save both"
        )

    def _refuse_text_as_special(self) -> None:
        for id_ in (self.eos_id, self.pad_id):
            token = self._inner.convert_ids_to_tokens(id_)
            if id_ in self.encode(token):
                raise ValueError(
                    f"the text {token!r} would become a special token; set "
                    '"special": true for it in tokenizer.json'
                )


def _special_tokens(inner: Any) -> dict[str, int]:
    """{token: id} of all special tokens, named and other, by id."""
    special = {
        token.content: id_ for id_, token in inner.added_tokens_decoder.items() if token.special
    }
    special |= dict(zip(inner.all_special_tokens, inner.all_special_ids, strict=True))
    return dict(sorted(special.items(), key=lambda item: item[1]))


def _start_ids(inner: Any) -> list[int]:
    """What the tokenizer itself puts before a text."""
    bare, full = (list(inner("a", add_special_tokens=it)["input_ids"]) for it in (False, True))
    starts = (at for at in range(len(full)) if full[at : at + len(bare)] == bare)
    return full[: next(starts, 0)]


def _generation_eos(directory: Path) -> int | None:
    """The first EOS of generation_config.json."""
    path = directory / "generation_config.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
    return found[0] if isinstance(found, list) else found
