"""The frontier: what best-of-n of the SFT policy gives for how much KL, and where policies stand.

Best-of-n needs no training, so a trained policy is worth its trouble where it lies above the curve
at its own KL. The choice is made by the reward model; what it is worth is said by gold, or by the
held-out scorer where there is none.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlhf_core.evaluation.config import EvaluateConfig
from tasks.context import StageContext
from tasks.figures import Figures, by_prompt
from tasks.stage_log import JSON

if TYPE_CHECKING:
    from rlhf_core.evaluation.intervals import Estimate
    from tasks.figures import Estimator
    from tasks.replies import Reply

REPORTED = 8  # besides the largest n: few enough to be compared across runs
POLICIES = {"PPO": "", "DPO": "dpo_"}  # and what their figures' names begin with


def report_frontier(
    context: StageContext,
    replies: Sequence["Reply"],
    figures: Figures,
    estimate: "Estimator",
) -> Figures:
    """Write best_of_n.json, plot the curve with the policies, and give the figures of two n.

    Args:
        context: The stage's.
        replies: Those of the SFT policy among which best-of-n chooses, N a prompt.
        figures: Of the policies to be shown beside the curve.
        estimate: Mean over prompts with its interval.

    Returns:
        best_of_8_* where N is at least 8, and best_of_N_*: "reward", "kl", "kl_bound", and "gold"
        or "heldout_scorer"; "sft" is the same of one reply.
    """
    from rlhf_core.checkpoint import write_json
    from tasks.plots import frontier

    worth = "heldout_scorer" if replies[0].gold is None else "gold"
    points = best_of_n_figures(replies, worth, estimate)
    rows = [{"n": n, **_flat(own)} for n, own in enumerate(points, start=1)]
    write_json(context.out / "best_of_n.json", rows)
    context.log.table("best_of_n", rows)
    names = ("kl", "reward", worth)
    policies = {
        policy: _flat({name: figures[prefix + name] for name in names})
        for policy, prefix in POLICIES.items()
        if prefix + worth in figures
    }
    context.log.figure("frontier", frontier(rows, policies, [worth, "reward"]))
    return {
        f"best_of_{n}_{name}": figure
        for n in sorted({min(REPORTED, len(points)), len(points)})
        for name, figure in points[n - 1].items()
    }


def best_of_n_figures(
    replies: Sequence["Reply"], worth: str, estimate: "Estimator"
) -> list[Figures]:
    """Figures of best-of-n for n = 1 to N, means over prompts."""
    from rlhf_core.evaluation.best_of_n import best_of_n_kl, best_of_n_kl_bound, expected_best

    prompts = list(by_prompt(replies).values())
    families = [own[0].family_id for own in prompts]
    rewards = [settled_scores(own) for own in prompts]
    field = "heldout" if worth == "heldout_scorer" else worth
    worths = [[getattr(reply, field) for reply in own] for own in prompts]

    def best(values: Sequence[Sequence[float]], n: int) -> "Estimate":
        pairs = zip(rewards, values, strict=True)
        return estimate([expected_best(by, own, n) for by, own in pairs], families)

    sft = {"reward": best(rewards, 1).value, worth: best(worths, 1).value}
    return [
        {
            worth: {**best(worths, n)._asdict(), "sft": sft[worth]},
            "reward": {**best(rewards, n)._asdict(), "sft": sft["reward"]},
            "kl": {
                **estimate([best_of_n_kl(by, n) for by in rewards], families)._asdict(),
                "sft": 0.0,
            },
            "kl_bound": {"value": best_of_n_kl_bound(n)},
        }
        for n in range(1, min(map(len, prompts)) + 1)
    ]


def best_of_n_sampling(config: EvaluateConfig) -> EvaluateConfig:
    """The settings with `best_of_n` replies a prompt, and no more rows at once than otherwise."""
    from dataclasses import replace

    rows = config.batch_size * config.responses_per_prompt
    return replace(
        config,
        responses_per_prompt=config.best_of_n,
        batch_size=max(1, rows // config.best_of_n),
    )


def settled_scores(replies: Sequence["Reply"]) -> list[float]:
    """The reward of each reply to a prompt; equal replies get that of the first of them.

    Computed in one batch, theirs may differ in the last bit, and a tie would look like an order.
    """
    first: dict[str, float] = {}
    return [first.setdefault(reply.text, reply.score) for reply in replies]


def _flat(figures: Figures) -> dict[str, JSON]:
    """{"gold": {value, low, high}} as {"gold", "gold_low", "gold_high"}."""
    rows: dict[str, JSON] = {}
    for name, figure in figures.items():
        rows[name] = figure["value"]
        rows |= {f"{name}_{end}": figure[end] for end in ("low", "high") if end in figure}
    return rows
