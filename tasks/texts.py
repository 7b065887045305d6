"""Dialogues as token ids: the one place where a prompt or response becomes what a model reads."""

from collections.abc import Iterable

from data.corpus_frames import decode_messages
from data.dialogue import render_prompt
from rlhf_core.tokenizer import Tokenizer


def encode_prompt(tokenizer: Tokenizer, messages: str, max_tokens: int | None = None) -> list[int]:
    """Token ids of a `messages` cell, ending in "Assistant:"; at most the last `max_tokens`."""
    ids = tokenizer.encode(render_prompt(decode_messages(messages)))
    return ids if max_tokens is None else ids[-max_tokens:]


def encode_response(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of " " + response, then EOS: imported responses get one too."""
    return [*tokenizer.encode(" " + text), tokenizer.eos_id]


def cut(ids: Iterable[list[int]], max_tokens: int) -> tuple[list[list[int]], int]:
    """Each sequence cut to `max_tokens`, and how many were longer."""
    rows = list(ids)
    return [row[:max_tokens] for row in rows], sum(len(row) > max_tokens for row in rows)


def prompt_room(response_lengths: Iterable[int], max_tokens: int) -> int:
    """Tokens left to a prompt beside its longest response: at least half of `max_tokens`."""
    return max(max_tokens - max(response_lengths), (max_tokens + 1) // 2)


def cut_dialogue(
    prompt: list[int], response: list[int], room: int, max_tokens: int
) -> tuple[list[int], list[int], bool]:
    """A prompt's last `room` tokens, the response cut to what remains, and whether either lost."""
    kept = prompt[-room:]
    cut_response = response[: max_tokens - len(kept)]
    return kept, cut_response, len(kept) + len(cut_response) < len(prompt) + len(response)
