"""Gain and bias that bring raw scores to mean 0 and standard deviation 1 on SFT samples.

Kept apart from the weights: the loss and calibration use raw scores, PPO normalised ones. Source:
openai/lm-human-preferences, rewards.py, set_reward_norms.
"""

from typing import NamedTuple

from torch import Tensor


class Normalisation(NamedTuple):
    """normalised = gain * raw + bias."""

    gain: float
    bias: float

    def __call__(self, raw: Tensor) -> Tensor:
        """Normalised scores, of the shape of `raw`."""
        return self.gain * raw + self.bias


def fit_normalisation(raw: Tensor) -> Normalisation:
    """The normalisation under which `raw` (n,) has mean 0 and standard deviation 1.

    Raises:
        ValueError: If all scores are equal.
    """
    std, mean = float(raw.double().std(correction=0)), float(raw.double().mean())
    if not std > 0:
        raise ValueError("the reward model gives every response the same score; train it longer")
    return Normalisation(1 / std, -mean / std)
