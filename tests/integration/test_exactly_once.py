"""Eight annotators who send again and are killed, an ingester that is killed again and again: at
the end the ledger holds every answer exactly once, and the pairs weigh what they should.
"""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from data.identity import canonical_json
from data.inbox import events
from data.inbox.accounts import add
from data.inbox.batches import NewBatch, progress, publish, task_of
from data.inbox.connection import open_inbox
from data.intake import inbox_source
from data.ledger import ingested_head
from data.pairs import PairsConfig, build_pairs
from data.sets import parse_set
from data.snapshot import write_snapshot
from data.store import open_store
from tests.integration.exactly_once_driver import BATCH, CLIENT_STEPS, INGEST_STEPS, read_journal
from tests.unit.data.rows import make_prompts, make_set

DRIVER = Path(__file__).with_name("exactly_once_driver.py")
CLIENTS = [f"ann{number}" for number in range(8)]
SETS, WANT = 36, 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An inbox with a batch of SETS sets for two annotators each, and the files of its run."""
    prompts = make_prompts([f"Question {number}?" for number in range(SETS)])
    rows = [make_set(prompt, ["yes", "no", "perhaps"]) for prompt in prompts]
    pl.DataFrame(prompts).write_parquet(tmp_path / "prompts.parquet")
    lines = "".join(canonical_json(row) + "\n" for row in rows)
    (tmp_path / "sets.jsonl").write_text(lines, encoding="utf-8")
    now = datetime.now(UTC)
    batch = NewBatch(
        batch_id=BATCH,
        name="run",
        campaign="test",
        guideline_version="1",
        wanted=SETS * WANT,
        deadline=None,
        allow_top=False,
        config="{}",
    )
    with open_inbox(tmp_path / "inbox.sqlite") as con:
        for name in CLIENTS:
            # Nobody takes all the work before the others have started. A third more than an even
            # share: else the last set may be left to someone who has answered it already.
            add(con, name, now=now, max_per_day=SETS * WANT // len(CLIENTS) * 4 // 3)
        publish(con, batch, [task_of(parse_set(row), want=WANT) for row in rows], now=now)
    return tmp_path


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(DRIVER), *arguments]
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=root, env={"PYTHONPATH": str(root)}
    )


def end(process: subprocess.Popen[str]) -> dict[str, int]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    report: dict[str, int] = json.loads(output)
    return report


def test_every_answer_is_in_the_ledger_exactly_once(folder: Path) -> None:
    ingester = start("ingest", str(folder))
    clients = [start("client", str(folder), name) for name in CLIENTS]
    ends = [end(client) for client in clients]
    (folder / "done").touch()
    assert end(ingester) == {"killed": len(INGEST_STEPS), "failed": 0}
    assert [one["failed"] for one in ends] == [0] * len(CLIENTS)
    assert sum(one["killed"] for one in ends) > len(CLIENTS) * len(CLIENT_STEPS) // 2

    sent = [row for name in CLIENTS for row in read_journal(folder / f"{name}.jsonl")]
    with (
        open_inbox(folder / "inbox.sqlite", read_only=True) as inbox,
        open_store(folder / "store.duckdb", allowed=[folder]) as store,
    ):
        log = list(events.read(inbox, batch_id=BATCH, types=["ranking"]))
        counts = progress(inbox, BATCH, now=datetime.now(UTC))
        assert (counts.have, counts.tasks_done) == (SETS * WANT, SETS)
        assert ingested_head(store, inbox_source(inbox)) == events.head(inbox)
        stored = store.execute("select cast(event_id as varchar), source_seq from ingest_event")
        assert sorted(stored.fetchall()) == sorted((it.event_id, it.seq) for it in log)
        for table in ("ranking", "run_event"):
            assert store.table(table).shape[0] == SETS * WANT
        assert store.table("ranking_item").shape[0] == 3 * SETS * WANT
        assert store.table("quarantine").shape[0] == 0
        write_snapshot(store, run_id="run", prompts=folder / "prompts.parquet", out=folder)
    assert sorted(row["event_id"] for row in sent) == sorted(it.event_id for it in log)

    build_pairs(folder, folder, PairsConfig())
    pairs = pl.read_parquet(folder / "pairs.parquet")
    assert pairs.height == 3 * SETS * WANT
    assert set(pairs["weight"]) == {1 / 3 / WANT}
