"""Replies of a policy to the test prompts, and what is measured of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rlhf_core.evaluation.config import EvaluateConfig
from tasks.context import StageContext

if TYPE_CHECKING:
    from data.grammar import Grammar
    from rlhf_core.checkpoint import Policy
    from rlhf_core.reward.checkpoint import Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPrompt:
    """A prompt of the test split.

    Attributes:
        prompt_id: Its id.
        family_id: Cluster of alike prompts.
        question: The last user turn.
        ids: Token ids, up to where the reply begins.
    """

    prompt_id: str
    family_id: str
    question: str
    ids: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One sampled reply and its measures.

    Attributes:
        model: "sft", "ppo", "dpo", or "best_of_n": those of the SFT policy to choose from.
        prompt_id: What it answers.
        family_id: The prompt's family.
        question: The last user turn.
        text: The reply.
        ended: Whether it ended within the limit.
        words: Its length in words.
        kl: Sum over tokens of log pi - log pi_SFT.
        kl_k3: The same by the k3 estimator.
        score: Normalised score of the reward model.
        heldout: Score of the held-out scorer.
        gold: Gold score; None where the corpus has none.
        right_product: Whether exactly the product asked about is named; None likewise.
        well_formed: Whether it ended and parses wholly in the grammar; None likewise.
    """

    model: str
    prompt_id: str
    family_id: str
    question: str
    text: str
    ended: bool
    words: int
    kl: float
    kl_k3: float
    score: float
    heldout: float
    gold: float | None
    right_product: bool | None
    well_formed: bool | None


class Models(NamedTuple):
    """The policy that replies, its name, and what its replies are measured with."""

    name: str
    policy: "Policy"
    reference: "Policy"
    scorer: "Scorer"


def sample_replies(
    context: StageContext,
    prompts: Sequence[TestPrompt],
    config: EvaluateConfig,
    *,
    models: Models,
    grammar: "Grammar | None",
) -> list[Reply]:
    """`config.responses_per_prompt` replies of `models.policy` to each prompt, measured."""
    from rlhf_core.generation import generate
    from rlhf_core.seeding import generator_for
    from tasks.dialogue_ids import decode_response

    name, policy = models.name, models.policy
    replies: list[Reply] = []
    starts = range(0, len(prompts), config.batch_size)
    for start in context.progress(starts, f"replies of {name}"):
        batch = prompts[start : start + config.batch_size]
        answers = generate(
            policy.model,
            [prompt.ids for prompt in batch],
            responses_per_prompt=config.responses_per_prompt,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            pad_id=policy.tokenizer.pad_id,
            eos_id=policy.tokenizer.eos_id,
            generator=generator_for(context.seed, "replies", name, start, device=context.device),
        )
        pairs = [(p, r) for p, own in zip(batch, answers, strict=True) for r in own]
        measures = measure(
            [(prompt.ids, response.ids) for prompt, response in pairs],
            models,
            temperature=config.temperature,
        )
        for (prompt, response), (kl, kl_k3, score) in zip(pairs, measures, strict=True):
            text = decode_response(policy.tokenizer, response.ids)
            replies.append(
                Reply(
                    model=name,
                    prompt_id=prompt.prompt_id,
                    family_id=prompt.family_id,
                    question=prompt.question,
                    text=text,
                    ended=response.ended,
                    kl=kl,
                    kl_k3=kl_k3,
                    score=score,
                    **judge(prompt.question, text, ended=response.ended, grammar=grammar),
                )
            )
    return replies


def measure(
    dialogues: Sequence[tuple[list[int], list[int]]],
    models: Models,
    *,
    temperature: float,
) -> list[tuple[float, float, float]]:
    """KL (k1 and k3, summed over tokens) and normalised score of each prompt-response pair."""
    import torch

    from rlhf_core.collate import join
    from rlhf_core.logprobs import kl_k1, kl_k3, response_logprobs
    from rlhf_core.reward.model import score

    _, policy, reference, scorer = models
    batch = join([p for p, _ in dialogues], [r for _, r in dialogues], policy.tokenizer.pad_id)
    batch = batch.to(policy.model.device)
    with torch.no_grad():
        scores = scorer.normalisation(score(scorer.model, batch))
        if policy is reference:
            return [(0.0, 0.0, own) for own in scores.tolist()]
        ours, theirs = (
            response_logprobs(
                it.model, batch, temperature=temperature, pad_id=policy.tokenizer.pad_id
            ).logprobs
            for it in (policy, reference)
        )
    columns = (kl_k1(ours, theirs).sum(1), kl_k3(ours, theirs).sum(1), scores)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def judge(question: str, text: str, *, ended: bool, grammar: "Grammar | None") -> dict[str, Any]:
    """What can be said of a reply without a model; gold and grammar in the demo only."""
    from data.gold import gold, heldout, is_right_product

    own = {"words": len(text.split()), "heldout": heldout(text)}
    if grammar is None:
        return {**own, "gold": None, "right_product": None, "well_formed": None}
    return {
        **own,
        "gold": gold(question, text, grammar=grammar),
        "right_product": is_right_product(question, text, grammar=grammar),
        "well_formed": ended and grammar.parse_reply(text) is not None,
    }
