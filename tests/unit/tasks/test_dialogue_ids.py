"""Dialogues as token ids: our form byte for byte, and the model's own where it has one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from data.corpus_frames import encode_messages
from rlhf_core.text_tokenizer import TextTokenizer
from rlhf_core.tokenizer import train_tokenizer
from tasks.dialogue_ids import decode_response, encode_response, encode_turns
from tasks.texts import encode_prompt

MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "My lamp\n\nflickers"},
]
OURS = "System: Be kind.\n\nUser: My lamp\nflickers\n\nAssistant:"


class ChatTokenizer(TextTokenizer):
    """One id a character; a chat is the contents between 0s."""

    pad_id = 1
    eos_id = 2
    start_ids = (3,)
    has_chat_template = True

    @property
    def vocab_size(self) -> int:
        return 1 << 16

    def encode(self, text: str) -> list[int]:
        return [*map(ord, text)]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(i) for i in ids if i > 3)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        return [i for message in messages for i in (0, *self.encode(message["content"]))]

    def save(self, path: Path) -> None:
        raise NotImplementedError


class PlainTokenizer(ChatTokenizer):
    """The same without a template, with a token that begins every text."""

    has_chat_template = False


def test_our_tokenizer_gets_our_form() -> None:
    # Guards: a change of form or of a space that makes every artifact and every model another.
    tokenizer = train_tokenizer([OURS], 300)
    assert encode_turns(tokenizer, MESSAGES) == tokenizer.encode(OURS)
    assert encode_response(tokenizer, "Wait.") == [*tokenizer.encode(" Wait."), tokenizer.eos_id]


def test_a_chat_tokenizer_gets_its_own_form_and_no_space() -> None:
    # Guards: "Assistant:" inside a chat template, a reply that begins with a space there.
    tokenizer = ChatTokenizer()
    assert encode_turns(tokenizer, MESSAGES) == tokenizer.encode_chat(MESSAGES)
    assert encode_response(tokenizer, "Hi") == [ord("H"), ord("i"), 2]


def test_a_model_without_a_template_gets_our_form_behind_its_first_token() -> None:
    # Guards: a pretrained model that never sees its BOS.
    assert encode_turns(PlainTokenizer(), MESSAGES) == [3, *map(ord, OURS)]


@pytest.mark.parametrize("tokenizer", [train_tokenizer([OURS], 300), ChatTokenizer()])
@pytest.mark.parametrize("text", ["Wait.", " two  spaces ", "\u706f", ""])
def test_a_response_is_decoded_to_what_was_encoded(tokenizer: TextTokenizer, text: str) -> None:
    # Guards: a space too many in what people rank, or one too few.
    assert decode_response(tokenizer, encode_response(tokenizer, text)) == text


def test_a_prompt_keeps_its_end() -> None:
    # Guards: a prompt cut at the wrong side, before the reply.
    tokenizer = ChatTokenizer()
    cell = encode_messages(MESSAGES)
    assert encode_prompt(tokenizer, cell) == encode_turns(tokenizer, MESSAGES)
    assert encode_prompt(tokenizer, cell, 5) == encode_turns(tokenizer, MESSAGES)[-5:]
