"""What the replies of two policies say of them: each figure with its interval over families."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from tasks.context import JSON

if TYPE_CHECKING:
    from rlhf_core.evaluation.intervals import Estimate
    from tasks.replies import Reply

    Estimator: TypeAlias = Callable[[Sequence[float], Sequence[str]], Estimate]

Figures: TypeAlias = dict[str, dict[str, JSON]]

NUM_SHOWN = 12


def compare(trained: Sequence["Reply"], sft: Sequence["Reply"], estimate: "Estimator") -> Figures:
    """Figures of a trained policy beside the SFT policy's, means over prompts.

    Keys ending in `_difference` are trained minus SFT, prompt by prompt, so their interval is that
    of a paired comparison.
    """
    from rlhf_core.evaluation.comparison import distinct_share, win_rate

    ours, theirs = by_prompt(trained), by_prompt(sft)
    families = [own[0].family_id for own in ours.values()]
    pairs = [(ours[name], theirs[name]) for name in ours]

    def figure(per_prompt: "Callable[[Sequence[Reply]], float]") -> dict[str, JSON]:
        own = estimate([per_prompt(a) for a, _ in pairs], families)
        return {**own._asdict(), "sft": sum(per_prompt(b) for _, b in pairs) / len(pairs)}

    def difference(per_prompt: "Callable[[Sequence[Reply]], float]") -> dict[str, JSON]:
        values = [per_prompt(a) - per_prompt(b) for a, b in pairs]
        return {**estimate(values, families)._asdict(), "sft": None}

    def wins(name: str) -> dict[str, JSON]:
        values = [
            win_rate([getattr(r, name) for r in a], [getattr(r, name) for r in b]) for a, b in pairs
        ]
        return {**estimate(values, families)._asdict(), "sft": None}

    figures = {
        "reward": figure(mean_of("score")),
        "reward_win_rate": wins("score"),
        "kl": figure(mean_of("kl")),
        "kl_k3": figure(mean_of("kl_k3")),
        "distinct": figure(lambda own: distinct_share([reply.text for reply in own])),
        "length": figure(mean_of("words")),
        "ended": figure(mean_of("ended")),
        "heldout_scorer": figure(mean_of("heldout")),
        "heldout_scorer_difference": difference(mean_of("heldout")),
    }
    if trained[0].gold is None:
        return figures
    return {
        "win_rate": wins("gold"),
        "gold": figure(mean_of("gold")),
        "right_product": figure(mean_of("right_product")),
        "right_product_difference": difference(mean_of("right_product")),
        "well_formed": figure(mean_of("well_formed")),
        **figures,
    }


def mean_of(name: str) -> "Callable[[Sequence[Reply]], float]":
    """The mean of one field over a prompt's replies."""
    return lambda own: sum(float(getattr(reply, name)) for reply in own) / len(own)


def by_prompt(replies: Sequence["Reply"]) -> dict[str, list["Reply"]]:
    """Replies of each prompt, in order."""
    grouped: dict[str, list[Reply]] = {}
    for reply in replies:
        grouped.setdefault(reply.prompt_id, []).append(reply)
    return grouped


def before_after(sft: Sequence["Reply"], ppo: Sequence["Reply"]) -> list[dict[str, JSON]]:
    """The first reply of each model to the first prompts, side by side: not chosen by score."""
    before, after = by_prompt(sft), by_prompt(ppo)
    return [
        {
            "prompt": before[name][0].question,
            "sft": before[name][0].text,
            "ppo": after[name][0].text,
            "sft_reward": round(before[name][0].score, 3),
            "ppo_reward": round(after[name][0].score, 3),
        }
        for name in list(before)[:NUM_SHOWN]
    ]
