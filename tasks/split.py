"""Stage split: the corpus, its prompt families assigned to train, validation and test."""

from dataclasses import dataclass

from data.corpus_config import CorpusConfig
from tasks.context import StageContext, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """Config sections that the stage reads."""

    corpus: CorpusConfig


def split(context: StageContext, config: SplitConfig) -> Summary:
    """Render or read the corpus; no held-out text stands in what is trained on."""
    from data.corpus import build_corpus
    from data.training_text import check_training_text

    corpus = build_corpus(config.corpus)
    check_training_text(corpus.prompts, corpus.sft, corpus.pretrain)
    corpus.prompts.write_parquet(context.out / "prompts.parquet")
    corpus.sft.write_parquet(context.out / "sft.parquet")
    corpus.pretrain.write_parquet(context.out / "pretrain.parquet")
    of_split = corpus.prompts.group_by("split", maintain_order=True)
    sizes = {str(name): (len(rows), rows["family_id"].n_unique()) for (name,), rows in of_split}
    return {
        **{f"{name}_prompts": num_prompts for name, (num_prompts, _) in sizes.items()},
        **{f"{name}_families": num_families for name, (_, num_families) in sizes.items()},
        "sft_rows": len(corpus.sft),
        "pretrain_rows": len(corpus.pretrain),
        "notes": " ".join(corpus.notes),
    }
