"""Log-probabilities of responses under a policy, and estimators of KL between two policies.

Omitted on purpose: top-k and top-p. The policy that is scored must be the one that sampled.

References:
    [1] J. Schulman, Approximating KL Divergence, 2020, joschu.net/blog/kl-approx.html.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rlhf_core.backbones import Backbone, at_least_float32
from rlhf_core.collate import Dialogues, gather_positions, is_within, response_positions


class ResponseLogprobs(NamedTuple):
    """What a policy says of each response token.

    Attributes:
        logprobs: log pi(token), float (B, R), zero at padding.
        is_response: True where a response token exists, bool (B, R).
    """

    logprobs: Tensor
    is_response: Tensor


def token_logits(logits: Tensor, *, temperature: float, pad_id: int | None) -> Tensor:
    """Logits (..., V) of the policy that samples and is scored: tempered, PAD impossible.

    May overwrite `logits`: over a vocabulary, a copy costs as much as the softmax. PAD is taken out
    behind autograd's back, since its gradient is zero anyway: so is its probability.
    """
    logits = at_least_float32(logits)
    if temperature != 1:
        logits = logits / temperature
    if pad_id is not None:
        logits.detach()[..., pad_id : pad_id + 1] = -torch.inf  # none where it has no logit
    return logits


def response_logprobs(
    policy: Backbone, batch: Dialogues, *, temperature: float, pad_id: int | None
) -> ResponseLogprobs:
    """Log-probability of each response token.

    Only the positions that predict a response token pass the vocabulary head.

    Args:
        policy: Who is asked.
        batch: Prompts with their responses.
        temperature: Divides the logits.
        pad_id: Token that cannot be produced; None if all can.
    """
    return _scored(policy, batch, temperature, pad_id)[0]


@torch.no_grad()
def logprobs_and_entropy(
    policy: Backbone, batch: Dialogues, *, temperature: float, pad_id: int | None
) -> tuple[ResponseLogprobs, Tensor]:
    """As `response_logprobs`, and the entropy of the distribution that each token came from.

    Entropies are float (B, R), zero at padding.
    """
    scored, log_policy = _scored(policy, batch, temperature, pad_id)
    entropy = torch.special.entr(log_policy.exp()).sum(-1)
    return scored, entropy.masked_fill(~scored.is_response, 0.0)


def _scored(
    policy: Backbone, batch: Dialogues, temperature: float, pad_id: int | None
) -> tuple[ResponseLogprobs, Tensor]:
    """What the policy says of the response tokens, and log pi of all tokens there (B, R, V)."""
    hidden, _ = policy.encode(batch.ids, batch.lengths)
    is_response = is_within(batch.response_lengths, int(batch.response_lengths.max()))
    positions = response_positions(batch, is_response.shape[1])
    log_policy = token_logits(
        policy.head(gather_positions(hidden, positions)), temperature=temperature, pad_id=pad_id
    ).log_softmax(-1)
    targets = batch.ids.gather(1, (positions + 1).clamp_max(batch.ids.shape[1] - 1))
    logprobs = log_policy.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return ResponseLogprobs(logprobs.masked_fill(~is_response, 0.0), is_response), log_policy


def kl_k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Log pi - log pi_ref per token: unbiased for KL(pi || pi_ref) under samples of pi [1]."""
    return logprobs - ref_logprobs


def kl_k2(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Half the squared log ratio: biased, small variance, never negative [1]."""
    return 0.5 * (logprobs - ref_logprobs) ** 2


def kl_k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """(rho - 1) - log rho with rho = pi_ref / pi: unbiased, never negative [1]."""
    log_ratio = ref_logprobs - logprobs
    return torch.expm1(log_ratio) - log_ratio


KL_ESTIMATORS = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3}
