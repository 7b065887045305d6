"""Proof that training reads no text of a held-out family.

Omitted on purpose: what a quote is (see quotes.py).
"""

import duckdb
import polars as pl

from data.checks import run_checks
from data.corpus_frames import decode_messages
from data.dialogue import render_dialogue
from data.errors import InputError
from data.hardening import harden
from data.quotes import find_quotes


def check_training_text(prompts: pl.DataFrame, sft: pl.DataFrame, pretrain: pl.DataFrame) -> None:
    """Prove that training sees no held-out family and quotes no held-out prompt.

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
    held_out = [
        (prompt_id, decode_messages(messages))
        for prompt_id, messages in prompts.filter(pl.col("split") != "train")
        .select("prompt_id", "messages")
        .iter_rows()
    ]
    dialogues = [
        render_dialogue(decode_messages(messages), response)
        for messages, response in sft.select("messages", "response").iter_rows()
    ]
    for noun, families, texts in (
        ("SFT", sft["family_id"], dialogues),
        ("pretraining", pretrain["family_id"], pretrain["text"].to_list()),
    ):
        for index, quote in find_quotes(held_out, texts).items():
            raise InputError(
                f"{noun} text {index + 1} (family {families[index]}) quotes the held-out prompt"
                f" {quote.prompt_id}: {quote.turn[:60]!r}; give both the same family"
            )
