"""Scores of the SFT model's own replies, to which the reward model's scale is fitted.

In a run that ranks its own model's responses those are at hand. Rankings from a file are of other
models' or people's responses, so replies are drawn then.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlhf_core.generation_config import GenerateConfig
from tasks.context import StageContext

if TYPE_CHECKING:
    from rlhf_core.checkpoint import Policy
    from rlhf_core.reward.model import RewardModel
    from rlhf_core.reward.training import RankedPrompt

NUM_PROMPTS = 256  # as openai/lm-human-preferences, rewards.py


def draw_sft_scores(
    context: StageContext,
    policy: "Policy",
    model: "RewardModel",
    prompts: Sequence["RankedPrompt"],
    config: GenerateConfig,
) -> list[float]:
    """Raw scores of one reply of `policy` to each of the first prompts."""
    from rlhf_core.generation import generate
    from rlhf_core.reward.training import RankedPrompt, score_prompts
    from rlhf_core.seeding import generator_for

    ids = [prompt.prompt for prompt in prompts[:NUM_PROMPTS]]
    scores: list[float] = []
    for start in range(0, len(ids), config.batch_size):
        batch = ids[start : start + config.batch_size]
        replies = generate(
            policy.model,
            batch,
            responses_per_prompt=1,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            pad_id=policy.tokenizer.pad_id,
            eos_id=policy.tokenizer.eos_id,
            generator=generator_for(context.seed, "scale", start, device=context.device),
        )
        rows = [RankedPrompt(p, [r[0].ids], [], []) for p, r in zip(batch, replies, strict=True)]
        pad_id = policy.tokenizer.pad_id
        own = score_prompts(model, rows, batch_size=config.batch_size, pad_id=pad_id)
        scores += [score for (score,) in own]
    return scores
