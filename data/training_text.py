"""Proof that training reads no text of a held-out family.

Omitted on purpose: paraphrases. Families are the unit of alikeness, and whoever assigns them says
which prompts are alike.
"""

import json
from collections.abc import Iterable

import duckdb
import polars as pl

from data.checks import run_checks
from data.errors import InputError
from data.families import normalise
from data.hardening import harden

# A held-out prompt shorter than this ("hello") stands in innocent text too often to be a leak.
MIN_PROMPT_CHARACTERS = 20

_Turns = tuple[str, ...]


def check_training_text(prompts: pl.DataFrame, sft: pl.DataFrame, pretrain: pl.DataFrame) -> None:
    """Prove that training sees no held-out family and quotes no held-out prompt.

    A text quotes a prompt when every user turn of the prompt stands in it, after normalisation;
    prompts of less than MIN_PROMPT_CHARACTERS are not looked for.

    Args:
        prompts: Columns prompt_id, family_id, split, messages (JSON).
        sft: Columns family_id, messages (JSON), response.
        pretrain: Columns family_id, text.

    Raises:
        CheckError: If a row belongs to a validation or test family.
        InputError: If a row quotes a validation or test prompt.
    """
    with duckdb.connect(":memory:") as con:
        harden(con, [])
        for name, frame in (("prompts", prompts), ("sft", sft), ("pretrain", pretrain)):
            con.register(name, frame)
        run_checks(con, "checks/corpus/", {})
    held_out = _held_out_turns(prompts)
    dialogues = (
        " ".join([*_contents(messages), response])
        for messages, response in sft.select("messages", "response").iter_rows()
    )
    _check_quotes(held_out, sft["family_id"], dialogues, "SFT")
    _check_quotes(held_out, pretrain["family_id"], pretrain["text"], "pretraining")


def _held_out_turns(prompts: pl.DataFrame) -> dict[_Turns, str]:
    """Normalised user turns of each held-out prompt, the longest first -> prompt id."""
    held_out = prompts.filter(pl.col("split") != "train").select("prompt_id", "messages")
    turns: dict[_Turns, str] = {}
    for prompt_id, messages in held_out.iter_rows():
        texts = [normalise(text) for text in _contents(messages, role="user")]
        if sum(map(len, texts)) >= MIN_PROMPT_CHARACTERS:
            turns.setdefault(tuple(sorted(texts, key=len, reverse=True)), prompt_id)
    return turns


def _contents(messages: str, role: str = "") -> list[str]:
    return [one["content"] for one in json.loads(messages) if role in ("", one["role"])]


def _check_quotes(
    held_out: dict[_Turns, str], families: pl.Series, texts: Iterable[str], noun: str
) -> None:
    normal = pl.Series("text", [normalise(text) for text in texts], pl.String)
    # One pass for the longest turns of all prompts at once; few texts remain to be read closely.
    longest = sorted({turns[0] for turns in held_out})
    suspects = normal.str.contains_any(longest) if longest else pl.Series([], dtype=pl.Boolean)
    for index in suspects.arg_true():
        for turns, prompt_id in held_out.items():
            if all(turn in normal[index] for turn in turns):
                raise InputError(
                    f"{noun} text {index + 1} (family {families[index]}) quotes the held-out prompt"
                    f" {prompt_id}: {turns[0][:60]!r}; give both the same family"
                )
