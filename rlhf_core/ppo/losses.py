"""The clipped losses of PPO over right-padded responses.

References:
    [1] Schulman et al. 2017, Proximal policy optimization algorithms, arXiv:1707.06347.
    [2] openai/lm-human-preferences, train_policy.py, PPOTrainer.loss.
"""

import torch
from torch import Tensor

from rlhf_core.masking import masked_mean


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    is_response: Tensor,
    *,
    clip_ratio: float,
) -> tuple[Tensor, dict[str, float]]:
    """Mean of max(-A rho, -A clip(rho, 1 - c, 1 + c)) over response tokens, [1] eq. 7.

    All tensors are float (B, R); `is_response` is bool. Returns the loss and diagnostics:
    approx_kl is half the mean squared log-ratio [2].
    """
    log_ratio = (logprobs - old_logprobs).masked_fill(~is_response, 0.0)
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip_ratio, 1 + clip_ratio)
    losses = torch.maximum(-advantages * ratio, -advantages * clipped)
    with torch.no_grad():
        is_clipped = (-advantages * clipped > -advantages * ratio).float()
        metrics = {
            "ppo/policy/approx_kl": float(0.5 * masked_mean(log_ratio**2, is_response)),
            "ppo/policy/clip_fraction": float(masked_mean(is_clipped, is_response)),
            "ppo/policy/ratio": float(masked_mean(ratio, is_response)),
        }
    return masked_mean(losses, is_response), metrics


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, is_rewarded: Tensor, *, value_clip: float
) -> tuple[Tensor, dict[str, float]]:
    """Half the mean of max((V - R)^2, (clip(V, V_old +- c) - R)^2) where there are values [2]."""
    values = values.masked_fill(~is_rewarded, 0.0)  # else 0 * NaN at padding on the way back
    clipped = torch.clamp(values, old_values - value_clip, old_values + value_clip)
    losses = torch.maximum((values - returns) ** 2, (clipped - returns) ** 2)
    with torch.no_grad():
        is_clipped = ((clipped - returns) ** 2 > (values - returns) ** 2).float()
        metrics = {"ppo/value/clip_fraction": float(masked_mean(is_clipped, is_rewarded))}
    return 0.5 * masked_mean(losses, is_rewarded), metrics
