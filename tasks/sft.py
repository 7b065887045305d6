"""Stage sft: supervised fine-tuning on prompt-response pairs, prompt tokens out of the loss."""

from dataclasses import dataclass
from pathlib import Path

from rlhf_core.language.config import LanguageConfig
from tasks.context import StageContext, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTConfig:
    """Config sections that the stage reads."""

    sft: LanguageConfig


def sft(context: StageContext, config: SFTConfig, *, split: Path, pretrain: Path) -> Summary:
    """Fine-tune the pretrained model on the demonstrations."""
    import polars as pl

    from rlhf_core.checkpoint import load_policy
    from rlhf_core.language.training import Document
    from tasks.dialogue_ids import encode_response
    from tasks.language_stage import fit_language_model
    from tasks.texts import cut_dialogue, encode_prompt, prompt_room

    policy = load_policy(pretrain, context.device)
    documents, num_cut = [], 0
    for messages, response in pl.read_parquet(split / "sft.parquet")["messages", "response"].rows():
        answer = encode_response(policy.tokenizer, response)
        prompt, answer, is_cut = cut_dialogue(
            encode_prompt(policy.tokenizer, messages),
            answer,
            prompt_room([len(answer)], config.sft.max_tokens),
            config.sft.max_tokens,
        )
        num_cut += is_cut
        documents.append(Document([*prompt, *answer], len(prompt)))
    summary = fit_language_model(context, policy, documents, config.sft, title="sft")
    return {**summary, "texts_cut": num_cut}
