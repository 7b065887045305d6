"""The inbox's file: how it comes to be, who may read it, what is said when it cannot be used."""

import fcntl
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from data.errors import InputError
from data.inbox import connection, mirror
from data.inbox.connection import InboxBusyError, inbox_id, open_inbox, write
from tests.unit.data.inbox.builders import NOW

OPEN = """
import sys
from contextlib import closing
from pathlib import Path
from data.inbox.connection import inbox_id, open_inbox
sys.stdin.read()
with open_inbox(Path(sys.argv[1])) as con:
    print(inbox_id(con))
"""


def test_only_the_owner_can_read_the_file_and_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "var" / "inbox.sqlite"
    with open_inbox(path) as con:
        mirror.put(con, "a", "{}", now=NOW)
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(
        [f"inbox.sqlite{end}" for end in ("", ".lock", "-shm", "-wal")], 0o600
    )


def test_each_inbox_has_an_id_and_a_secret_of_its_own(tmp_path: Path) -> None:
    facts = set()
    for name in ("a", "b", "a"):
        with open_inbox(tmp_path / name) as con:
            facts.add((inbox_id(con), connection.shuffle_secret(con)))
    assert len(facts) == 2
    assert len({secret for _, secret in facts}) == 2


def test_processes_that_create_it_at_once_share_one(tmp_path: Path) -> None:
    path = tmp_path / "inbox.sqlite"
    command = [sys.executable, "-c", OPEN, str(path)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    ids = set()
    for child in children:
        assert child.stdout is not None
        ids.add(child.stdout.read())
        assert child.wait() == 0
    assert len(ids) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["inbox.sqlite"]


def test_reading_does_not_create(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="there is no inbox yet"),
        open_inbox(tmp_path / "x", read_only=True),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    with open_inbox(tmp_path / "x"):
        pass
    with (
        open_inbox(tmp_path / "x", read_only=True) as con,
        pytest.raises(InputError, match="cannot be written"),
    ):
        mirror.put(con, "a", "{}", now=NOW)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"this is a text, not a database" * 99, "damaged"), (b"", "version unknown")],
)
def test_another_file_is_refused_in_words(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "inbox.sqlite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message), open_inbox(path):
        pass


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "inbox.sqlite"
    with open_inbox(path) as con:
        con.execute("update inbox set version = 7")
    with pytest.raises(InputError, match="inbox of version 7"), open_inbox(path):
        pass


def test_a_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="check the directory"),
        open_inbox(tmp_path / "file" / "x"),
    ):
        pass


def test_who_gave_up_waiting_leaves_no_lock_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_inbox(tmp_path / "x") as one, open_inbox(tmp_path / "x") as other:
        monkeypatch.setattr(connection, "WAIT_SECONDS", 0.01)
        with write(one), pytest.raises(InboxBusyError):
            mirror.put(other, "a", "{}", now=NOW)
        monkeypatch.undo()
        for con in (one, other, one):
            mirror.put(con, "a", "{}", now=NOW)


def test_another_program_that_holds_the_file_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows nothing of the turns: a shell of SQLite, say."""
    monkeypatch.setattr(connection, "WAIT_SECONDS", 0.01)
    with open_inbox(tmp_path / "x") as con, closing(sqlite3.connect(tmp_path / "x")) as other:
        other.execute("begin immediate")
        with pytest.raises(InboxBusyError):
            mirror.put(con, "a", "{}", now=NOW)
        other.rollback()
        mirror.put(con, "a", "{}", now=NOW)


def test_writing_takes_a_turn_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either alone keeps others out: the turn those who wait in line, the file all others."""
    monkeypatch.setattr(connection, "WAIT_SECONDS", 0.01)
    with open_inbox(tmp_path / "x") as con, closing(sqlite3.connect(tmp_path / "x", 0)) as other:
        with write(con), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("begin immediate")
        with (tmp_path / "x.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(InboxBusyError):
                mirror.put(con, "a", "{}", now=NOW)


def test_a_long_lock_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "WAIT_SECONDS", 0.01)
    with (
        open_inbox(tmp_path / "x") as one,
        open_inbox(tmp_path / "x") as other,
        write(one),
        pytest.raises(InboxBusyError, match="another process has been writing"),
    ):
        mirror.put(other, "a", "{}", now=NOW)


def test_a_write_is_all_or_nothing(tmp_path: Path) -> None:
    with open_inbox(tmp_path / "x") as con:
        with pytest.raises(sqlite3.IntegrityError), write(con):  # noqa: PT012
            con.execute("insert into mirror values ('a', '{}', '')")
            con.execute("insert into mirror values ('b', '{', '')")
        assert mirror.get(con, "a") is None


def test_the_mirror_keeps_json_alone(tmp_path: Path) -> None:
    with open_inbox(tmp_path / "x") as con, pytest.raises(sqlite3.IntegrityError):
        mirror.put(con, "a", "{", now=NOW)
