"""The store file: creation, locks, what SQL may touch, and messages when something is wrong."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from data.errors import InputError
from data.store import ArtifactRecord, StoreConfig, open_store, record_artifact, transaction

NO_WAIT = StoreConfig(wait_seconds=0.0)


def test_a_new_store_is_whole_or_absent(tmp_path: Path) -> None:
    """A leftover of a crashed creation is replaced, and no temporary file stays."""
    path = tmp_path / "var" / "store.duckdb"
    path.parent.mkdir()
    (path.parent / "store.duckdb.creating").write_bytes(b"torn")
    with open_store(path) as con:
        assert con.execute("select count(*) from ranking").fetchone() == (0,)
    assert sorted(p.name for p in path.parent.iterdir()) == ["store.duckdb", "store.duckdb.lock"]


@pytest.mark.parametrize(
    "statement",
    [
        "select * from read_text('/etc/hostname')",
        "copy ranking to '{outside}/x.parquet'",
        "attach '{outside}/y.duckdb'",
        "set enable_external_access = true",
        "install sqlite",
        "select * from frame_of_python",
    ],
)
def test_sql_touches_nothing_outside(tmp_path: Path, statement: str) -> None:
    frame_of_python = [1]
    inside, outside = tmp_path / "in [1]*", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    with open_store(tmp_path / "store.duckdb", allowed=[inside]) as con:
        con.execute("copy ranking to $path", {"path": str(inside / "x.parquet")})
        with pytest.raises(duckdb.Error):
            con.execute(statement.format(outside=outside))
    assert list(outside.iterdir()) == []
    assert frame_of_python


def test_holder_of_the_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    code = (
        "import sys\nfrom pathlib import Path\nfrom data.store import open_store\n"
        "with open_store(Path(sys.argv[1])):\n    print('open', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        words = f"is open in process {holder.pid}; stop it, or wait"
        with pytest.raises(InputError, match=words), open_store(path, config=NO_WAIT):
            pass
        # A program that does not know the lock file is stopped by DuckDB itself.
        (tmp_path / "store.duckdb.lock").unlink()
        with pytest.raises(InputError, match=words), open_store(path, config=NO_WAIT):
            pass
        holder.communicate()
    with open_store(path, config=NO_WAIT):
        pass


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    with (
        pytest.raises(InputError, match="cannot be written there"),
        open_store(tmp_path / "var" / "store.duckdb"),
    ):
        pass


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    path.write_bytes(b"not a database" * 999)
    with pytest.raises(InputError, match="the store cannot be opened"), open_store(path):
        pass


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with open_store(path) as con:
        con.execute("update store_version set version = 0")
    with pytest.raises(InputError, match="a store of version 0"), open_store(path):
        pass
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as con:
        con.execute("create table t (a integer)")
    with pytest.raises(InputError, match="a store of version unknown"), open_store(other):
        pass


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    insert = "insert into annotator (annotator_id, role) values ('a', 'expert')"
    with open_store(tmp_path / "store.duckdb") as con:
        with contextlib.suppress(RuntimeError), transaction(con):
            con.execute(insert)
            raise RuntimeError
        assert con.execute("select count(*) from annotator").fetchone() == (0,)


def test_a_killed_writer_leaves_nothing_uncommitted(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom data.store import open_store\n"
        "with open_store(Path(sys.argv[1])) as con:\n"
        "    con.execute(\"insert into annotator (annotator_id, role) values ('a', 'expert')\")\n"
        "    con.begin()\n"
        "    con.execute(\"insert into annotator (annotator_id, role) values ('b', 'expert')\")\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -9
    with open_store(path, config=NO_WAIT) as con:
        assert con.execute("select annotator_id from annotator").fetchall() == [("a",)]


def test_artifact_rows(tmp_path: Path) -> None:
    record = ArtifactRecord(
        kind="sft",
        sha256="a" * 64,
        stage="sft",
        cache_key="key",
        inputs={"split": "b" * 64},
        config={"epochs": 1},
        code_digest="c" * 64,
        seed=0,
        numerics="torch 2.13.0 cpu float32 1",
        versions={"torch": "2.13.0"},
        run_id="run",
        seconds=1.5,
    )
    with open_store(tmp_path / "store.duckdb") as con:
        for _ in range(2):
            record_artifact(con, record)
        rows = con.execute("select kind, inputs, config, seconds from artifact").fetchall()
    assert rows == [("sft", f'{{"split":"{"b" * 64}"}}', '{"epochs":1}', 1.5)]


@pytest.mark.parametrize("bad", [{"memory_limit": "much"}, {"threads": 0}, {"wait_seconds": -1.0}])
def test_config_names_the_field(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        StoreConfig(**bad)  # type: ignore[arg-type]


def test_the_lock_names_this_process(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.duckdb"):
        assert (tmp_path / "store.duckdb.lock").read_text() == str(os.getpid())
