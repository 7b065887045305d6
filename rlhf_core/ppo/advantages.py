"""Advantage estimation.

Omitted on purpose: whitening (masking.whiten), and bootstrapping of truncated responses, which
are scored as they are.

References:
    [1] Schulman et al. 2016, High-dimensional continuous control using GAE, arXiv:1506.02438.
"""

import torch
from torch import Tensor


def gae(
    rewards: Tensor, values: Tensor, is_response: Tensor, *, discount: float, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation over right-padded responses, [1] eq. 16.

    Args:
        rewards: Per-token rewards, float (B, R); ignored at padding.
        values: V(s_t) before response token t, float (B, R); ignored at padding.
        is_response: True where token t was sampled, bool (B, R).
        discount: gamma in [0, 1].
        gae_lambda: lambda in [0, 1].

    Returns:
        Advantages and returns (advantages + values), float (B, R), zero at padding, not whitened.
    """
    rewards, values = (x.masked_fill(~is_response, 0.0) for x in (rewards, values))
    advantage = next_value = torch.zeros_like(values[:, 0])
    reversed_advantages = []
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + discount * next_value - values[:, t]
        advantage = delta + discount * gae_lambda * advantage
        reversed_advantages.append(advantage)
        next_value = values[:, t]
    advantages = torch.stack(reversed_advantages[::-1], dim=1)
    return advantages, (advantages + values).masked_fill(~is_response, 0.0)
