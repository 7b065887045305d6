"""What stages have to say beside their figures: rows refused, texts cut, prompts dropped.

Omitted on purpose: what each stage counts. That stands in its summary, and in MLflow.
"""

from collections.abc import Iterable, Mapping
from typing import Any

# {key of a summary: (what is counted, what happened to it)}, in the order of reading.
COUNTS = {
    "sets_quarantined": ("set", "quarantined"),
    "sets_held": ("set", "held"),
    "rankings_quarantined": ("ranking", "quarantined"),
    "rankings_held": ("ranking", "held for a lead's decision"),
    "rankings_discarded": ("ranking", "discarded by a lead"),
    "dropped_prompts": ("prompt", "dropped for want of two distinct responses"),
    "smaller_sets": ("set", "with fewer responses than asked for"),
    "texts_cut": ("text", "cut to max_tokens"),
    "pairs_dropped": ("pair", "dropped because cutting made both texts the same"),
    "skipped_steps": ("step", "skipped because a loss or gradient was not finite"),
    "skipped_updates": ("update", "skipped because a loss or gradient was not finite"),
    "rollbacks": ("return", "to a checkpoint after that; a lower learning rate may help"),
}


def notices(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line for each stage that has something to say.

    Args:
        rows: StageRow objects as plain dicts.
    """
    said = ((row["stage"], _sentences(row["summary"])) for row in rows)
    return [f"{stage}: {'; '.join(parts)}" for stage, parts in said if parts]


def _sentences(summary: Mapping[str, Any]) -> list[str]:
    said = [
        f"{count} {noun}{'s' if count > 1 else ''} {what}"
        for key, (noun, what) in COUNTS.items()
        if (count := summary.get(key))
    ]
    if said and summary.get("first_reason"):
        said.append(f"first reason: {summary['first_reason']}")
    agreement = summary.get("mutual_agreement")
    if agreement is not None:
        said.append(f"annotators agree with each other on {100 * agreement:.0f} % of pairs")
    return [*said, str(summary["notes"])] if summary.get("notes") else said
