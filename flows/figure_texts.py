"""What each figure of an evaluation means in plain words, and what the demo must reach.

Omitted on purpose: computing figures (tasks/figures.py, tasks/reward_accuracy.py).
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeAlias

Figure: TypeAlias = Mapping[str, float | None]
Figures: TypeAlias = Mapping[str, Figure]

FIELDS = ("value", "low", "high", "n", "sft")

# In the order of reading: is it better, at what price, is the reward model right, is PPO healthy.
DESCRIPTIONS = {
    "win_rate": "PPO reply against SFT reply to one prompt: how often PPO's has the higher gold",
    "gold": "gold score of a reply (tone + 1 if it names the right product)",
    "right_product": "replies that name exactly the product asked about",
    "right_product_difference": "the same, PPO minus SFT, prompt by prompt",
    "well_formed": "replies that end in time and parse wholly in the demo's grammar",
    "kl": "how far PPO moved from SFT, nats a reply (k1 estimator)",
    "kl_k3": "the same by the k3 estimator",
    "distinct": "distinct replies among those to one prompt",
    "length": "words a reply",
    "ended": "replies that end within the limit",
    "heldout_scorer": "tone by TextBlob, which took no part in ranking",
    "heldout_scorer_difference": "the same, PPO minus SFT, prompt by prompt",
    "reward": "normalised score by the reward model that PPO was trained on",
    "reward_win_rate": "win rate by the reward model's own score",
    "rm_pair_accuracy": "reward model orders pairs as gold does, validation prompts",
    "rm_label_accuracy": "reward model orders pairs as the annotators did",
    "rm_label_ceiling": "gold itself against the annotators: noise caps the line above here",
    "cv_accuracy": "reward model on people's pairs, cross-validated over families",
    "cv_accuracy_unseen": "the same, families that fine-tuning never saw",
    "cv_longer_wins": "the rule 'the longer reply wins' on the same pairs",
    "mutual_agreement": "pairs that two annotators of one set order alike",
    "ppo/score": "last 10 PPO iterations: normalised score of the rollouts",
    "ppo/kl": "last 10 PPO iterations: KL from SFT, nats a reply",
    "ppo/entropy": "last 10 PPO iterations: entropy a token, nats",
    "ppo/policy/clip_fraction": "last 10 PPO iterations: tokens at the clip",
    "ppo/policy/approx_kl": "last 10 PPO iterations: KL of one update, nats a token",
    "ppo/value/explained_variance": "last 10 PPO iterations: variance that the critic explains",
}
_BEST_OF = re.compile(r"best_of_(\d+)_(\w+)")
_OF_BEST = {
    "reward": "their normalised score",
    "kl": "how far that is from SFT, nats a reply, by the ranks of the scores",
    "kl_bound": "the same if no reply ever repeated: ln n - (n - 1) / n",
}


def description_of(key: str) -> str:
    """What a figure says; those of the baselines are worded by their parts. Empty if unknown."""
    if key in DESCRIPTIONS:
        return DESCRIPTIONS[key]
    if key.startswith("dpo_") and key.removeprefix("dpo_") in DESCRIPTIONS:
        return f"{key.removeprefix('dpo_')} of the DPO policy in place of PPO's"
    best = _BEST_OF.fullmatch(key)
    if best is None:
        return ""
    count, measure = best.groups()
    what = _OF_BEST.get(measure, DESCRIPTIONS.get(measure, measure))
    return f"SFT's best of {count} replies by the reward model: {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a number of the demo must reach.

    Attributes:
        key: The figure.
        text: The bound in words.
        number: The number that is meant; None where the figure has none.
        low: The least that meets the bound.
        high: The most.
    """

    key: str
    text: str
    number: Callable[[Figure], float | None]
    low: float = -math.inf
    high: float = math.inf

    def number_in(self, figures: Figures) -> float | None:
        """The number that is meant, None where there is none."""
        figure = figures.get(self.key)
        return None if figure is None else self.number(figure)

    def is_met(self, figures: Figures) -> bool:
        """Whether it is met; what is missing meets nothing."""
        number = self.number_in(figures)
        return number is not None and self.low <= number <= self.high


def share_of_sft(figure: Figure) -> float | None:
    """The value over the SFT model's; None where either is missing or SFT's is 0."""
    value, sft = figure["value"], figure["sft"]
    return None if value is None or not sft else value / sft


_value, _low, _high, _sft = (itemgetter(field) for field in ("value", "low", "high", "sft"))
_ABOVE_ZERO = math.nextafter(0.0, 1.0)

BOUNDS = (
    Bound(key="win_rate", text="at least 0.80", number=_value, low=0.80),
    Bound(key="win_rate", text="low end at least 0.70", number=_low, low=0.70),
    Bound(key="well_formed", text="SFT's at least 0.95", number=_sft, low=0.95),
    Bound(key="right_product", text="SFT's at least 0.70", number=_sft, low=0.70),
    Bound(key="rm_pair_accuracy", text="at least 0.85", number=_value, low=0.85),
    Bound(key="kl", text="at most 3", number=_value, high=3.0),
    Bound(key="distinct", text="at least 0.6 of SFT's", number=share_of_sft, low=0.6),
    Bound(key="well_formed", text="at least 0.90", number=_value, low=0.90),
    Bound(key="right_product_difference", text="high end at least 0", number=_high, low=0.0),
    Bound(key="length", text="0.75 to 1.33 of SFT's", number=share_of_sft, low=0.75, high=1.33),
    Bound(key="heldout_scorer_difference", text="low end above 0", number=_low, low=_ABOVE_ZERO),
    Bound(key="mutual_agreement", text="0.65 to 0.80", number=_value, low=0.65, high=0.80),
)


def whole_figures(figures: Mapping[str, Mapping[str, float | None]]) -> dict[str, Figure]:
    """Every figure with all of value, low, high, n and sft; None where it has none."""
    return {key: {field: figure.get(field) for field in FIELDS} for key, figure in figures.items()}


def in_reading_order(figures: Figures) -> list[str]:
    """Keys as a person wants to read them; unknown ones last, by name."""
    known = [key for key in DESCRIPTIONS if key in figures]
    return known + sorted(figures.keys() - set(known))
