"""Eight people at once, browsers that are killed and send again: every ranking counts once."""

import json
import multiprocessing
import random
import signal
import time
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from data.inbox import batches, chain, events
from data.inbox.connection import open_inbox
from tests.unit.data.inbox import client
from tests.unit.data.inbox.builders import (
    BATCH,
    NOW,
    WRONG_NUMBER_TAKEN,
    make_inbox,
    make_task,
)

PEOPLE = [f"ann_{i}" for i in range(8)]
SETS, WANT = 60, 2

# Forked, so that one that is killed is replaced within milliseconds; from a clean process, since
# one of ours may hold what other tests left, such as Prefect's threads, which no fork has.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.unit.data.inbox.client"])


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    tasks = [make_task(f"s{i:02}", want=WANT) for i in range(SETS)]
    return make_inbox(tmp_path / "inbox.sqlite", tasks, *PEOPLE)


def start(inbox: Path, who: str, *, deaths: float = 0.0, seed: int = 0) -> ForkServerProcess:
    child = SERVER.Process(
        target=client.run,
        args=(inbox, who, file_of(inbox, who)),
        kwargs={"deaths": deaths, "seed": seed},
        daemon=True,
    )
    child.start()
    return child


def file_of(inbox: Path, who: str) -> Path:
    return inbox.with_name(f"{who}.jsonl")


def results(inbox: Path) -> Counter[str]:
    notes = [note for who in PEOPLE for note in client.notes(file_of(inbox, who))]
    return Counter(note["result"] for note in notes if "result" in note)


def check_that_each_counts_once(inbox: Path) -> None:
    with open_inbox(inbox) as con:
        chain.verify(con)
        rows = [json.loads(it.payload) for it in events.read(con, types={"ranking"})]
        given = [json.loads(it.payload) for it in events.read(con, types={"handed_out"})]
        progress = batches.progress(con, BATCH, now=NOW)
        assert con.execute(WRONG_NUMBER_TAKEN).fetchall() == []
    answered = Counter((row["set_id"], row["annotator_id"]) for row in rows)
    assert set(answered.values()) == {1}
    assert Counter(row["set_id"] for row in rows) == {f"s{i:02}": WANT for i in range(SETS)}
    assert Counter((it["set_id"], it["annotator_id"]) for it in given) == answered
    orders = {(it["set_id"], it["annotator_id"]): it["display_order"] for it in given}
    assert all(orders[row["set_id"], row["annotator_id"]] == row["display_order"] for row in rows)
    assert (progress.have, progress.tasks_done, progress.in_work) == (SETS * WANT, SETS, 0)
    sent = {
        note["event_id"]
        for who in PEOPLE
        for note in client.notes(file_of(inbox, who))
        if note.get("result") in ("stored", "replay")
    }
    assert {row["event_id"] for row in rows} == sent


def test_eight_at_once(inbox: Path) -> None:
    children = [start(inbox, who) for who in PEOPLE]
    for child in children:
        child.join(timeout=120)
    assert [child.exitcode for child in children] == [0] * len(PEOPLE)
    assert results(inbox) == {"stored": SETS * WANT}
    check_that_each_counts_once(inbox)


def test_clients_that_are_killed_and_send_again(inbox: Path) -> None:
    """Killed before and after commits, and from outside at moments that nobody chose."""
    dice = random.Random(0)  # noqa: S311
    seed = kills = 0
    running = {who: start(inbox, who, deaths=0.1, seed=dice.randrange(10**6)) for who in PEOPLE}
    while running:
        who = dice.choice(sorted(running))
        time.sleep(dice.uniform(0.0, 0.01))
        running[who].kill()
        running[who].join(timeout=60)
        if running[who].exitcode == 0:
            del running[who]
            continue
        assert running[who].exitcode == -signal.SIGKILL
        kills += 1
        seed += 1
        # In the end they are left alone, or a slow machine would never see the end.
        deaths = 0.1 if kills < 80 else 0.0
        running[who] = start(inbox, who, deaths=deaths, seed=seed)
        if kills >= 80:
            running[who].join(timeout=120)
    assert kills >= 40
    found = results(inbox)
    assert set(found) == {"stored", "replay"}
    # Stored, killed before anybody was told, sent again.
    assert found["replay"] >= 3
    check_that_each_counts_once(inbox)
