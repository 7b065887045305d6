"""Log-probabilities of responses under a policy, and estimators of KL between two policies.

Omitted on purpose: top-k and top-p. The policy that is scored must be the one that sampled.

References:
    [1] J. Schulman, Approximating KL Divergence, 2020, joschu.net/blog/kl-approx.html.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rlhf_core.collate import Dialogues, gather_positions, response_positions
from rlhf_core.rwkv.model import RWKV


class ResponseLogprobs(NamedTuple):
    """What a policy says of each response token.

    Attributes:
        logprobs: log pi(token), float (B, R), zero at padding.
        entropy: Entropy of the distribution the token came from, float (B, R), zero at padding.
        is_response: True where a response token exists, bool (B, R).
    """

    logprobs: Tensor
    entropy: Tensor
    is_response: Tensor


def response_logprobs(policy: RWKV, batch: Dialogues, *, temperature: float) -> ResponseLogprobs:
    """Log-probability and entropy of each response token; logits are divided by `temperature`.

    Only the positions that predict a response token pass the vocabulary head.
    """
    hidden, _ = policy.encode(batch.ids, batch.lengths)
    positions, is_response = response_positions(batch)
    logits = policy.head(gather_positions(hidden, positions)).float() / temperature
    targets = batch.ids.gather(1, (positions + 1).clamp_max(batch.ids.shape[1] - 1))
    log_policy = logits.log_softmax(-1)
    logprobs = log_policy.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    entropy = -(log_policy.exp() * log_policy).sum(-1)
    return ResponseLogprobs(
        logprobs.masked_fill(~is_response, 0.0), entropy.masked_fill(~is_response, 0.0), is_response
    )


def kl_k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Log pi - log pi_ref per token: unbiased for KL(pi || pi_ref) under samples of pi [1]."""
    return logprobs - ref_logprobs


def kl_k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """(rho - 1) - log rho with rho = pi_ref / pi: unbiased, never negative [1]."""
    log_ratio = ref_logprobs - logprobs
    return torch.expm1(log_ratio) - log_ratio
