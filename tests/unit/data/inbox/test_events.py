"""The log: every event once, in order, and no change goes unnoticed."""

import sqlite3
import tracemalloc
import uuid
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from data.errors import InputError
from data.inbox import events
from data.inbox.chain import verify
from data.inbox.connection import inbox_id, open_inbox
from data.inbox.events import Appended, NewEvent, append, head, read
from tests.unit.data.inbox.builders import NOW


@pytest.fixture
def con(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with open_inbox(tmp_path / "inbox.sqlite") as con:
        yield con


def event(name: str, payload: bytes = b"{}", batch: str = "b", kind: str = "ranking") -> NewEvent:
    return NewEvent(name, batch, kind, payload, "a file:1")  # type: ignore[arg-type]


def stored(con: sqlite3.Connection) -> list[tuple[str, bytes]]:
    return [(it.event_id, it.payload) for it in read(con)]


def test_what_comes_in_comes_out(con: sqlite3.Connection) -> None:
    raw = b'{"a": "\xe4\xbd\xa0\xff\x00 not even UTF-8 or JSON'
    append(con, [NewEvent("id", "b", "ranking", raw, "目录/a.jsonl:12")], now=NOW)
    (found,) = read(con)
    assert (found.seq, found.event_id, found.batch_id, found.type) == (1, "id", "b", "ranking")
    assert (found.payload, found.origin) == (raw, "目录/a.jsonl:12")
    assert found.at == "2026-11-22T12:00:00.000000+00:00"
    assert events.find(con, "b", "id") == found
    assert events.find(con, "c", "id") is None


def test_the_hash_is_what_the_header_says(con: sqlite3.Connection) -> None:
    """Computed here by hand, so that the format of the chain cannot change unnoticed."""
    append(con, [event("e1", b"one"), event("é2", b"two")], now=NOW)
    before = sha256(inbox_id(con).encode()).hexdigest()
    at = "32:2026-11-22T12:00:00.000000+00:00"
    for it, name in zip(read(con), ("2:e1", "2:é2"), strict=True):
        facts = f"{before}{name}1:b7:ranking8:a file:1{at}"
        before = sha256(facts.encode() + it.payload).hexdigest()
        assert it.sha256 == before
    assert head(con).sha256 == before


def test_the_same_event_is_stored_once(con: sqlite3.Connection) -> None:
    some = [event("e1"), event("e2"), event("e1")]
    assert append(con, some, now=NOW) == Appended(added=2, duplicate=1, conflicts=0)
    assert append(con, some, now=NOW) == Appended(added=0, duplicate=3, conflicts=0)
    assert append(con, [*some, event("e3")], now=NOW).added == 1
    assert stored(con) == [("e1", b"{}"), ("e2", b"{}"), ("e3", b"{}")]
    verify(con)


def test_a_batch_has_its_own_ids(con: sqlite3.Connection) -> None:
    append(con, [event("e1"), event("e1", batch="c")], now=NOW)
    assert [it.batch_id for it in read(con)] == ["b", "c"]


def test_other_bytes_under_an_id_are_kept_under_another(con: sqlite3.Connection) -> None:
    append(con, [event("e1", b"one")], now=NOW)
    changed = [event("e1", b"two"), event("e1", b"three"), event("e1", b"two")]
    assert append(con, changed, now=NOW) == Appended(added=2, duplicate=1, conflicts=2)
    assert append(con, changed, now=NOW) == Appended(added=0, duplicate=3, conflicts=0)
    ids, payloads = zip(*stored(con), strict=True)
    assert payloads == (b"one", b"two", b"three")
    assert len(set(ids)) == 3
    assert all(uuid.UUID(one).version == 5 for one in ids[1:])


def test_a_conflict_within_one_call_is_kept_too(con: sqlite3.Connection) -> None:
    both = [event("e1", b"one"), event("e1", b"two")]
    assert append(con, both, now=NOW) == Appended(added=2, duplicate=0, conflicts=1)
    assert append(con, both, now=NOW) == Appended(added=0, duplicate=2, conflicts=0)


def test_an_append_that_was_cut_off_is_completed_by_repeating_it(
    con: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CHUNK_ROWS", 3)
    some = [event(f"e{i}") for i in range(10)]

    def cut_off() -> Iterator[NewEvent]:
        yield from some[:7]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        append(con, cut_off(), now=NOW)
    assert len(stored(con)) == 6
    assert append(con, some, now=NOW) == Appended(added=4, duplicate=6, conflicts=0)
    assert [name for name, _ in stored(con)] == [it.event_id for it in some]
    verify(con)


def test_an_unknown_type_is_refused_and_nothing_is_stored(con: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        append(con, [event("e1"), event("e2", kind="rumour")], now=NOW)
    assert stored(con) == []


def test_reading_by_batch_type_and_place(con: sqlite3.Connection) -> None:
    kinds = ("ranking", "decision", "ranking", "finished")
    for batch in ("b", "c"):
        append(
            con, [event(f"{i}", batch=batch, kind=kind) for i, kind in enumerate(kinds)], now=NOW
        )

    def seqs(**wanted: object) -> list[int]:
        return [it.seq for it in read(con, **wanted)]  # type: ignore[arg-type]

    assert seqs() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert seqs(after=6) == [7, 8]
    assert seqs(batch_id="c") == [5, 6, 7, 8]
    assert seqs(types={"ranking"}) == [1, 3, 5, 7]
    assert seqs(types=["decision", "finished"], batch_id="b") == [2, 4]
    assert seqs(types={"ranking"}, batch_id="c", after=5) == [7]
    assert seqs(types=()) == []
    assert seqs(types={"decision"}, after=2) == [6]


def test_reading_and_checking_hold_one_row_at_a_time(con: sqlite3.Connection) -> None:
    append(con, (event(f"e{i}", b"x" * 50_000) for i in range(400)), now=NOW)
    for read_all in (lambda: sum(1 for _ in read(con)), lambda: verify(con)):
        tracemalloc.start()
        read_all()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 * 50_000


@pytest.mark.parametrize(
    "statement",
    [
        "update event set payload = x'00' where seq = 2",
        "update event set seq = 9 where seq = 2",
        "delete from event where seq = 2",
        "insert or replace into event select 2, 'x', batch_id, type, origin, at, sha256, payload"
        " from event where seq = 2",
        "insert or replace into event select 9, event_id, batch_id, type, origin, at, sha256,"
        " payload from event where seq = 2",
    ],
)
def test_the_log_cannot_be_changed(con: sqlite3.Connection, statement: str) -> None:
    append(con, [event(f"e{i}") for i in range(3)], now=NOW)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        con.execute(statement)
    assert len(stored(con)) == 3


TAMPERED = {
    "payload": ("update event set payload = x'00' where seq = 3", "event 3 "),
    "origin": ("update event set origin = 'x' where seq = 3", "event 3 "),
    "time": ("update event set at = 'x' where seq = 3", "event 3 "),
    "type": ("update event set type = 'decision' where seq = 3", "event 3 "),
    "batch": ("update event set batch_id = 'c' where seq = 3", "event 3 "),
    "id": ("update event set event_id = 'x' where seq = 3", "event 3 "),
    "text moved between fields": (
        "update event set event_id = 'e2b', batch_id = '' where seq = 3",
        "event 3 ",
    ),
    "removed": ("delete from event where seq = 3", "event 3 is missing"),
    "first removed": ("delete from event where seq = 1", "event 1 is missing"),
    "removed and closed up": (
        "delete from event where seq = 3; update event set seq = seq - 1 where seq > 3",
        "event 3 ",
    ),
    "reordered": (
        "update event set seq = 99 where seq = 3; update event set seq = 3 where seq = 4;"
        "update event set seq = 4 where seq = 99",
        "event 3 ",
    ),
    "last changed": ("update event set payload = x'00' where seq = 6", "event 6 "),
    "truncated": ("delete from event where seq > 4", "ends at event 4, and event 6 was read"),
    "emptied": ("delete from event", "ends at event 0, and event 6 was read"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_verify_finds_what_was_changed(tmp_path: Path, name: str) -> None:
    """By somebody who can write the file: the triggers are gone and the rows are other ones."""
    path = tmp_path / "inbox.sqlite"
    with open_inbox(path) as con:
        append(con, [event(f"e{i}", b"%d" % i) for i in range(6)], now=NOW)
        expected = verify(con)
        assert expected == head(con)
    statement, message = TAMPERED[name]
    with sqlite3.connect(path) as con:
        con.executescript(
            "drop trigger event_is_not_changed; drop trigger event_is_not_removed;" + statement
        )
    con.close()
    with open_inbox(path) as con, pytest.raises(InputError, match=message):
        verify(con, expected=expected)


def test_a_chain_that_was_written_anew_is_found_by_the_old_head(tmp_path: Path) -> None:
    path = tmp_path / "inbox.sqlite"
    with open_inbox(path) as con:
        append(con, [event(f"e{i}") for i in range(4)], now=NOW)
        expected = head(con)
        con.executescript("drop trigger event_is_not_removed; delete from event")
        append(con, [event(f"f{i}") for i in range(6)], now=NOW)
        assert verify(con).seq == 6
        with pytest.raises(InputError, match="event 4 is not the one that was read before"):
            verify(con, expected=expected)


def test_an_older_head_is_part_of_a_longer_log(con: sqlite3.Connection) -> None:
    heads = [head(con)]
    for i in range(3):
        append(con, [event(f"e{i}")], now=NOW)
        heads.append(head(con))
    assert [verify(con, expected=it).seq for it in heads] == [3, 3, 3, 3]
    assert len({it.sha256 for it in heads}) == 4


def test_a_head_of_another_inbox_is_refused(con: sqlite3.Connection, tmp_path: Path) -> None:
    with (
        open_inbox(tmp_path / "other") as other,
        pytest.raises(InputError, match="is not the inbox"),
    ):
        verify(con, expected=head(other))


def test_a_time_without_zone_is_a_mistake(con: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        append(con, [event("e")], now=NOW.replace(tzinfo=None))
