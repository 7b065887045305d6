"""The user's corpus files, and the choice of prompts to answer."""

import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from data.corpus import build_corpus
from data.corpus_config import CorpusConfig
from data.corpus_frames import decode_messages
from data.errors import InputError
from data.prompts import SampleConfig, allocate, sample_prompts
from data.training_text import check_training_text

# "How do I mend the lamp on the table? I found it out this morning and want to try."
CHINESE = (
    "\u8bf7\u95ee\u600e\u6837\u628a\u684c\u4e0a\u7684\u706f\u4fee\u597d\uff1f\u6211\u4eca"
    "\u5929\u65e9\u4e0a\u53d1\u73b0\u5b83\u4e0d\u4eae\u4e86\uff0c\u60f3\u81ea\u5df1\u8bd5\u4e00\u8bd5\u3002"
)


def write(path: Path, rows: list) -> str:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.fixture
def read(tmp_path):
    """Builds the corpus of the given rows."""

    def build(prompts, sft=None, pretrain=None, **change):
        sft = [{"prompt": "a", "response": "b"}] if sft is None else sft
        paths = {
            "prompts": write(tmp_path / "prompts.jsonl", prompts),
            "sft": write(tmp_path / "sft.jsonl", sft),
        }
        if pretrain is not None:
            paths["pretrain"] = write(tmp_path / "pretrain.jsonl", pretrain)
        shares = {"train": 1.0, "validation": 0.0, "test": 0.0, "min_test_prompts": 0}
        return build_corpus(CorpusConfig(source="files", **paths, **{**shares, **change}))

    return build


def test_prompts_as_text_or_messages(read):
    dialogue = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": CHINESE},
    ]
    frames = read(
        [{"prompt": "\u4f60\u597d"}, {"messages": dialogue, "prompt_id": "p7", "family": "lamp"}]
    )
    rows = {row["prompt_id"]: row for row in frames.prompts.to_dicts()}
    assert decode_messages(rows["p7"]["messages"]) == dialogue
    assert CHINESE in rows["p7"]["messages"]
    assert rows["p7"]["family_id"] == "lamp"
    other = next(row for name, row in rows.items() if name != "p7")
    assert other["prompt_id"].startswith("p_")
    assert other["family_id"].startswith("f_")


def test_without_texts_pretraining_reads_the_dialogues(read):
    frames = read(
        [{"prompt": "q"}],
        [{"prompt": CHINESE, "response": " \u62e7\u7d27\u706f\u6ce1\u3002\n\n\u518d\u8bd5\u3002 "}],
    )
    assert frames.sft["response"].to_list() == [
        "\u62e7\u7d27\u706f\u6ce1\u3002\n\u518d\u8bd5\u3002"
    ]
    assert frames.pretrain["text"].to_list() == [
        f"User: {CHINESE}\n\nAssistant: \u62e7\u7d27\u706f\u6ce1\u3002\n\u518d\u8bd5\u3002"
    ]


def test_a_row_without_family_takes_that_of_the_same_text(read):
    frames = read(
        [{"prompt": "Hello  you", "family": "greeting"}], [{"prompt": "hello you", "response": "x"}]
    )
    assert frames.sft["family_id"].to_list() == ["greeting"]


def test_held_out_families_are_not_trained_on(read):
    names = [f"family {number}" for number in range(60)]
    names = [name.replace(" ", "-") for name in names]
    prompts = [{"prompt": f"what about number {name}, please?", "family": name} for name in names]
    sft = [{**row, "response": "fine"} for row in prompts]
    texts = [{"text": f"He said: WHAT about number {name},  please? And left."} for name in names]
    texts += [{"text": f"about {name}", "family": name} for name in names]
    texts += [{"text": "background"}]
    frames = read(prompts, sft, texts, train=0.5, validation=0.25, test=0.25)
    train = frames.prompts.filter(pl.col("split") == "train")
    held_out = 60 - train.height
    assert 0 < held_out < 60
    assert set(frames.sft["family_id"]) == set(train["family_id"])
    assert frames.pretrain.height == 2 * train.height + 1
    assert f"{held_out} SFT rows" in frames.notes[0]
    assert f"{2 * held_out} pretraining texts" in frames.notes[1]


def test_sft_rows_and_texts_that_quote_a_held_out_prompt_are_left_out(read):
    """Even in a train family; what is left passes the proof that stops a run."""
    names = [f"family-{number}" for number in range(60)]
    prompts = [{"prompt": f"what about number {name}, please?", "family": name} for name in names]
    own = [{"prompt": f"ask {name}", "family": name, "response": "fine"} for name in names]
    quoting = [{**own[i], "response": f"Q: {prompts[i + 1]['prompt']}"} for i in range(59)]
    texts = [{"text": row["response"], "family": row["family"]} for row in quoting]
    frames = read(prompts, [*own, *quoting], texts, train=0.5, validation=0.25, test=0.25)
    check_training_text(frames.prompts, frames.sft, frames.pretrain)
    train = set(frames.prompts.filter(pl.col("split") == "train")["family_id"])
    expected = [i for i in range(59) if names[i] in train and names[i + 1] in train]
    assert 0 < len(expected) < len(train)
    assert frames.sft.height == len(train) + len(expected)
    assert frames.pretrain.height == len(expected)
    left_out = 119 - frames.sft.height
    assert f"{left_out} SFT rows of held-out families, or quoting them" in frames.notes[0]
    assert f"{59 - len(expected)} pretraining texts" in frames.notes[1]


def test_repeated_prompts_are_folded_and_counted(read):
    frames = read([{"prompt": "q"}, {"prompt": "q"}, {"prompt": "r"}])
    assert frames.prompts.height == 2
    assert frames.notes == ("1 repeated prompts folded into one",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", r"prompts\.jsonl:2:.*one JSON object per line"),
        ({"promt": "x"}, r"prompts\.jsonl:2:.*promt"),
        ({"prompt": "x", "messages": []}, r"prompts\.jsonl:2:.*one of: prompt, messages"),
        ({"prompt": 3}, r"prompts\.jsonl:2:.*prompt must be a string"),
        ({"prompt": " "}, r"prompts\.jsonl:2:.*prompt is empty"),
        ({"prompt": "x", "family": 3}, r"prompts\.jsonl:2:.*family must be"),
        ({"messages": [{"role": "bot", "content": "x"}]}, r"prompts\.jsonl:2:.*unknown role"),
        ('{"prompt": "a\\ud800"}', r"prompts\.jsonl:2:.*U\+D800"),
        ({"prompt": "other", "prompt_id": "p1"}, r"prompts\.jsonl:2:.*PROMPT_CHANGED.*line 1"),
        ({"prompt": "FIRST ", "family": "b"}, r"prompts\.jsonl:2:.*FAMILY_CONFLICT.*jsonl:1"),
    ],
)
def test_a_bad_row_is_named(read, row, message):
    with pytest.raises(InputError, match=message):
        read([{"prompt": "first", "prompt_id": "p1", "family": "a"}, row])


def test_one_text_in_two_families_of_two_files(read):
    with pytest.raises(InputError, match=r"sft\.jsonl:1:.*FAMILY_CONFLICT"):
        read([{"prompt": "q", "family": "a"}], [{"prompt": "Q", "family": "b", "response": "x"}])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([{"text": ""}], r"pretrain\.jsonl:1:.*text is empty"),
        ([{"txt": "x"}], r"pretrain\.jsonl:1:.*text"),
        ([], r"pretrain\.jsonl: no text of a train family"),
    ],
)
def test_bad_pretraining_texts(read, texts, message):
    with pytest.raises(InputError, match=message):
        read([{"prompt": "q"}], pretrain=texts)


def test_empty_and_missing_files(read, tmp_path):
    with pytest.raises(InputError, match=r"prompts\.jsonl: no prompt"):
        read([])
    with pytest.raises(InputError, match=r"sft\.jsonl: no row of a train family"):
        read([{"prompt": "q"}], [])
    with pytest.raises(InputError, match="no such file"):
        build_corpus(CorpusConfig(source="files", prompts=str(tmp_path / "x"), sft="y"))
    with pytest.raises(InputError, match="the test split holds 0 prompts"):
        read([{"prompt": "q"}], min_test_prompts=1)


@pytest.fixture(scope="module")
def demo():
    return build_corpus(CorpusConfig()).prompts


def test_sample_is_stratified(demo):
    config = SampleConfig(train=200, validation=40)
    sampled = sample_prompts(demo, config, seed=0)
    assert sampled.notes == ()
    assert dict(Counter(sampled.prompts["split"])) == {"train": 200, "validation": 40}
    pool = Counter(demo.filter(pl.col("split") == "train")["stratum"])
    chosen = Counter(sampled.prompts.filter(pl.col("split") == "train")["stratum"])
    for stratum, size in pool.items():
        assert abs(chosen[stratum] - 200 * size / pool.total()) < 1.0


def test_sample_depends_on_the_seed_not_on_the_order(demo):
    config = SampleConfig(train=50, validation=10)
    first = sample_prompts(demo, config, seed=0).prompts
    assert first.equals(first.sort("family_id", "prompt_id"))
    shuffled = demo.sample(fraction=1.0, shuffle=True, seed=3)
    again = sample_prompts(shuffled, config, seed=0).prompts
    assert set(again["prompt_id"]) == set(first["prompt_id"])
    other = sample_prompts(demo, config, seed=1).prompts
    assert set(other["prompt_id"]) != set(first["prompt_id"])


def test_sample_never_takes_test_prompts_and_says_when_it_is_short(demo):
    sampled = sample_prompts(demo, SampleConfig(train=10**6, validation=0), seed=0)
    assert set(sampled.prompts["split"]) == {"train"}
    assert sampled.notes == ("only 1110 train prompts exist; 1000000 were asked for",)


def test_an_empty_split_is_refused(demo):
    train = demo.filter(pl.col("split") == "train")
    assert sample_prompts(train, SampleConfig(train=5, validation=0), seed=0).prompts.height == 5
    with pytest.raises(InputError, match="validation split holds no prompt"):
        sample_prompts(train, SampleConfig(train=5, validation=1), seed=0)
    with pytest.raises(InputError, match="train split holds no prompt"):
        sample_prompts(demo.clear(), SampleConfig(train=1, validation=0), seed=0)


def test_largest_remainder():
    assert allocate({"a": 5, "b": 3, "c": 2}, 5) == {"a": 3, "b": 1, "c": 1}
    assert allocate({"a": 1, "b": 1, "c": 1}, 2) == {"a": 1, "b": 1, "c": 0}
    assert allocate({"a": 2, "b": 7}, 9) == {"a": 2, "b": 7}
    assert allocate({}, 0) == {}
    with pytest.raises(ValueError, match="hold 1"):
        allocate({"a": 1}, 2)


def test_sample_config_names_the_field():
    with pytest.raises(ValueError, match="train is 0"):
        SampleConfig(train=0)
    with pytest.raises(ValueError, match="validation is -1"):
        SampleConfig(validation=-1)
