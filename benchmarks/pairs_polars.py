"""The steps of our SQL in Polars: lazy, by the streaming engine, straight into the file.

The self join is on a ranking's row number, an integer, which costs less than its name.
"""

from pathlib import Path

import polars as pl
from polars import LazyFrame, col, when

from benchmarks.pairs_child import COLUMNS, ORDER, RANKING_COLUMNS, TRAINING, main


def build(snapshot: Path, out: Path) -> None:
    """Pairs of a snapshot."""
    tables = {
        name: pl.scan_parquet(snapshot / f"{name}.parquet", glob=False)
        for name in ("ranking", "ranking_set", "ranking_item", "prompt")
    }
    found = rankings(tables).collect(engine="streaming").lazy()
    joined = strict_pairs(tables["ranking_item"], found).join(found, on="row")
    joined.select(COLUMNS).sort(ORDER).sink_parquet(out / "pairs.parquet", engine="streaming")


def rankings(tables: dict[str, LazyFrame]) -> LazyFrame:
    """Current rankings that train, numbered, with the weight of their pairs."""
    current = (
        tables["ranking"]
        .sort("revision", descending=True)
        .unique(["set_id", "annotator_id"], keep="first")
        .filter(col("outcome") == "ranked")
    )
    k = col("k").cast(pl.Int64)
    sets = (
        tables["ranking_set"]
        .filter(col("purpose").is_in(TRAINING))
        .select("set_id", "prompt_id", possible=k * (k - 1) // 2)
    )
    return (
        current.join(sets, on="set_id")
        .join(tables["prompt"].select("prompt_id", "family_id", "split"), on="prompt_id")
        .with_columns(weight=1.0 / col("possible") / pl.len().over("prompt_id"))
        .with_row_index("row")
        .select("row", *RANKING_COLUMNS, "coverage", "weight")
    )


def strict_pairs(ranking_items: LazyFrame, found: LazyFrame) -> LazyFrame:
    """(row, chosen_id, rejected_id, tier_gap)."""
    items = (
        ranking_items.select("ranking_id", "response_id", col("tier").cast(pl.Int32))
        .join(found.select("ranking_id", "row", "coverage"), on="ranking_id")
        .select(
            "row",
            "response_id",
            tier=when(col("tier").is_null() & (col("coverage") == "top"))
            .then(1 + col("tier").max().over("row"))
            .otherwise("tier"),
            is_ranked=col("tier").is_not_null(),
        )
        .filter(col("tier").is_not_null())
    )
    lead = col("tier_second") - col("tier")
    first, second = col("response_id"), col("response_id_second")
    return (
        items.join(items, on="row", suffix="_second")
        .filter(first < second, col("is_ranked") | col("is_ranked_second"), lead != 0)
        .select(
            "row",
            chosen_id=when(lead > 0).then(first).otherwise(second),
            rejected_id=when(lead > 0).then(second).otherwise(first),
            tier_gap=lead.abs(),
        )
    )


if __name__ == "__main__":
    main(build)
