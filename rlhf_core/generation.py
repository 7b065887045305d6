"""Sampling responses: one prefill per prompt, its state forked for K responses.

The sampling distribution is softmax(logits / temperature) without PAD, the one that is scored: no
top-k, no top-p, no repetition penalty, by design. Rows that have ended leave the batch, so the
last long response does not pay for the others.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.utils import parametrize

from rlhf_core.backbones import Backbone, State
from rlhf_core.collate import last_real, pad_right
from rlhf_core.guard import DivergedError
from rlhf_core.logprobs import token_logits


class Response(NamedTuple):
    """One sampled response.

    Attributes:
        ids: Token ids, EOS included when it was produced.
        ended: Whether EOS was produced within the limit.
    """

    ids: list[int]
    ended: bool


@torch.no_grad()
@parametrize.cached()  # adapted weights are summed up once, not at each token
def generate(
    policy: Backbone,
    prompts: Sequence[Sequence[int]],
    *,
    responses_per_prompt: int,
    max_tokens: int,
    temperature: float,
    pad_id: int,
    eos_id: int,
    generator: Generator,
) -> list[list[Response]]:
    """`responses_per_prompt` samples for each prompt, in the prompts' order.

    Raises:
        DivergedError: If the policy's weights give no finite probabilities.
    """
    state, logits = _prefill(policy, prompts, pad_id)
    state, logits = (
        state.repeat(responses_per_prompt),
        logits.repeat_interleave(responses_per_prompt, dim=0),
    )
    rows: list[list[int]] = [[] for _ in range(logits.shape[0])]
    active = torch.arange(logits.shape[0], device=logits.device)
    tokens = active
    for step in range(max_tokens):
        if step:
            next_logits, state = policy(tokens.unsqueeze(1), None, state)
            logits = next_logits.squeeze(1)
        policy_now = token_logits(logits, temperature=temperature, pad_id=pad_id).softmax(-1)
        tokens = _draw(policy_now, generator)
        for row, token in zip(active.tolist(), tokens.tolist(), strict=True):
            rows[row].append(token)
        going_on = (tokens != eos_id).nonzero().squeeze(1)
        if not len(going_on):
            break
        if len(going_on) < len(active):
            state, active, tokens = state.select(going_on), active[going_on], tokens[going_on]
    responses = [Response(ids, ended=ids[-1] == eos_id) for ids in rows]
    return [
        responses[start : start + responses_per_prompt]
        for start in range(0, len(responses), responses_per_prompt)
    ]


def generate_distinct(
    policy: Backbone,
    prompts: Sequence[Sequence[int]],
    decode: Callable[[list[int]], str],
    *,
    responses_per_prompt: int,
    max_tokens: int,
    temperature: float,
    pad_id: int,
    eos_id: int,
    generator: Generator,
) -> list[list[str]]:
    """Up to K responses a prompt, texts distinct after folding white space, none empty.

    At most 4 K tries a prompt; what is still missing then is missing, so a list may be shorter.
    """
    texts: list[dict[str, str]] = [{} for _ in prompts]
    for _ in range(4):
        lacking = [i for i, found in enumerate(texts) if len(found) < responses_per_prompt]
        if not lacking:
            break
        drawn = generate(
            policy,
            [prompts[i] for i in lacking],
            responses_per_prompt=responses_per_prompt,
            max_tokens=max_tokens,
            temperature=temperature,
            pad_id=pad_id,
            eos_id=eos_id,
            generator=generator,
        )
        for i, responses in zip(lacking, drawn, strict=True):
            for response in responses:
                text = decode(response.ids).strip()
                folded = " ".join(text.split())
                if folded and len(texts[i]) < responses_per_prompt:
                    texts[i].setdefault(folded, text)
    return [list(found.values()) for found in texts]


def _prefill(
    policy: Backbone, prompts: Sequence[Sequence[int]], pad_id: int
) -> tuple[State, Tensor]:
    """The state after each prompt and the logits of its next token (B, V)."""
    ids, lengths = (x.to(policy.device) for x in pad_right(prompts, pad_id))
    hidden, state = policy.encode(ids, lengths)
    return state, policy.head(last_real(hidden, lengths))


def _draw(probabilities_BV: Tensor, generator: Generator) -> Tensor:
    """A token a row (B,): where the cumulative probability passes a uniform number.

    In float64: a float32 number of 24 bits could not draw what is rarer than 6e-8.

    Raises:
        DivergedError: If a probability is not finite.
    """
    cumulative = probabilities_BV.cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    if not total.isfinite().all():
        raise DivergedError("the policy's probabilities are not finite; lower the learning rate")
    uniform = torch.rand(total.shape, generator=generator, dtype=total.dtype, device=total.device)
    return torch.searchsorted(cumulative, uniform * total, right=True).squeeze(1)
