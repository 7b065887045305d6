"""Advantage estimation, with a critic or against the other episodes of a prompt.

Omitted on purpose: whitening (masking.whiten), and bootstrapping of truncated responses, which
are scored as they are.

References:
    [1] Schulman et al. 2016, High-dimensional continuous control using GAE, arXiv:1506.02438.
    [2] Ahmadian et al. 2024, Back to basics (RLOO), arXiv:2402.14740, section 3.
    [3] Shao et al. 2024, DeepSeekMath (GRPO), arXiv:2402.03300, section 4.1.
"""

import torch
from torch import Tensor


def gae(
    rewards: Tensor, values: Tensor, is_rewarded: Tensor, *, discount: float, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation over right-padded responses, [1] eq. 16.

    Args:
        rewards: Per-token rewards, float (B, R); ignored at padding.
        values: V(s_t) before response token t, float (B, R); ignored at padding.
        is_rewarded: True where there is a reward and a value, bool (B, R).
        discount: gamma in [0, 1].
        gae_lambda: lambda in [0, 1].

    Returns:
        Advantages and returns (advantages + values), float (B, R), zero at padding, not whitened.
    """
    rewards, values = (x.masked_fill(~is_rewarded, 0.0) for x in (rewards, values))
    advantage = next_value = torch.zeros_like(values[:, 0])
    reversed_advantages = []
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + discount * next_value - values[:, t]
        advantage = delta + discount * gae_lambda * advantage
        reversed_advantages.append(advantage)
        next_value = values[:, t]
    advantages = torch.stack(reversed_advantages[::-1], dim=1)
    return advantages, (advantages + values).masked_fill(~is_rewarded, 0.0)


def leave_one_out(returns: Tensor, group_size: int) -> Tensor:
    """Each return less the mean of the others of its group [2], float (B,).

    Args:
        returns: Return of each episode, float (B,); the episodes of a prompt stand together.
        group_size: Episodes a prompt, at least 2.
    """
    groups = returns.view(-1, group_size)
    others = (groups.sum(1, keepdim=True) - groups) / (group_size - 1)
    return (groups - others).flatten()


def group_normalised(returns: Tensor, group_size: int) -> Tensor:
    """Each return less its group's mean, over its standard deviation [3]; as `leave_one_out`.

    The deviation is unbiased and has 1e-4 added, as in TRL: a group of equal returns gives zeros.
    """
    groups = returns.view(-1, group_size)
    centred = groups - groups.mean(1, keepdim=True)
    return (centred / (groups.std(1, keepdim=True) + 1e-4)).flatten()
