"""The texts of our tables as token ids, cut to what a model is given."""

from collections.abc import Iterable

from data.corpus_frames import decode_messages
from rlhf_core.text_tokenizer import TextTokenizer
from tasks.dialogue_ids import encode_turns


def encode_prompt(
    tokenizer: TextTokenizer, messages: str, max_tokens: int | None = None
) -> list[int]:
    """Token ids of a `messages` cell, up to where the reply begins; at most the last ones."""
    ids = encode_turns(tokenizer, decode_messages(messages))
    return ids if max_tokens is None else ids[-max_tokens:]


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
