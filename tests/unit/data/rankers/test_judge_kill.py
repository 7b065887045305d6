"""The judge and the inbox, killed again and again: each answer once, few paid twice."""

import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from data.identity import canonical_json
from data.inbox import mirror
from data.inbox.batches import NewBatch, publish
from data.inbox.chain import verify
from data.inbox.connection import open_inbox
from data.inbox.events import NewEvent, append, read
from data.rankers.judge import Judged, rank_by_judge
from data.rankers.judge_budget import Tally
from data.rankers.judge_config import JudgeConfig
from tests.unit.data.rankers.fake_endpoint import Reply, Request, by_text, serving
from tests.unit.data.rankers.make import make_sets

ROOT = Path(__file__).parents[4]
BATCH = "b_0123456789abcdef"
SETS, CONCURRENCY = 12, 2
KILLS = (3, 8, 9, 21)  # at these requests, before their answers


def judge_all(inbox: Path, url: str) -> None:
    """What the stage does."""
    batch = NewBatch(
        batch_id=BATCH,
        name="mine",
        campaign="test",
        guideline_version="1",
        wanted=0,
        deadline=None,
        allow_top=True,
        config="{}",
    )
    with open_inbox(inbox) as con:
        publish(con, batch, [], now=datetime.now(UTC))

        def keep(judged: Judged) -> None:
            now = datetime.now(UTC)
            if judged.row is not None:
                event = NewEvent(
                    event_id=judged.row["event_id"],
                    batch_id=BATCH,
                    type="ranking",
                    payload=canonical_json(judged.row).encode(),
                    origin="judge",
                )
                append(con, [event], now=now)
            mirror.put(con, "judge", json.dumps(asdict(judged.tally)), now=now)

        rank_by_judge(
            make_sets(SETS),
            JudgeConfig(url=url, model="m", concurrency=CONCURRENCY),
            batch_id=BATCH,
            seed=0,
            known={event.event_id for event in read(con, batch_id=BATCH, types=["ranking"])},
            emit=keep,
            tally=Tally(**json.loads(mirror.get(con, "judge") or "{}")),
        )


def test_a_killed_judge_answers_each_set_once(tmp_path):
    inbox = tmp_path / "inbox.sqlite"
    program = "import sys, pathlib; from tests.unit.data.rankers.test_judge_kill import judge_all; "
    program += "judge_all(pathlib.Path(sys.argv[1]), sys.argv[2])"
    children: list[subprocess.Popen[bytes]] = []
    kept_at_kill: list[set[str]] = []

    def kept() -> set[str]:
        with open_inbox(inbox, read_only=True) as con:
            events = read(con, batch_id=BATCH, types=["ranking"])
            return {json.loads(event.payload)["set_id"] for event in events}

    def answer(request: Request) -> Reply:
        if request.number in KILLS:
            children[-1].kill()
            children[-1].wait()
            kept_at_kill.append(kept())
        return by_text(request)

    with serving(answer) as fake:
        while not children or children[-1].returncode:
            assert len(children) <= len(KILLS)
            children.append(
                subprocess.Popen([sys.executable, "-c", program, str(inbox), fake.url], cwd=ROOT)
            )
            children[-1].wait(timeout=60)
    # Two requests that are under way at once may kill the same child.
    killed, last = children[:-1], children[-1]
    assert {it.returncode for it in killed} == {-signal.SIGKILL}
    assert last.returncode == 0
    assert len(KILLS) - 1 <= len(killed) <= len(KILLS)
    with open_inbox(inbox, read_only=True) as con:
        verify(con)
        rows = [json.loads(it.payload) for it in read(con, batch_id=BATCH, types=["ranking"])]
        tally = json.loads(mirror.get(con, "judge") or "{}")
    assert Counter(row["set_id"] for row in rows) == dict.fromkeys(
        (it.set_id for it in make_sets(SETS)), 1
    )
    assert tally["calls"] <= len(fake.requests)
    # Lost are answers that were under way or waited for an earlier set, never one that was kept.
    by_texts = {frozenset(r.text for r in it.responses): it.set_id for it in make_sets(SETS)}
    asked = [by_texts[frozenset(it.replies.values())] for it in fake.requests]
    for number, before in zip(KILLS, kept_at_kill, strict=True):
        assert not before & set(asked[number + CONCURRENCY :])
    assert len(asked) <= 2 * SETS + len(KILLS) * 2 * 2 * CONCURRENCY
