"""Statistics over the True positions of a mask; what stands elsewhere, NaN included, is inert.

`whiten` centres, `rescale` does not: two names, since one boolean has been read both ways.
"""

import torch
from torch import Tensor

WHITEN_EPS = 1e-8


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` is True, a scalar."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum()


def masked_variance(values: Tensor, mask: Tensor, *, unbiased: bool = False) -> Tensor:
    """Variance over n as OpenAI's tf.nn.moments, or over n - 1 (`unbiased`) as TRL."""
    variance = masked_mean((values - masked_mean(values, mask)) ** 2, mask)
    count = mask.sum()
    return variance * count / (count - 1).clamp_min(1) if unbiased else variance


def whiten(values: Tensor, mask: Tensor, *, unbiased: bool = False) -> Tensor:
    """Shift to mean 0 and scale to variance 1 over `mask`; zero elsewhere."""
    centred = values - masked_mean(values, mask)
    variance = masked_variance(values, mask, unbiased=unbiased)
    return (centred * torch.rsqrt(variance + WHITEN_EPS)).masked_fill(~mask, 0.0)


def rescale(values: Tensor, mask: Tensor, *, unbiased: bool = False) -> Tensor:
    """Scale to variance 1 over `mask` and keep the mean; zero elsewhere."""
    mean = masked_mean(values, mask)
    return (whiten(values, mask, unbiased=unbiased) + mean).masked_fill(~mask, 0.0)
