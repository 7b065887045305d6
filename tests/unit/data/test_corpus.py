"""The rendered corpus: balanced, the same everywhere, and nothing of held-out families in it."""

import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from data.campaign_config import CampaignConfig
from data.corpus import build_corpus
from data.corpus_config import CorpusConfig
from data.corpus_frames import decode_messages
from data.dialogue import render_dialogue
from data.errors import InputError
from data.families import normalise
from data.grammar import load_grammar

ROOT = Path(__file__).parents[3]
GRAMMAR = load_grammar()
LOG = logging.getLogger(__name__)  # figures: --log-cli-level=INFO
DIGEST = """
import hashlib
from data.corpus import build_corpus
from data.corpus_config import CorpusConfig
frames = build_corpus(CorpusConfig())
tables = (frames.prompts, frames.sft, frames.pretrain)
print(hashlib.sha256("".join(table.write_ndjson() for table in tables).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def frames():
    return build_corpus(CorpusConfig())


def test_columns_and_order(frames):
    assert frames.prompts.columns == ["prompt_id", "family_id", "split", "messages", "stratum"]
    assert frames.sft.columns == ["family_id", "messages", "response"]
    assert frames.pretrain.columns == ["family_id", "text"]
    assert frames.prompts.equals(frames.prompts.sort("family_id", "prompt_id"))
    assert frames.prompts["prompt_id"].is_unique().all()


def test_splits(frames):
    families = frames.prompts.select("family_id", "split").unique()
    counts = dict(families["split"].value_counts().iter_rows())
    LOG.info("families per split: %s", counts)
    assert families.height == 320
    assert counts["test"] >= 64
    assert counts["train"] >= 180
    assert counts["validation"] >= 50
    products = frames.prompts.group_by("split").agg(pl.col("stratum").n_unique())
    assert products["stratum"].to_list() == [20, 20, 20]


def test_no_text_of_a_held_out_family_is_trained_on(frames):
    train = set(frames.prompts.filter(pl.col("split") == "train")["family_id"])
    assert set(frames.sft["family_id"]) == train
    assert set(frames.pretrain["family_id"]) == train
    held_out = [
        normalise(decode_messages(encoded)[0]["content"])
        for encoded in frames.prompts.filter(pl.col("split") != "train")["messages"]
    ]
    dialogues = [*frames.pretrain["text"], *_sft_dialogues(frames)]
    asked = {normalise(text.split("\n\n")[0].removeprefix("User: ")) for text in dialogues}
    assert asked.isdisjoint(held_out)


def test_styles_have_equal_shares_in_each_family(frames):
    for texts in (frames.sft["response"], [_reply(text) for text in frames.pretrain["text"]]):
        styles = Counter(GRAMMAR.parse_reply(text) for text in texts)
        assert len(set(styles.values())) == 1
    per_family = frames.sft.group_by("family_id").len()["len"].unique().to_list()
    assert per_family == [24]


def test_an_ideal_model_names_the_right_product_often_enough(frames):
    right = [
        GRAMMAR.products_named(response) == (family.split("/")[0],)
        for family, response in frames.sft.select("family_id", "response").iter_rows()
    ]
    LOG.info("right product: %s", sum(right) / len(right))
    assert 0.83 < sum(right) / len(right) < 0.92


def test_pretraining_and_sft_draw_their_own_replies(frames):
    same = set(_sft_dialogues(frames)) & set(frames.pretrain["text"])
    assert len(same) < 0.01 * frames.pretrain.height


def test_same_bytes_under_another_hash_seed():
    def digest(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        run = [sys.executable, "-c", DIGEST]
        return subprocess.run(
            run, env=environment, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout

    assert digest("1") == digest("2")


def test_too_few_test_prompts():
    with pytest.raises(InputError, match=r"fewer than corpus\.min_test_prompts = 2000"):
        build_corpus(CorpusConfig(min_test_prompts=2000))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "web"}, "source is 'web'"),
        ({"test": 0.3}, "must add up to 1"),
        ({"train": -0.6, "test": 1.4}, "train is -0.6"),
        ({"train": 0.0, "validation": 0.5, "test": 0.5}, "train is 0"),
        ({"min_test_prompts": -1}, "min_test_prompts is -1"),
        ({"replies_per_family": 6}, "replies_per_family is 6"),
        ({"dialogues_per_family": 0}, "dialogues_per_family is 0"),
        ({"source": "files", "prompts": "a.jsonl"}, "sft is empty"),
        ({"prompts": "a.jsonl"}, "prompts is set"),
    ],
)
def test_config_names_the_field(change, message):
    with pytest.raises(ValueError, match=message):
        CorpusConfig(**change)


@pytest.mark.parametrize("field", ["name", "guideline_version"])
def test_a_campaign_has_names(field):
    with pytest.raises(ValueError, match=f"{field} is empty"):
        CampaignConfig(**{field: ""})


def _reply(dialogue: str) -> str:
    return dialogue.split("\n\nAssistant: ")[1]


def _sft_dialogues(frames) -> list[str]:
    return [
        render_dialogue(decode_messages(encoded), response)
        for encoded, response in frames.sft.select("messages", "response").iter_rows()
    ]
