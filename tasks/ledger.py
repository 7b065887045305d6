"""One row in the DuckDB ledger for each execution of a stage: which inputs made which artifact."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.caching import config_identity
from tasks.stage import Order, StageRecord

STORE_FILE = "store.duckdb"


def ledger_of(var: Path, run_id: str) -> Callable[[StageRecord, Order], None]:
    """A function that writes the rows of one pipeline run.

    Args:
        var: The directory that holds the store.
        run_id: Prefect's id of the flow run.
    """

    def write(record: StageRecord, order: Order) -> None:
        from data.store import ArtifactRecord, open_store, record_artifact

        config: Any = config_identity(order.config)
        row = ArtifactRecord(
            kind=record.kind,
            sha256=record.sha256,
            stage=order.stage.name,
            cache_key=record.cache_key,
            inputs={n: ref.sha256 for n, ref in order.inputs.items() if ref is not None},
            config=config,
            code_digest=str(order.key.parts["code"]),
            seed=order.seed,
            numerics=json.dumps(order.key.parts["numerics"], sort_keys=True),
            versions={name: version(name) for name in ("torch", "polars", "duckdb")},
            run_id=run_id,
            seconds=record.seconds,
        )
        with open_store(var / STORE_FILE) as connection:
            record_artifact(connection, row)

    return write
