"""What is read of a batch of the inbox, and that a rewritten inbox is noticed."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.errors import InputError
from data.inbox.chain import read_verified
from data.inbox.connection import open_inbox
from data.inbox.decisions import read_decisions
from data.inbox.events import Head, NewEvent, append
from data.intake import inbox_of, inbox_source, read_batch
from data.lines import SourceLine

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def put(con: sqlite3.Connection, *names: str, batch: str = "b_1") -> None:
    events = [NewEvent(name, batch, "ranking", f"row {name}".encode(), "page") for name in names]
    append(con, events, now=NOW)


def test_rankings_of_one_batch_up_to_the_head(tmp_path: Path) -> None:
    with open_inbox(tmp_path / "inbox.sqlite") as con:
        put(con, "one", "two")
        put(con, "other", batch="b_2")
        intake = read_batch(con, "b_1")
        put(con, "late")
        found = [(it.seq, it.raw, it.origin, it.decision_id) for it in intake.rankings.lines]
        assert found == [(1, b"row one", "page", "one"), (2, b"row two", "page", "two")]
        assert intake.head.seq == 3
        assert intake.rankings.source == inbox_source(con)
        assert inbox_of(intake.rankings.source) == intake.head.inbox_id
        again = read_batch(con, "b_1", expected=intake.head)
        assert [it.raw for it in again.rankings.lines][2:] == [b"row late"]


def test_a_rewritten_inbox_is_noticed(tmp_path: Path) -> None:
    """The same answers written anew: the chain holds in itself, but not to the noted head."""

    def read_all(con: sqlite3.Connection, expected: Head) -> list[SourceLine]:
        return list(read_batch(con, "b_1", expected=expected).rankings.lines)

    path = tmp_path / "inbox.sqlite"
    with open_inbox(path) as con:
        put(con, "one", "two")
        head = read_batch(con, "b_1").head
        assert len(read_all(con, head)) == 2
        for seq in (1, 9):
            with pytest.raises(InputError, match="was changed"):
                read_all(con, Head(inbox_id=head.inbox_id, seq=seq, sha256="0" * 64))
    path.unlink()
    with open_inbox(path) as con:
        put(con, "one", "two")
        with pytest.raises(InputError, match="not the inbox"):
            read_all(con, head)


@pytest.mark.parametrize(
    "payload", ["\x00", "[]", "1", "{}", '{"event_id":"one","action":"keep"}', "[" * 100_000]
)
def test_a_decision_that_was_overwritten_is_named(tmp_path: Path, payload: str) -> None:
    with open_inbox(tmp_path / "inbox.sqlite") as con:
        put(con, "one")
        decision = b'{"action":"accept","event_id":"one"}'
        append(con, [NewEvent("d", "b_1", "decision", decision, "page")], now=NOW)
        assert read_batch(con, "b_1").decisions == {"one": "accept"}
        con.execute("drop trigger event_is_not_changed")
        con.execute("update event set payload = ? where seq = 2", [payload.encode()])
        with pytest.raises(InputError, match="event 2 does not fit its hash"):
            read_batch(con, "b_1")


def test_decisions_go_up_to_the_head_too(tmp_path: Path) -> None:
    with open_inbox(tmp_path / "inbox.sqlite") as con:
        decision = b'{"action":"accept","event_id":"one"}'
        append(con, [NewEvent("d", "b_1", "decision", decision, "page")], now=NOW)
        assert read_decisions(con, "b_1", until=1) == {"one": "accept"}
        assert read_decisions(con, "b_1", until=0) == {}


def test_a_log_that_ends_otherwise_than_its_head_is_noticed(tmp_path: Path) -> None:
    """By somebody who changes the file between the two."""
    with open_inbox(tmp_path / "inbox.sqlite") as con:
        put(con, "one", "two", "three")
        intake = read_batch(con, "b_1")
        con.executescript("drop trigger event_is_not_removed; delete from event where seq = 3")
        with pytest.raises(InputError, match="event 3 was replaced while it was read"):
            list(intake.rankings.lines)
        put(con, "other")
        with pytest.raises(InputError, match="event 3 was replaced while it was read"):
            list(read_verified(con, until=intake.head))
