r"""Dialogues as the text a language model reads: the chat template of the RWKV models.

"User: ...\n\nAssistant: ..." with an optional "System: ..." before. A blank line ends a turn, so
blank lines inside a turn become one newline. A prompt ends in "Assistant:" without a space; a
response is encoded as " " + its text, so that prompt and response tokens never merge.

Omitted on purpose: tokens and special ids (see the tokenizer), and other templates.

References:
    RWKV chat prompt format, https://huggingface.co/BlinkDL/rwkv7-g1 (README).
"""

import re
from collections.abc import Mapping, Sequence

_SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant"}
_BLANK_LINES = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")


def render_prompt(messages: Sequence[Mapping[str, str]]) -> str:
    """The text that a policy continues.

    Args:
        messages: Turns with `role` (system, user, assistant) and `content`; the user's is last.

    Returns:
        The turns joined by blank lines, then "Assistant:" without a trailing space.

    Raises:
        ValueError: No turn, a role without a speaker, or a last turn that is not the user's.
    """
    if not messages or messages[-1]["role"] != "user":
        raise ValueError("the last message must be from the user")
    return "\n\n".join([*(_render_turn(turn) for turn in messages), "Assistant:"])


def render_dialogue(messages: Sequence[Mapping[str, str]], response: str) -> str:
    """A prompt with its response, as pretraining reads it: exactly render_prompt + " " + response.

    Args:
        messages: As for render_prompt.
        response: The reply's text, kept as it is.

    Returns:
        The whole dialogue.
    """
    return f"{render_prompt(messages)} {response}"


def turn_text(content: str) -> str:
    """What a turn says, without blank lines, which would end it, or white space around it."""
    return _BLANK_LINES.sub("\n", content.replace("\r\n", "\n").strip())


def _render_turn(turn: Mapping[str, str]) -> str:
    """One turn as "Speaker: content" without a blank line in it."""
    role = turn["role"]
    if role not in _SPEAKERS:
        raise ValueError(f"role is {role!r}; write system, user or assistant")
    return f"{_SPEAKERS[role]}: {turn_text(turn['content'])}"
