"""The three tables of a corpus: their columns, order and small checks.

prompts holds every prompt with its split; sft and pretrain hold text of train families only.

Omitted on purpose: where the rows come from (see corpus.py and corpus_files.py).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from data.corpus_config import CorpusConfig
from data.errors import InputError
from data.families import Shares

PROMPTS_SCHEMA = pl.Schema(
    {
        "prompt_id": pl.String,
        "family_id": pl.String,
        "split": pl.String,
        "messages": pl.String,
        "stratum": pl.String,
    }
)
SFT_SCHEMA = pl.Schema({"family_id": pl.String, "messages": pl.String, "response": pl.String})
PRETRAIN_SCHEMA = pl.Schema({"family_id": pl.String, "text": pl.String})


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFrames:
    """A corpus.

    Attributes:
        prompts: Columns prompt_id, family_id, split, messages, stratum; by family_id, prompt_id.
        sft: Columns family_id, messages, response; rows of a family follow each other.
        pretrain: Columns family_id, text; in the order of sft or of the user's file.
        notes: What was left out and why, one sentence each.
    """

    prompts: pl.DataFrame
    sft: pl.DataFrame
    pretrain: pl.DataFrame
    notes: tuple[str, ...] = ()


def frame(rows: Sequence[Mapping[str, str]], schema: pl.Schema) -> pl.DataFrame:
    """A typed frame of the rows, in their order; empty rows keep the columns."""
    return pl.DataFrame(rows, schema=schema, orient="row")


def encode_messages(messages: Sequence[Mapping[str, str]]) -> str:
    """Turns as compact JSON, `role` before `content`, in plain Unicode: the `messages` column."""
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
    return json.dumps(turns, ensure_ascii=False, separators=(",", ":"))


def decode_messages(encoded: str) -> list[dict[str, str]]:
    """The turns of a `messages` cell."""
    turns: list[dict[str, str]] = json.loads(encoded)
    return turns


def shares_of(config: CorpusConfig) -> Shares:
    """The split shares of a config."""
    return Shares(train=config.train, validation=config.validation, test=config.test)


def check_test_prompts(prompts: pl.DataFrame, config: CorpusConfig) -> None:
    """Refuses a test split that is too small to compare models on.

    Args:
        prompts: The prompts table.
        config: Names the least number of test prompts.

    Raises:
        InputError: Fewer test prompts than config.min_test_prompts.
    """
    count = prompts.filter(pl.col("split") == "test").height
    if count < config.min_test_prompts:
        raise InputError(
            f"corpus: the test split holds {count} prompts, fewer than"
            f" corpus.min_test_prompts = {config.min_test_prompts}; add prompts, raise corpus.test"
            " or lower corpus.min_test_prompts"
        )
