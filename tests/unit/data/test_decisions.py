"""A lead's decisions on the way from the inbox to the snapshot, and the inbox's head."""

import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import InputError
from data.held import held_rows
from data.identity import canonical_json
from data.inbox.decisions import Action
from data.inbox.events import Head
from data.ingest import ingest
from data.ledger import ingested_head
from data.lines import SourceLine, SourceLines
from data.outcomes import IngestCounts
from data.queries import load, names
from data.snapshot import TABLES, write_snapshot
from tests.unit.data.rows import make_prompts, make_ranking, make_set

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SOURCE = "inbox:" + "0" * 32
PROMPT = make_prompts(["Explain recursion.", "解释递归。"])
SETS = [make_set(PROMPT[0], ["a b", "c d", "e f"]), make_set(PROMPT[1], ["一", "二", "三"])]
FAST = make_ranking(SETS[0], [1, 2, 3], "bob", active_ms=1)
IDS = list(FAST["tiers"])
AGAIN = make_ranking(SETS[0], [3, 2, 1], "bob", revision=2, supersedes=FAST["event_id"])
ODD = make_ranking(SETS[0], [1, 2, 3], "eve", quality={IDS[0]: 1, IDS[2]: 7})
GOOD = make_ranking(SETS[1], [1, 1, 2], "ann")
ROWS = {"fast": FAST, "good": GOOD, "again": AGAIN, "odd": ODD}


def decision_id(name: str) -> str:
    """The inbox's own id of a line; it is not that of the row."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


@dataclass
class Ledger:
    """A store in memory, and one batch that is ingested into it again and again."""

    con: duckdb.DuckDBPyConnection
    root: Path

    def ingest(
        self,
        decisions: Mapping[str, Action] | None = None,
        rows: Mapping[str, Any] | None = None,
        start: int = 1,
        **options: Any,
    ) -> IngestCounts:
        """Take the rows in; `decisions` are by name, `start` is the place of the first row."""
        lines = [
            SourceLine(seq, raw, len(raw), f"page, event {seq}", decision_id(name))
            for seq, (name, row) in enumerate((rows or ROWS).items(), start)
            for raw in [row if isinstance(row, bytes) else canonical_json(row).encode()]
        ]
        return ingest(
            self.con,
            prompts=self.root / "prompts.parquet",
            sets=[self.root / "sets.jsonl"],
            rankings=SourceLines(SOURCE, lines),
            run_id="run",
            now=NOW,
            decisions={decision_id(name): action for name, action in (decisions or {}).items()},
            **{"new_role": "annotator", **options},
        ).rankings

    def used(self) -> set[str]:
        """Names of the rankings that a snapshot would hold."""
        rows = self.con.execute("select cast(event_id as varchar) from run_event").fetchall()
        return {name for name, row in ROWS.items() for (it,) in rows if it == row["event_id"]}

    def resolutions(self) -> dict[str, str | None]:
        """Event id -> resolution of what was set aside."""
        rows = self.con.execute("select event_id, resolution from quarantine").fetchall()
        return {
            name: end for name, row in ROWS.items() for it, end in rows if it == row["event_id"]
        }

    def stored(self) -> list[int]:
        names = ("ingest_event", "ranking", "ranking_item", "run_event")
        return [self.con.table(name).shape[0] for name in names]

    def snapshot(self) -> dict[str, bytes]:
        out = self.root / "snapshot"
        out.mkdir(exist_ok=True)
        write_snapshot(self.con, run_id="run", prompts=self.root / "prompts.parquet", out=out)
        return {name: (out / f"{name}.parquet").read_bytes() for name in TABLES}


def new_ledger(root: Path) -> Ledger:
    con = duckdb.connect(":memory:", config={"threads": 1})
    for name in names("schema/"):
        con.execute(load(name))
    return Ledger(con, root)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    pl.DataFrame(PROMPT).write_parquet(root / "prompts.parquet")
    lines = "".join(canonical_json(one) + "\n" for one in SETS)
    (root / "sets.jsonl").write_text(lines, encoding="utf-8")
    return root


@pytest.fixture
def ledger(files: Path) -> Any:
    made = new_ledger(files)
    with closing(made.con):
        yield made


def outcomes(counts: IngestCounts) -> dict[str, int]:
    kinds = ("accepted", "duplicate", "held", "discarded", "quarantined")
    assert counts.read == sum(getattr(counts, kind) for kind in kinds)
    return {kind: count for kind in kinds if (count := getattr(counts, kind))}


def test_undecided_rows_are_held_and_keep_their_place(ledger: Ledger) -> None:
    """The second revision of a held answer enters: the annotator did give the first."""
    counts = ledger.ingest()
    assert outcomes(counts) == {"accepted": 2, "held": 2}
    assert dict(counts.reasons) == {"TOO_FAST": 1, "QUALITY_CONTRADICTS_RANK": 1}
    assert counts.examples["TOO_FAST"].startswith("page, event 1: active_ms: 1 ms for 6 words")
    assert ledger.used() == {"good", "again"}
    assert ledger.resolutions() == {"fast": None, "odd": None}


def test_an_accepted_row_enters_once(ledger: Ledger) -> None:
    ledger.ingest()
    assert outcomes(ledger.ingest({"fast": "accept"})) == {"accepted": 1, "duplicate": 2, "held": 1}
    before = ledger.stored()
    assert outcomes(ledger.ingest({"fast": "accept"})) == {"duplicate": 3, "held": 1}
    assert ledger.stored() == before
    assert ledger.used() == {"fast", "good", "again"}
    assert ledger.resolutions() == {"fast": "accepted", "odd": None}


def test_a_discarded_row_stays_out(ledger: Ledger) -> None:
    for expected in ({"accepted": 2, "held": 1, "discarded": 1}, None):
        found = outcomes(ledger.ingest({"odd": "discard"}))
        assert found == expected or not expected
    assert ledger.used() == {"good", "again"}
    assert ledger.resolutions() == {"fast": None, "odd": "discarded"}


def test_a_stored_row_that_is_discarded_is_used_no_more(ledger: Ledger) -> None:
    ledger.ingest({"fast": "accept", "odd": "accept"})
    stored = ledger.stored()
    counts = ledger.ingest({"fast": "accept", "odd": "discard", "good": "discard"})
    assert outcomes(counts) == {"duplicate": 2, "discarded": 2}
    assert ledger.stored()[:3] == stored[:3]
    assert ledger.used() == {"fast", "again"}
    assert ledger.resolutions() == {"fast": "accepted", "odd": "discarded"}
    assert outcomes(ledger.ingest({"odd": "accept"})) == {"duplicate": 4}
    assert ledger.resolutions() == {"fast": "accepted", "odd": "accepted"}


def test_a_good_row_may_be_discarded_and_taken_back(ledger: Ledger) -> None:
    assert outcomes(ledger.ingest({"good": "discard"})) == {
        "accepted": 1,
        "held": 2,
        "discarded": 1,
    }
    assert ledger.used() == {"again"}
    assert ledger.resolutions()["good"] == "discarded"
    assert outcomes(ledger.ingest({"good": "accept"})) == {"accepted": 1, "duplicate": 1, "held": 2}
    assert ledger.used() == {"good", "again"}
    assert ledger.resolutions()["good"] == "accepted"


CONFLICT = {**GOOD, "active_ms": 95999}
BAD = {**ROWS, "conflict": CONFLICT, "torn": b'{"schema": "ranking/1", ', "gap": b"[]"}


@pytest.mark.parametrize("active_ms", [1, 60_000])
def test_an_answer_that_was_revised_does_not_come_back(ledger: Ledger, active_ms: int) -> None:
    """The annotator took it back: whatever a lead decides on the revision, it counts no more."""
    given = make_ranking(SETS[0], [1, 2, 3], "bob")
    revised = {"revision": 2, "supersedes": given["event_id"], "active_ms": active_ms}
    last = make_ranking(SETS[0], [3, 2, 1], "bob", **revised)
    rows = {"given": given, "last": last}

    def used(decisions: Mapping[str, Action]) -> list[int]:
        ledger.ingest(decisions, rows=rows)
        ledger.snapshot()
        frame = pl.read_parquet(ledger.root / "snapshot" / "ranking.parquet")
        return sorted(frame["revision"])

    assert used({}) == ([] if active_ms == 1 else [1, 2])
    assert used({"last": "discard"}) == []
    assert used({"last": "accept"}) == [1, 2]
    assert used({"last": "discard"}) == []


def test_a_discard_is_the_way_out_of_a_bad_row(ledger: Ledger) -> None:
    """The inbox never forgets a row, so there must be one."""
    with pytest.raises(InputError, match="IDEMPOTENCY_CONFLICT, first at page, event 5"):
        ledger.ingest(rows=BAD)
    assert ledger.stored() == [0, 0, 0, 0]
    counts = ledger.ingest({"conflict": "discard", "torn": "discard"}, rows=BAD)
    assert outcomes(counts) == {"accepted": 2, "held": 2, "discarded": 2, "quarantined": 1}
    assert counts.reasons["DISCARDED"] == 2
    rows = ledger.con.execute("select reason, resolution from quarantine order by source_seq")
    assert rows.fetchall() == [
        ("TOO_FAST", None),
        ("QUALITY_CONTRADICTS_RANK", None),
        ("IDEMPOTENCY_CONFLICT", "discarded"),
        ("NOT_JSON", "discarded"),
        ("NOT_OBJECT", None),
    ]


def test_an_accept_mends_no_bad_row(ledger: Ledger) -> None:
    rows = {**ROWS, "torn": b"{"}
    counts = ledger.ingest({"torn": "accept", "good": "accept"}, rows=rows)
    assert outcomes(counts) == {"accepted": 2, "held": 2, "quarantined": 1}


@pytest.mark.parametrize("first", [GOOD, FAST])
def test_one_id_with_two_contents_is_a_conflict_whichever_is_held(
    ledger: Ledger, first: dict[str, Any]
) -> None:
    other = {**first, "active_ms": first["active_ms"] + 1}
    with pytest.raises(InputError, match="IDEMPOTENCY_CONFLICT"):
        ledger.ingest(rows={"one": first, "two": other})


def test_held_rows_of_an_earlier_batch_keep_their_place(ledger: Ledger) -> None:
    ledger.ingest(rows={"fast": FAST})
    assert outcomes(ledger.ingest(rows={"again": AGAIN}, start=2)) == {"accepted": 1}
    assert outcomes(ledger.ingest({"fast": "accept"}, rows={"fast": FAST})) == {"accepted": 1}
    revisions = ledger.con.execute("select revision from ranking order by all").fetchall()
    assert revisions == [(1,), (2,)]


STEPS = st.lists(
    st.tuples(st.sampled_from([*ROWS, "ingest"]), st.sampled_from(["accept", "discard"])),
    max_size=6,
)


@settings(max_examples=10, deadline=None)
@given(STEPS)
def test_the_snapshot_depends_on_the_last_decisions_alone(
    files: Path, steps: list[tuple[str, Action]]
) -> None:
    """Whenever it was ingested on the way, the end is that of a new store that saw the end only."""
    decisions: dict[str, Action] = {}
    old, new = new_ledger(files), new_ledger(files)
    with closing(old.con), closing(new.con):
        for name, action in steps:
            if name == "ingest":
                old.ingest(decisions)
            else:
                decisions[name] = action
        old.ingest(decisions)
        new.ingest(decisions)
        assert old.snapshot() == new.snapshot()
        assert old.used() == new.used()
        for name in ("fast", "odd"):
            assert old.resolutions()[name] == new.resolutions()[name]


def test_held_rows_are_shown_as_the_annotator_saw_them(ledger: Ledger) -> None:
    ledger.ingest({"odd": "discard", "good": "accept"})
    fast, odd = held_rows(ledger.con, "run")
    texts = {one["response_id"]: one["text"] for one in SETS[0]["responses"]}
    assert fast == {
        "event_id": decision_id("fast"),
        "annotator_id": "bob",
        "set_id": SETS[0]["set_id"],
        "revision": 1,
        "reason": "TOO_FAST",
        "field": "active_ms",
        "detail": "1 ms for 6 words; held for review under 360 ms",
        "resolution": None,
        "messages": SETS[0]["messages"],
        "active_ms": 1,
        "responses": [
            {"response_id": it, "text": texts[it], "tier": tier, "quality": None}
            for tier, it in enumerate(FAST["display_order"], start=1)
        ],
    }
    assert (odd["reason"], odd["resolution"]) == ("QUALITY_CONTRADICTS_RANK", "discarded")
    assert [one["quality"] for one in odd["responses"]] == [1, None, 7]
    assert [row["event_id"] for row in held_rows(ledger.con, "run", limit=1)] == [fast["event_id"]]
    assert held_rows(ledger.con, "another") == []


def head(seq: int, digit: str = "a") -> Head:
    return Head(inbox_id="0" * 32, seq=seq, sha256=digit * 64)


def test_the_head_is_stored_with_the_rankings(ledger: Ledger) -> None:
    assert ingested_head(ledger.con, SOURCE) is None
    ledger.ingest(head=head(4))
    assert ingested_head(ledger.con, SOURCE) == head(4)
    with pytest.raises(InputError, match="IDEMPOTENCY_CONFLICT"):
        ledger.ingest(rows=BAD, head=head(9))
    assert ingested_head(ledger.con, SOURCE) == head(4)
    ledger.ingest(head=head(7, "b"))
    assert ingested_head(ledger.con, SOURCE) == head(7, "b")


@pytest.mark.parametrize("older", [head(3), head(4, "b")])
def test_an_inbox_that_went_back_is_refused(ledger: Ledger, older: Head) -> None:
    ledger.ingest(head=head(4))
    with pytest.raises(InputError, match="the inbox was rewritten or an older copy was put back"):
        ledger.ingest(head=older)
    assert ingested_head(ledger.con, SOURCE) == head(4)


def test_roles_of_accounts_come_before_the_role_of_strangers(ledger: Ledger) -> None:
    ledger.ingest(roles={"ann": "expert", "idle": "expert", "eve": "judge"})
    rows = ledger.con.execute("select annotator_id, role from annotator order by all").fetchall()
    assert rows == [("ann", "expert"), ("bob", "annotator")]
    with pytest.raises(ValueError, match="the role is 'boss'"):
        ledger.ingest(roles={"ann": "boss"})
    ledger.snapshot()
    ranking = pl.read_parquet(ledger.root / "snapshot" / "ranking.parquet")
    assert dict(ranking.select("annotator_id", "annotator_role").iter_rows()) == dict(rows)
    assert set(ranking["active_ms"]) == {96000}


def test_a_judge_is_never_too_fast(ledger: Ledger) -> None:
    assert outcomes(ledger.ingest(new_role="judge")) == {"accepted": 3, "held": 1}


def test_full_rankings_are_asked_for(ledger: Ledger) -> None:
    part = make_ranking(SETS[1], [1, None, None], "pia", coverage="top")
    counts = ledger.ingest(rows={**ROWS, "part": part}, allow_top=False)
    assert dict(counts.reasons)["BAD_COVERAGE"] == 1
    assert (
        "coverage is 'top', but these sets are to be ranked in full"
        in counts.examples["BAD_COVERAGE"]
    )
    assert outcomes(ledger.ingest(rows={**ROWS, "part": part}))["accepted"] == 1
