"""Dialogues as token ids: the one place where a prompt or response becomes what a model reads."""

from collections.abc import Iterable

from data.corpus_frames import decode_messages
from data.dialogue import render_prompt
from rlhf_core.tokenizer import Tokenizer


def encode_prompt(tokenizer: Tokenizer, messages: str) -> list[int]:
    """Token ids of a `messages` cell, ending in "Assistant:"."""
    return tokenizer.encode(render_prompt(decode_messages(messages)))


def encode_response(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of " " + response, then EOS: imported responses get one too."""
    return [*tokenizer.encode(" " + text), tokenizer.eos_id]


def cut(ids: Iterable[list[int]], max_tokens: int) -> tuple[list[list[int]], int]:
    """Each sequence cut to `max_tokens`, and how many were longer."""
    rows = list(ids)
    return [row[:max_tokens] for row in rows], sum(len(row) > max_tokens for row in rows)
