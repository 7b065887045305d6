"""From files to ledger, snapshot and pairs: outcomes, all or nothing, same bytes every time."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from data import identity, ledger_rankings
from data.errors import InputError
from data.inbox.connection import open_inbox
from data.inbox.events import NewEvent, append
from data.ingest import ingest
from data.intake import read_batch
from data.lines import lines_of_file
from data.outcomes import GateConfig, IngestReport
from data.pairs import PairsConfig, build_pairs
from data.snapshot import TABLES, write_snapshot
from data.store import open_store
from tests.unit.data.rows import make_prompts, make_ranking, make_set

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LEDGER = (
    "prompt", "response", "ranking_set", "ranking_set_item", "annotator", "ingest_event",
    "ranking", "ranking_item", "quarantine",
)  # fmt: skip


@dataclass
class World:
    """Files of a run in a directory, and the calls that take them in."""

    root: Path

    def write(self, name: str, rows: list[Any], *, end: str = "\n") -> Path:
        lines = [
            row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows
        ]
        path = self.root / name
        path.write_text("\n".join(lines) + (end if lines else ""), encoding="utf-8")
        return path

    @contextmanager
    def store(self) -> Iterator[duckdb.DuckDBPyConnection]:
        (self.root / "snapshot").mkdir(exist_ok=True)
        with open_store(self.root / "store.duckdb", allowed=[self.root / "snapshot"]) as con:
            yield con

    def ingest(self, *, run_id: str = "run", **options: Any) -> IngestReport:
        with self.store() as con:
            return ingest(
                con,
                prompts=self.root / "prompts.parquet",
                sets=[self.root / "sets.jsonl"],
                run_id=run_id,
                now=NOW,
                **{
                    "rankings": lines_of_file(self.root / "rankings.jsonl"),
                    "new_role": "import",
                    **options,
                },
            )

    def counts(self) -> dict[str, int]:
        with self.store() as con:
            return {name: con.table(name).shape[0] for name in LEDGER}

    def snapshot(self, run_id: str = "run") -> dict[str, bytes]:
        out = self.root / "snapshot"
        with self.store() as con:
            write_snapshot(con, run_id=run_id, prompts=self.root / "prompts.parquet", out=out)
        return {name: (out / f"{name}.parquet").read_bytes() for name in TABLES}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three prompts, a set each, two rankings each; the second ranking of the last is a tie."""
    made = World(tmp_path)
    prompts = make_prompts(["请解释递归。", "What is \u202elove\u202c?", "Say 🎉 twice"])
    pl.DataFrame(prompts).write_parquet(tmp_path / "prompts.parquet")
    sets = [make_set(prompt, ["好", "👍🏽 sure", "no"]) for prompt in prompts]
    made.write("sets.jsonl", sets)
    rankings = [make_ranking(one, [1, 2, 3], name) for one in sets for name in ("ann", "bob")]
    rankings[-1] = make_ranking(sets[-1], [1, 1, 1], "bob")
    made.write("rankings.jsonl", rankings)
    return made


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def total(counts: Any) -> int:
    outcomes = ("accepted", "duplicate", "held", "discarded", "quarantined")
    return sum(getattr(counts, name) for name in outcomes)


def test_all_rows_enter(world: World) -> None:
    report = world.ingest()
    assert (report.sets.read, report.sets.accepted) == (3, 3)
    assert (report.rankings.read, report.rankings.accepted) == (6, 6)
    counts = world.counts()
    assert counts["ranking_item"] == 18
    assert counts["quarantine"] == 0


@pytest.mark.parametrize("broken", [2, 6])
def test_nothing_is_kept_of_a_log_that_breaks_while_it_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    monkeypatch.setattr("data.ingest.CHUNK_ROWS", 1)
    rows = (world.root / "rankings.jsonl").read_bytes().splitlines()
    events = [NewEvent(f"{i}", "b", "ranking", row, "page") for i, row in enumerate(rows)]
    with open_inbox(world.root / "inbox.sqlite") as inbox:
        append(inbox, events, now=NOW)
        inbox.execute("drop trigger event_is_not_changed")
        inbox.execute("update event set origin = 'elsewhere' where seq = ?", [broken])
        intake = read_batch(inbox, "b")
        with pytest.raises(InputError, match=f"event {broken} does not fit its hash"):
            world.ingest(rankings=intake.rankings, head=intake.head)
    assert set(world.counts().values()) == {0}


@pytest.mark.parametrize("size", [2, 9])
def test_sets_of_the_least_and_the_largest_size(world: World, size: int) -> None:
    prompts = pl.read_parquet(world.root / "prompts.parquet").to_dicts()
    one = make_set(prompts[0], [f"text {number}" for number in range(size)])
    world.write("sets.jsonl", [one])
    world.write("rankings.jsonl", [make_ranking(one, list(range(size, 0, -1)))])
    assert world.ingest().rankings.accepted == 1
    assert world.counts()["ranking_item"] == size


def test_same_files_again_add_nothing(world: World) -> None:
    world.ingest()
    before, bytes_before = world.counts(), world.snapshot()
    report = world.ingest(run_id="another")
    assert (report.sets.duplicate, report.rankings.duplicate) == (3, 6)
    assert world.counts() == before
    assert world.snapshot("another") == bytes_before == world.snapshot()


def test_texts_come_back_as_they_went_in(world: World) -> None:
    world.ingest()
    world.snapshot()
    prompts = pl.read_parquet(world.root / "snapshot" / "prompt.parquet")
    texts = {json.loads(messages)[0]["content"] for messages in prompts["messages"]}
    assert texts == {"请解释递归。", "What is \u202elove\u202c?", "Say 🎉 twice"}
    responses = pl.read_parquet(world.root / "snapshot" / "response.parquet")
    assert set(responses["text"]) == {"好", "👍🏽 sure", "no"}


def test_snapshot_bytes_do_not_depend_on_time_order_or_hash_seed(world: World) -> None:
    world.ingest()
    first = world.snapshot()
    other = World(world.root / "other")
    other.root.mkdir()
    (other.root / "prompts.parquet").write_bytes((world.root / "prompts.parquet").read_bytes())
    for name in ("sets.jsonl", "rankings.jsonl"):
        other.write(name, rows_of(world.root / name)[::-1])
    code = (
        "import sys\nfrom datetime import UTC, datetime\nfrom pathlib import Path\n"
        "from data.ingest import ingest\nfrom data.lines import lines_of_file\n"
        "from data.store import open_store\n"
        "root = Path(sys.argv[1])\n"
        "with open_store(root / 'store.duckdb') as con:\n"
        "    ingest(con, prompts=root / 'prompts.parquet', sets=[root / 'sets.jsonl'],\n"
        "        rankings=lines_of_file(root / 'rankings.jsonl'), run_id='run',\n"
        "        new_role='import', now=datetime(2027, 1, 1, tzinfo=UTC))\n"
    )
    command = [sys.executable, "-c", code, str(other.root)]
    subprocess.run(command, check=True, env={"PYTHONHASHSEED": "77"}, cwd=Path.cwd())
    assert other.snapshot() == first


def test_snapshot_holds_this_run_only(world: World) -> None:
    world.ingest()
    world.write("sets.jsonl", rows_of(world.root / "sets.jsonl")[:1])
    world.write("rankings.jsonl", rows_of(world.root / "rankings.jsonl")[:1])
    world.ingest(run_id="small")
    world.snapshot("small")
    ranking = pl.read_parquet(world.root / "snapshot" / "ranking.parquet")
    assert ranking.height == 1
    assert pl.read_parquet(world.root / "snapshot" / "prompt.parquet").height == 1


def test_snapshot_bytes_do_not_depend_on_other_runs(world: World) -> None:
    """The writer once left out the marks of null where a single row was stored, and only there."""
    whole = {name: rows_of(world.root / name) for name in ("sets.jsonl", "rankings.jsonl")}
    for name, rows in whole.items():
        world.write(name, rows[:1])
    world.ingest(run_id="small")
    alone = world.snapshot("small")
    for name, rows in whole.items():
        world.write(name, rows)
    world.ingest(run_id="large")
    assert world.snapshot("small") == alone


def test_bad_rows_are_set_aside_and_counted(world: World) -> None:
    rankings = rows_of(world.root / "rankings.jsonl")
    bad = {**rankings[0], "event_id": str(uuid.uuid4()), "set_id": "s9"}
    fast = make_ranking(rows_of(world.root / "sets.jsonl")[0], [3, 2, 1], "eve")
    fast["active_ms"] = 1
    world.write(
        "rankings.jsonl", [*rankings, bad, "{]", fast, rankings[0], '{"cut": "in the mid'], end=""
    )
    with world.store() as con:
        con.execute("insert into annotator (annotator_id, role) values ('eve', 'annotator')")
    counts = world.ingest().rankings
    assert counts.read == total(counts) == 11
    assert dict(counts.reasons) == {"UNKNOWN_SET": 1, "NOT_JSON": 2, "TOO_FAST": 1, "DUPLICATE": 1}
    assert (counts.held, counts.quarantined, counts.duplicate) == (1, 3, 1)
    assert counts.examples["UNKNOWN_SET"].endswith("rankings.jsonl:7: set_id: no ranking set 's9'")
    world.ingest()
    with world.store() as con:
        con.execute(
            "from quarantine select reason, source_seq, is_held, count_seen, raw order by all"
        )
        rows = sorted(con.fetchall(), key=lambda row: row[1])
    assert [row[:4] for row in rows] == [
        ("UNKNOWN_SET", 7, False, 2),
        ("NOT_JSON", 8, False, 2),
        ("TOO_FAST", 9, True, 2),
        ("NOT_JSON", 11, False, 2),
    ]
    assert [rows[1][4], rows[3][4]] == ["{]", '{"cut": "in the mid']


def test_a_last_line_without_newline_is_taken_when_whole(world: World) -> None:
    world.write("rankings.jsonl", rows_of(world.root / "rankings.jsonl"), end="")
    assert world.ingest().rankings.accepted == 6


def test_a_line_cut_inside_a_character_is_set_aside(world: World) -> None:
    path = world.root / "rankings.jsonl"
    path.write_bytes(path.read_bytes() + '{"a": "好'.encode()[:-1])
    assert dict(world.ingest().rankings.reasons) == {"NOT_UTF8": 1}
    assert world.counts()["quarantine"] == 1


def test_stored_rankings_of_a_set_that_this_run_lacks_are_set_aside(world: World) -> None:
    world.ingest()
    world.write("sets.jsonl", rows_of(world.root / "sets.jsonl")[:2])
    counts = world.ingest(run_id="fewer").rankings
    assert counts.read == total(counts) == 6
    assert dict(counts.reasons) == {"DUPLICATE": 4, "UNKNOWN_SET": 2}
    with world.store() as con:
        con.execute("select distinct reason from quarantine")
        assert con.fetchall() == [("UNKNOWN_SET",)]
    world.snapshot("fewer")
    assert pl.read_parquet(world.root / "snapshot" / "ranking.parquet").height == 4


def test_a_corrected_file_is_told_what_to_send(world: World) -> None:
    world.ingest()
    first = rows_of(world.root / "rankings.jsonl")[0]
    corrected = {**first, "tiers": dict.fromkeys(first["tiers"], 1), "event_id": str(uuid.uuid4())}
    world.write("rankings.jsonl", [corrected])
    mend = f"send revision 2 with supersedes {first['event_id']}"
    with pytest.raises(InputError, match=mend):
        world.ingest(run_id="again")
    world.write("rankings.jsonl", [{**corrected, "revision": 2, "supersedes": first["event_id"]}])
    assert world.ingest(run_id="again").rankings.accepted == 1


def test_empty_files_are_no_error(world: World) -> None:
    world.write("rankings.jsonl", [])
    assert world.ingest().rankings.read == 0


def test_gate_refuses_too_many_bad_rows_and_leaves_nothing(world: World) -> None:
    world.write("rankings.jsonl", [*rows_of(world.root / "rankings.jsonl"), *["{]"] * 6])
    with pytest.raises(InputError, match=r"6 of 12 rows of rankings are bad; nothing was stored"):
        world.ingest()
    assert set(world.counts().values()) == {0}
    assert world.ingest(gate=GateConfig(max_bad_rows=6)).rankings.quarantined == 6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"active_ms": 1}, "IDEMPOTENCY_CONFLICT, first at"),
        ({"shown_sha256": "0" * 64, "event_id": str(uuid.uuid4()), "annotator_id": "eve"},
         "STALE_CONTENT, first at"),
    ],
)  # fmt: skip
def test_one_broken_id_or_text_stops_the_ingest(
    world: World, changes: dict[str, Any], words: str
) -> None:
    rankings = rows_of(world.root / "rankings.jsonl")
    world.write("rankings.jsonl", [*rankings, {**rankings[0], **changes}])
    with pytest.raises(InputError, match=words):
        world.ingest()
    assert set(world.counts().values()) == {0}


def test_a_file_without_a_good_row_is_refused(world: World) -> None:
    prompts = pl.read_parquet(world.root / "prompts.parquet").to_dicts()
    world.write("sets.jsonl", [make_set(prompts[0], ["alone"])])
    with pytest.raises(InputError, match="1 distinct response; a set needs 2 to 9"):
        world.ingest()


def test_a_missing_file_is_said(world: World) -> None:
    (world.root / "rankings.jsonl").unlink()
    with pytest.raises(InputError, match=r"rankings.jsonl: cannot be read"):
        world.ingest()


def test_a_crash_before_the_commit_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger_rankings, "insert_run_events", crash)
    with pytest.raises(KeyboardInterrupt):
        world.ingest()
    monkeypatch.undo()
    assert set(world.counts().values()) == {0}
    assert world.ingest().rankings.accepted == 6


def test_revisions_in_one_file(world: World) -> None:
    rankings = rows_of(world.root / "rankings.jsonl")
    second = make_ranking(rows_of(world.root / "sets.jsonl")[0], [3, 2, 1])
    second |= {"revision": 2, "supersedes": rankings[0]["event_id"], "event_id": str(uuid.uuid4())}
    world.write("rankings.jsonl", [*rankings, second])
    assert world.ingest().rankings.accepted == 7


def test_files_larger_than_a_chunk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts are looked up again for each chunk, so the size of a chunk changes nothing."""
    world.ingest()
    whole = world.snapshot()
    (world.root / "store.duckdb").unlink()
    monkeypatch.setattr("data.ingest.CHUNK_ROWS", 1)
    report = world.ingest()
    assert (report.sets.accepted, report.rankings.accepted) == (3, 6)
    assert world.snapshot() == whole


def test_text_shown_is_checked(world: World) -> None:
    one = rows_of(world.root / "sets.jsonl")[0]
    texts = {response["response_id"]: response["text"] for response in one["responses"]}
    ranking = make_ranking(one, [1, 2, 3], "eve")
    ranking["shown_sha256"] = identity.shown_sha256(one["messages"], texts)
    world.write("rankings.jsonl", [ranking])
    assert world.ingest().rankings.accepted == 1


def test_a_chinese_triple_from_files_to_pairs(world: World) -> None:
    world.write("sets.jsonl", rows_of(world.root / "sets.jsonl")[:1])
    world.write("rankings.jsonl", rows_of(world.root / "rankings.jsonl")[:1])
    world.ingest()
    world.snapshot()
    out = world.root / "pairs"
    out.mkdir()
    assert build_pairs(world.root / "snapshot", out, PairsConfig())["count_pairs"] == 3
    texts = dict(
        pl.read_parquet(out / "responses.parquet").select("response_id", "text").iter_rows()
    )
    pairs = pl.read_parquet(out / "pairs.parquet").select("chosen_id", "rejected_id").iter_rows()
    assert {(texts[a], texts[b]) for a, b in pairs} == {
        ("好", "👍🏽 sure"),
        ("好", "no"),
        ("👍🏽 sure", "no"),
    }


@pytest.mark.parametrize("bad", [{"max_bad_share": 2.0}, {"max_bad_rows": -1}])
def test_gate_config_names_the_field(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        GateConfig(**bad)
