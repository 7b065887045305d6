"""Dialogues as token ids: the one place where a prompt or response becomes what a model reads.

A tokenizer that knows its model's own form of dialogues uses it; all others use ours, in which a
prompt ends in "Assistant:" and a response begins with a space (see data/dialogue.py).

Omitted on purpose: the columns of our tables (see texts.py), which would bring Polars along.
"""

from collections.abc import Mapping, Sequence

from data.dialogue import render_prompt
from rlhf_core.text_tokenizer import TextTokenizer


def encode_turns(tokenizer: TextTokenizer, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Token ids of the dialogue that a policy continues."""
    if tokenizer.has_chat_template:
        return tokenizer.encode_chat(messages)
    return [*tokenizer.start_ids, *tokenizer.encode(render_prompt(messages))]


def encode_response(tokenizer: TextTokenizer, text: str) -> list[int]:
    """Token ids of a response, then EOS: imported responses get one too."""
    return [*tokenizer.encode(_space(tokenizer) + text), tokenizer.eos_id]


def decode_response(tokenizer: TextTokenizer, ids: list[int]) -> str:
    """The text of a response: `encode_response` undone."""
    return tokenizer.decode(ids).removeprefix(_space(tokenizer))


def _space(tokenizer: TextTokenizer) -> str:
    """What stands between a prompt and its response."""
    return "" if tokenizer.has_chat_template else " "
