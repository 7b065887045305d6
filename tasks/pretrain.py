"""Stage pretrain: a tokenizer and a small RWKV-7 from scratch, or the model that the user has."""

from dataclasses import dataclass, replace
from pathlib import Path

from rlhf_core.language.config import LanguageConfig
from rlhf_core.rwkv.config import RWKVConfig
from tasks.base_model_config import BaseModelConfig
from tasks.context import StageContext, Summary

NUM_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """Config sections that the stage reads."""

    base_model: BaseModelConfig
    model: RWKVConfig
    pretrain: LanguageConfig


def pretrain(context: StageContext, config: PretrainConfig, *, split: Path) -> Summary:
    """Train a tokenizer and a language model on the pretraining text, or take the user's model."""
    if config.base_model.path:
        return take_model(context, config.base_model)
    return train_from_scratch(context, config, split)


def take_model(context: StageContext, config: BaseModelConfig) -> Summary:
    """Keep the model and tokenizer of `config.path` as they are, weights as float32."""
    from data.errors import InputError
    from rlhf_core.checkpoint import load_policy, save_policy

    try:
        policy = load_policy(Path(config.path), context.device)
    except Exception as error:  # `tokenizers` raises nothing narrower
        raise InputError(f"base_model.path: {error}") from error
    save_policy(policy, context.out)
    tokenizer = policy.tokenizer
    pad, eos = tokenizer.pad_id, tokenizer.eos_id
    return {
        "parameters": sum(p.numel() for p in policy.model.parameters()),
        "vocab_size": tokenizer.vocab_size,
        "notes": (
            f"the model of base_model.path is taken, PAD is token {pad}, EOS {eos}; the sections "
            "model and pretrain are unused"
        ),
    }


def train_from_scratch(context: StageContext, config: PretrainConfig, split: Path) -> Summary:
    """Train on the texts of `split`."""
    import polars as pl

    from data.errors import InputError
    from rlhf_core.checkpoint import Policy
    from rlhf_core.language.training import Document
    from rlhf_core.rwkv.init import initialise
    from rlhf_core.rwkv.model import RWKV
    from rlhf_core.seeding import generator_for
    from rlhf_core.tokenizer import train_tokenizer
    from tasks.language_stage import fit_language_model
    from tasks.texts import cut

    if config.model.vocab_size < NUM_BYTES + 2:
        raise InputError(
            f"model.vocab_size is {config.model.vocab_size}; give at least {NUM_BYTES + 2}, for "
            "the bytes, padding and the end of text"
        )
    texts = pl.read_parquet(split / "pretrain.parquet")["text"].to_list()
    tokenizer = train_tokenizer(texts, config.model.vocab_size)
    sizes = replace(config.model, vocab_size=tokenizer.vocab_size)
    model = initialise(RWKV(sizes), generator_for(context.seed, "init")).to(context.device)
    rows = ([*tokenizer.encode(text), tokenizer.eos_id] for text in texts)
    ids, num_cut = cut(rows, config.pretrain.max_tokens)
    summary = fit_language_model(
        context,
        Policy(model, tokenizer),
        [Document(row, 0) for row in ids],
        config.pretrain,
        title="pretrain",
    )
    return {**summary, "vocab_size": tokenizer.vocab_size, "texts_cut": num_cut}
