"""The steps of our SQL in pandas: merges of frames with its own string columns.

The self join is on a ranking's row number, an integer, which costs less than its name.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame

from benchmarks.pairs_child import COLUMNS, ORDER, RANKING_COLUMNS, TRAINING, main


def build(snapshot: Path, out: Path) -> None:
    """Pairs of a snapshot."""
    found = rankings(snapshot)
    pairs = strict_pairs(snapshot, found)
    joined = pairs.merge(found[["row", *RANKING_COLUMNS, "weight"]], on="row")
    joined[COLUMNS].sort_values(ORDER).to_parquet(out / "pairs.parquet", index=False)


def rankings(snapshot: Path) -> DataFrame:
    """Current rankings that train, numbered, with the weight of their pairs."""
    said = ["ranking_id", "set_id", "annotator_id", "revision", "outcome", "coverage"]
    current = (
        _read(snapshot, "ranking", said)
        .sort_values("revision", ascending=False)
        .drop_duplicates(["set_id", "annotator_id"])
        .query("outcome == 'ranked'")
    )
    sets = _read(snapshot, "ranking_set", ["set_id", "prompt_id", "k", "purpose"])
    prompts = _read(snapshot, "prompt", ["prompt_id", "family_id", "split"])
    found = current.merge(sets[sets.purpose.isin(TRAINING)], on="set_id").merge(
        prompts, on="prompt_id"
    )
    k = found.k.astype("int64")
    count = found.groupby("prompt_id").prompt_id.transform("size")
    found["weight"] = 1.0 / (k * (k - 1) // 2) / count
    found["row"] = np.arange(len(found))
    return found


def strict_pairs(snapshot: Path, found: DataFrame) -> DataFrame:
    """(row, chosen_id, rejected_id, tier_gap)."""
    items = _read(snapshot, "ranking_item", ["ranking_id", "response_id", "tier"]).merge(
        found[["ranking_id", "row", "coverage"]], on="ranking_id"
    )
    items["is_ranked"] = items.tier.notna()
    is_below = ~items.is_ranked & (items.coverage == "top")
    items["tier"] = items.tier.where(~is_below, 1 + items.groupby("row").tier.transform("max"))
    items = items.loc[items.tier.notna(), ["row", "response_id", "tier", "is_ranked"]]
    pairs = items.merge(items, on="row", suffixes=("", "_second"))
    pairs = pairs[
        (pairs.response_id < pairs.response_id_second)
        & (pairs.is_ranked | pairs.is_ranked_second)
        & (pairs.tier != pairs.tier_second)
    ]
    first, second = pairs.response_id, pairs.response_id_second
    is_chosen_first = pairs.tier_second > pairs.tier
    return DataFrame(
        {
            "row": pairs.row,
            "chosen_id": first.where(is_chosen_first, second),
            "rejected_id": second.where(is_chosen_first, first),
            "tier_gap": (pairs.tier_second - pairs.tier).abs().astype("int32"),
        }
    )


def _read(snapshot: Path, name: str, columns: list[str]) -> DataFrame:
    return pd.read_parquet(snapshot / f"{name}.parquet", columns=columns)


if __name__ == "__main__":
    main(build)
