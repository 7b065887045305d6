"""I14: what is trained on is never tested on. The other invariants are in test_invariants."""

from data.corpus import build_corpus
from data.corpus_config import CorpusConfig
from data.families import Shares, family_id, split_of


def test_i14_no_prompt_is_trained_on_and_tested_on() -> None:
    """A family of prompts is in one split; what is trained on is of the families of train."""
    shares = Shares(train=0.5, validation=0.25, test=0.25)
    for number in range(50):
        spellings = [f"Tell me  about {number}", f" tell ME about\n{number}"]
        families = [family_id([{"role": "user", "content": text}]) for text in spellings]
        assert families[0] == families[1]
        assert len({split_of(family, shares, "salt") for family in families}) == 1
    corpus = build_corpus(CorpusConfig())
    splits: dict[str, set[str]] = {}
    for family, split in corpus.prompts.select("family_id", "split").iter_rows():
        splits.setdefault(family, set()).add(split)
    assert set.union(*splits.values()) == {"train", "validation", "test"}
    assert all(len(own) == 1 for own in splits.values())
    for frame in (corpus.sft, corpus.pretrain):
        assert all(splits[family] == {"train"} for family in frame["family_id"])
