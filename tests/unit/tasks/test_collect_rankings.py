"""The stage collect_rankings by itself: one way in for every ranker, and the gate for people."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data import identity
from data.errors import InputError
from data.inbox import INBOX_FILE, accounts, batches, mirror
from data.inbox.connection import open_inbox
from data.inbox.decisions import decide
from data.inbox.events import Head, read
from data.rankers.config import RankConfig
from data.rankers.human_config import HumanConfig
from data.rankers.judge_config import JudgeConfig
from flows.api import free_port
from flows.config import RunConfig
from tasks import ranking_plots
from tasks.collect_rankings import (
    collect_rankings,
    nothing_decided_since,
    ranked_by_people,
)
from tasks.context import StageContext, Summary
from tasks.ranking_batch import CollectRankingsConfig
from tasks.stage_log import StageLog
from tests.integration.people import rank
from tests.unit.data.rankers.fake_endpoint import Fake, serving

TABLES = ("prompt", "response", "ranking_set", "ranking_set_item", "ranking", "ranking_item")


class Stage:
    """A var/ with the artifacts that the stage reads, and calls of its body."""

    def __init__(self, root: Path) -> None:
        self.root, self.var = root, root / "var"
        self.split, self.generated = root / "split", root / "generated"
        for folder in (self.split, self.generated):
            folder.mkdir()
        prompts = [prompt_row(i) for i in range(4)]
        pl.DataFrame(prompts).write_parquet(self.split / "prompts.parquet")
        self.sets = [set_row(prompt) for prompt in prompts]
        write(self.generated / "sets.jsonl", self.sets)

    @property
    def out(self) -> Path:
        return self.root / "out"

    def collect(self, config: CollectRankingsConfig, run_config: str = "") -> Summary:
        for folder in (self.out, self.root / "log"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        context = StageContext(
            out=self.out,
            seed=0,
            threads=1,
            device="cpu",
            var=self.var,
            checkpoints=self.root / "checkpoints",
            log=StageLog(self.root / "log"),
            run_config=run_config or json.dumps({"name": "mine"}),
        )
        generated = None if config.rank.ranker == "file" else self.generated
        return collect_rankings(context, config, split=self.split, generate_responses=generated)

    def snapshot(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.out.iterdir())}

    def files(self, rankings: list[Any]) -> CollectRankingsConfig:
        """Config of the ranker "file", with these rows as the user's file."""
        write(self.root / "mine.jsonl", rankings)
        sets = str(self.generated / "sets.jsonl")
        rank_config = RankConfig(ranker="file", sets=sets, rankings=str(self.root / "mine.jsonl"))
        return sections(rank=rank_config)


def sections(**given: Any) -> CollectRankingsConfig:
    run = RunConfig()
    names = ("corpus", "campaign", "rank", "annotate", "judge")
    return CollectRankingsConfig(**{name: given.get(name, getattr(run, name)) for name in names})


def people(**given: Any) -> CollectRankingsConfig:
    plain = {"shared_fraction": 0.0, "gold_fraction": 0.0, "retest_fraction": 0.0}
    annotate = HumanConfig(**{**plain, "wanted_rankings": 2, **given})
    return sections(rank=RankConfig(ranker="human"), annotate=annotate)


def prompt_row(index: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Question {index}?"}]
    return {
        "prompt_id": identity.prompt_id(messages),
        "family_id": f"f{index}",
        "split": "train",
        "messages": identity.canonical_json(messages),
        "stratum": "all",
    }


def set_row(prompt: dict[str, Any]) -> dict[str, Any]:
    texts = ["no", "well", "of course"]
    ids = [identity.response_id(prompt["prompt_id"], text) for text in texts]
    return {
        "schema": "set/1",
        "set_id": identity.set_id(prompt["prompt_id"], ids),
        "prompt_id": prompt["prompt_id"],
        "messages": json.loads(prompt["messages"]),
        "responses": [
            {"response_id": name, "text": text, "generator": "sft"}
            for name, text in zip(ids, texts, strict=True)
        ],
        "guideline_version": "1",
        "campaign": "test",
    }


def ranking_row(one: dict[str, Any], number: int, **fields: Any) -> dict[str, Any]:
    ids = [response["response_id"] for response in one["responses"]]
    return {
        "schema": "ranking/1",
        "event_id": f"00000000-0000-4000-8000-{number:012d}",
        "set_id": one["set_id"],
        "annotator_id": "ann",
        "revision": 1,
        "outcome": "ranked",
        "coverage": "full",
        "tiers": dict(zip(ids, (1, 2, 3), strict=True)),
        "display_order": ids,
        "touched": True,
        "started_at": "2026-01-01T08:00:00+00:00",
        "submitted_at": "2026-01-01T08:01:00+00:00",
        "active_ms": 50000,
        "ui_version": "file",
        **fields,
    }


def write(path: Path, rows: list[Any]) -> None:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(ranking_plots, "plots", lambda _: {})
    return Stage(tmp_path)


def test_every_line_of_a_file_is_counted_and_found_by_its_place(stage: Stage) -> None:
    # Guards: repeated and broken lines that vanish on the way through the inbox.
    rows: list[Any] = [ranking_row(one, i) for i, one in enumerate(stage.sets[:3])]
    rows += [rows[0], "{broken", ranking_row(stage.sets[3], 9, set_id="s_none")]
    config = stage.files(rows)
    summary = stage.collect(config)
    outcomes = [summary[f"rankings_{it}"] for it in ("accepted", "duplicate", "quarantined")]
    assert (summary["rankings_read"], outcomes) == (6, [3, 1, 2])
    reasons = json.loads((stage.root / "log" / "tables" / "reasons.json").read_text())
    first = {row["code"]: row["first"] for row in reasons if row["file"] == "rankings"}
    assert f"{stage.root / 'mine.jsonl'}:5:" in first["NOT_JSON"]
    assert f"{stage.root / 'mine.jsonl'}:6:" in first["UNKNOWN_SET"]


def test_the_same_work_again_adds_nothing_and_leaves_the_same_bytes(stage: Stage) -> None:
    config = stage.files([ranking_row(one, i) for i, one in enumerate(stage.sets)])
    first, bytes_before = stage.collect(config), stage.snapshot()
    again = stage.collect(config)
    assert (again["rankings_accepted"], again["rankings_duplicate"]) == (0, 4)
    assert (again["batch_id"], again["inbox_seq"]) == (first["batch_id"], first["inbox_seq"])
    assert stage.snapshot() == bytes_before


def test_a_file_that_changed_is_another_batch_with_just_its_rows(stage: Stage) -> None:
    # Guards: rankings that the user took out of the file and that train all the same.
    stage.collect(stage.files([ranking_row(one, i) for i, one in enumerate(stage.sets)]))
    summary = stage.collect(stage.files([ranking_row(stage.sets[0], 0)]))
    assert summary["rankings_read"] == summary["rankings_in_snapshot"] == 1


def test_simulated_rankings_are_events_that_nobody_is_asked_for(stage: Stage) -> None:
    summary = stage.collect(sections())
    with open_inbox(stage.var / INBOX_FILE, read_only=True) as inbox:
        events = list(read(inbox, batch_id=str(summary["batch_id"]), types=["ranking"]))
        progress = batches.progress(inbox, str(summary["batch_id"]), now=datetime.now(UTC))
    assert len(events) == summary["rankings_accepted"] == summary["rankings_in_snapshot"]
    assert {event.origin for event in events} == {"simulated"}
    assert (progress.tasks, progress.is_open(datetime.now(UTC))) == (0, True)
    assert "waits_for" not in summary


def test_a_judge_is_paid_once_for_each_set(stage: Stage) -> None:
    # Guards: a second run, or one after a reached cap, that asks again for what is there.
    def judged(fake: Fake, **caps: Any) -> CollectRankingsConfig:
        judge = JudgeConfig(url=fake.url, model="some/judge", concurrency=1, **caps)
        return sections(rank=RankConfig(ranker="judge"), judge=judge)

    with serving() as fake:
        capped = stage.collect(judged(fake, max_calls=4))
        assert capped["judge_sets_left"] == 2
        assert "max_calls" in str(capped["notes"])
        assert (capped["judge_calls"], len(fake.requests)) == (4, 4)
        summary = stage.collect(judged(fake))
        assert summary["batch_id"] == capped["batch_id"]
        assert (summary["judge_calls"], len(fake.requests)) == (8, 8)
        assert stage.collect(judged(fake))["judge_calls"] == len(fake.requests) == 8
    snapshot = pl.read_parquet(stage.out / "ranking.parquet")
    assert set(snapshot["annotator_role"]) == {"judge"}
    assert sorted(snapshot["set_id"]) == sorted(one["set_id"] for one in stage.sets)


def test_an_endpoint_that_is_down_is_a_mistake_and_not_a_result(stage: Stage) -> None:
    judge = JudgeConfig(url=f"http://127.0.0.1:{free_port()}/v1", model="m", max_tries=1)
    with pytest.raises(InputError):
        stage.collect(sections(rank=RankConfig(ranker="judge"), judge=judge))


def test_sets_that_a_judge_failed_on_are_news_for_the_next_run(stage: Stage) -> None:
    summary = stage.collect(sections())
    assert nothing_decided_since(stage.var, summary)
    assert not nothing_decided_since(stage.var, summary | {"judge_sets_failed": 1})


def test_people_are_waited_for_until_there_are_enough(stage: Stage) -> None:
    config = people()
    waits = stage.collect(config)
    assert waits["waits_for"] == "0 of 2 rankings"
    rows = rank(stage.var, "ada", 1)
    assert stage.collect(config)["waits_for"] == "1 of 2 rankings"
    rows += rank(stage.var, "bo", 1)
    summary = stage.collect(config)
    assert (summary["waits_for"], summary["gate"]) == ("", "enough")
    assert summary["batch_id"] == waits["batch_id"]
    snapshot = pl.read_parquet(stage.out / "ranking.parquet")
    assert set(snapshot["ranking_id"]) == {row["event_id"] for row in rows}
    assert set(snapshot["annotator_role"]) == {"annotator"}


def test_what_people_may_change_while_they_wait_is_the_same_batch(stage: Stage) -> None:
    # Guards: answers lost because of --set ppo.learning_rate, a later deadline or a larger number.
    first = stage.collect(people(), run_config='{"name": "mine", "seed": 0}')
    rank(stage.var, "ada", 2)
    changed = people(wanted_rankings=3, deadline_hours=24.0)
    again = stage.collect(changed, run_config='{"name": "mine", "seed": 1}')
    assert again["batch_id"] == first["batch_id"]
    assert str(again["waits_for"]).startswith("2 of 3 rankings, or 2")
    with open_inbox(stage.var / INBOX_FILE, read_only=True) as inbox:
        known = batches.find_batch(inbox, str(again["batch_id"]))
    assert known is not None
    assert known.config == '{"name": "mine", "seed": 1}'
    assert known.deadline is not None


def test_other_sets_of_the_same_name_withdraw_those_before(stage: Stage) -> None:
    # Guards: people who rank what no run waits for; one run that takes another's work away.
    def withdrawn() -> list[bool]:
        with open_inbox(stage.var / INBOX_FILE, read_only=True) as inbox:
            found = batches.list_progress(inbox, now=datetime.now(UTC))
        return [it.batch.withdrawn_at is not None for it in found]

    stage.collect(people())
    write(stage.generated / "sets.jsonl", stage.sets[:3])
    stage.collect(people(), run_config='{"name": "yours"}')
    assert withdrawn() == [False, False]
    write(stage.generated / "sets.jsonl", stage.sets[:2])
    stage.collect(people())
    assert withdrawn() == [True, False, False]
    write(stage.generated / "sets.jsonl", stage.sets)
    stage.collect(people())
    assert withdrawn() == [False, False, True]


def test_a_finished_batch_that_lacks_rankings_again_is_opened_again(stage: Stage) -> None:
    config = people()
    stage.collect(config)
    rank(stage.var, "ada", 2)
    summary = stage.collect(config)
    head = Head(
        inbox_id=str(summary["inbox_id"]),
        seq=int(str(summary["inbox_seq"])),
        sha256=str(summary["inbox_sha256"]),
    )
    with open_inbox(stage.var / INBOX_FILE) as inbox:
        batches.finish(inbox, str(summary["batch_id"]), head, now=datetime.now(UTC))
    assert stage.collect(config)["waits_for"] == ""
    assert stage.collect(people(wanted_rankings=3))["waits_for"] == "2 of 3 rankings"
    rank(stage.var, "ada", 1)
    assert stage.collect(people(wanted_rankings=3))["waits_for"] == ""


@pytest.mark.parametrize("answers", [0, 1])
def test_a_deadline_goes_on_with_what_there_is_and_never_with_nothing(
    stage: Stage, answers: int
) -> None:
    stage.collect(people())
    rank(stage.var, "ada", answers)
    over = people(deadline_hours=1e-9)
    if answers:
        summary = stage.collect(over)
        assert (summary["gate"], summary["rankings_in_snapshot"]) == ("deadline", 1)
    else:
        with pytest.raises(InputError, match=r"deadline has passed.*annotate\.deadline_hours"):
            stage.collect(over)


def test_gold_sets_go_to_people_and_into_the_snapshot_but_open_no_gate(stage: Stage) -> None:
    config = people(gold_fraction=0.5, shared_by=1, wanted_rankings=4)
    stage.collect(config)
    published = [json.loads(line) for line in (stage.out / "sets.jsonl").read_text().splitlines()]
    purposes = sorted(row.get("purpose", "main") for row in published)
    rank(stage.var, "ada", len(published))
    summary = stage.collect(config)
    assert purposes.count("gold") == len(published) - 4
    assert (summary["gate"], summary["rankings_have"]) == ("enough", 4)
    assert summary["rankings_in_snapshot"] == len(published)


def test_a_leads_discard_is_news_and_keeps_the_ranking_out(stage: Stage) -> None:
    # Guards: decisions that no run ever reads, because the stage is cached.
    config = stage.files([ranking_row(one, i) for i, one in enumerate(stage.sets)])
    summary = stage.collect(config)
    assert nothing_decided_since(stage.var, summary)
    batch_id = str(summary["batch_id"])
    with open_inbox(stage.var / INBOX_FILE) as inbox:
        event = next(read(inbox, batch_id=batch_id, types=["ranking"]))
        now = datetime.now(UTC)
        accounts.add(inbox, "boss", role="lead", now=now)
        decide(
            inbox,
            batch_id=batch_id,
            ranking_id=event.event_id,
            action="discard",
            by="boss",
            now=now,
        )
    assert not nothing_decided_since(stage.var, summary)
    again = stage.collect(config)
    assert (again["rankings_discarded"], again["rankings_in_snapshot"]) == (1, 3)
    assert nothing_decided_since(stage.var, again)
    (stage.var / INBOX_FILE).unlink()
    assert not nothing_decided_since(stage.var, again)


def test_the_leads_page_is_shown_what_only_the_store_knows(stage: Stage) -> None:
    one = stage.sets[0]
    ids = [response["response_id"] for response in one["responses"]]
    doubtful = ranking_row(one, 0, quality={ids[0]: 1, ids[2]: 7})
    config = stage.files([doubtful, ranking_row(stage.sets[1], 1)])
    summary = stage.collect(config)
    assert summary["rankings_held"] == 1
    with open_inbox(stage.var / INBOX_FILE, read_only=True) as inbox:
        held = json.loads(mirror.get(inbox, f"held:{summary['batch_id']}") or "")
        measured = json.loads(mirror.get(inbox, f"statistics:{summary['batch_id']}") or "")
    assert [row["reason"] for row in held] == ["QUALITY_CONTRADICTS_RANK"]
    assert measured["counts"]["rankings"] == 1


def test_a_rewritten_inbox_stops_the_run(stage: Stage) -> None:
    config = people()
    stage.collect(config)
    rank(stage.var, "ada", 2)
    stage.collect(config)
    with sqlite3.connect(stage.var / INBOX_FILE) as con:
        for (name,) in con.execute("select name from sqlite_master where type = 'trigger'"):
            con.execute(f"drop trigger {name}")
        con.execute("update event set payload = cast('{}' as blob) where type = 'ranking'")
    con.close()
    with pytest.raises(InputError, match="inbox"):
        stage.collect(config)


def test_a_new_inbox_beside_an_old_store_is_refused_before_anybody_is_asked(stage: Stage) -> None:
    # Guards: people who rank it all again, and every one of their rankings a conflict.
    stage.collect(people())
    rank(stage.var, "ada", 2)
    stage.collect(people())
    put_away(stage.var / INBOX_FILE)
    with pytest.raises(InputError, match=r"They go together: put the inbox back .*store\.duckdb"):
        stage.collect(people())
    with open_inbox(stage.var / INBOX_FILE, read_only=True) as inbox:
        assert batches.list_batches(inbox) == []
    put_away(stage.var / "store.duckdb")
    assert stage.collect(people())["rankings_read"] == 0


def test_a_new_store_beside_an_old_inbox_takes_all_of_it_in_again(stage: Stage) -> None:
    stage.collect(people())
    rows = rank(stage.var, "ada", 2)
    before = stage.collect(people())["rankings_accepted"]
    put_away(stage.var / "store.duckdb")
    summary = stage.collect(people())
    assert summary["rankings_accepted"] == before == len(rows)
    assert summary["rankings_quarantined"] == 0


def put_away(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def test_an_older_copy_of_the_inbox_stops_the_run(stage: Stage) -> None:
    # Guards: rankings that were trained on and that nobody can be asked about any more.
    config = people()
    stage.collect(config)
    copy = sqlite3.connect(stage.root / "older.sqlite")
    with closing(copy), open_inbox(stage.var / INBOX_FILE) as inbox:
        inbox.backup(copy)
    rank(stage.var, "ada", 2)
    stage.collect(config)
    for path in stage.var.glob(f"{INBOX_FILE}*"):
        path.unlink()
    shutil.copy(stage.root / "older.sqlite", stage.var / INBOX_FILE)
    with pytest.raises(InputError, match="inbox"):
        stage.collect(config)


def test_only_people_are_looked_after_in_every_run() -> None:
    is_looked: Callable[[CollectRankingsConfig], bool] = ranked_by_people
    assert is_looked(people())
    assert not is_looked(sections())
