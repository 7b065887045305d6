"""Stage generate_responses: K distinct responses to each sampled prompt, as set/1 lines."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.campaign_config import CampaignConfig
from rlhf_core.generation_config import GenerateConfig
from tasks.context import StageContext, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateResponsesConfig:
    """Config sections that the stage reads."""

    generate: GenerateConfig
    campaign: CampaignConfig


def generate_responses(
    context: StageContext, config: GenerateResponsesConfig, *, sft: Path, sample_prompts: Path
) -> Summary:
    """Sample K distinct responses a prompt from the SFT model; fewer than 2 drop the prompt."""
    import polars as pl

    from data.errors import InputError
    from data.identity import canonical_json
    from rlhf_core.checkpoint import load_policy
    from rlhf_core.generation import generate_distinct
    from rlhf_core.seeding import generator_for
    from tasks.texts import encode_prompt

    policy = load_policy(sft, context.device)
    prompts = pl.read_parquet(sample_prompts / "prompts.parquet")["prompt_id", "messages"].rows()
    starts = range(0, len(prompts), config.generate.batch_size)
    sizes: Counter[int] = Counter()
    with (context.out / "sets.jsonl").open("w", encoding="utf-8") as lines:
        for start in context.progress(starts, "responses"):
            batch = prompts[start : start + config.generate.batch_size]
            answers = generate_distinct(
                policy.model,
                [
                    encode_prompt(policy.tokenizer, messages, config.generate.max_prompt_tokens)
                    for _, messages in batch
                ],
                lambda ids: storable(policy.tokenizer.decode(ids)),
                responses_per_prompt=config.generate.responses_per_prompt,
                max_tokens=config.generate.max_tokens,
                temperature=config.generate.temperature,
                pad_id=policy.tokenizer.pad_id,
                eos_id=policy.tokenizer.eos_id,
                generator=generator_for(context.seed, "responses", start, device=context.device),
            )
            for (prompt_id, messages), texts in zip(batch, answers, strict=True):
                sizes[len(texts)] += 1
                if len(texts) >= 2:
                    row = set_row(prompt_id, messages, texts, config.campaign)
                    lines.write(canonical_json(row) + "\n")
    dropped = sizes[0] + sizes[1]
    if dropped == len(prompts):
        raise InputError(
            "no prompt got two distinct responses; raise generate.temperature or train sft longer"
        )
    return {
        "sets": len(prompts) - dropped,
        "responses": sum(size * count for size, count in sizes.items() if size >= 2),
        "dropped_prompts": dropped,
        "smaller_sets": sum(
            count
            for size, count in sizes.items()
            if 2 <= size < config.generate.responses_per_prompt
        ),
    }


def storable(text: str) -> str:
    """The text, or none where it holds a NUL, which the store refuses; none is no response."""
    return "" if "\0" in text else text


def set_row(
    prompt_id: str, messages: str, texts: Sequence[str], campaign: CampaignConfig
) -> dict[str, object]:
    """A set/1 object: one prompt with its responses, ids derived from what they name."""
    from data.corpus_frames import decode_messages
    from data.identity import response_id, set_id

    ids = [response_id(prompt_id, text) for text in texts]
    return {
        "schema": "set/1",
        "set_id": set_id(prompt_id, ids),
        "prompt_id": prompt_id,
        "messages": decode_messages(messages),
        "responses": [
            {"response_id": name, "text": text, "generator": "sft"}
            for name, text in zip(ids, texts, strict=True)
        ],
        "guideline_version": campaign.guideline_version,
        "campaign": campaign.name,
    }
