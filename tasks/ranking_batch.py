"""What each ranker puts into the inbox: a batch of sets, and the rankings that answer them.

The id of a batch is a hash of what is ranked and of what decides the answers. Equal work is the
same batch, so that no answer is asked or paid for twice; of a batch for people that leaves out
everything they may change while it waits: the deadline, the wanted number, the rest of the config.

Omitted on purpose: reading the answers back (tasks/collect_rankings.py).
"""

import hashlib
import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.campaign_config import CampaignConfig
from data.corpus_config import CorpusConfig
from data.rankers.config import RankConfig
from data.rankers.human_config import HumanConfig
from data.rankers.judge_config import JudgeConfig
from tasks.context import JSON, StageContext, Summary

if TYPE_CHECKING:
    from data.inbox.batches import NewBatch, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectRankingsConfig:
    """Config sections that the stage reads."""

    corpus: CorpusConfig
    campaign: CampaignConfig
    rank: RankConfig
    annotate: HumanConfig
    judge: JudgeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedBatch:
    """A batch of the inbox, as a ranker left it.

    Attributes:
        batch_id: Its id.
        sets: The set/1 file that it speaks of.
        role: Role of annotators that the ledger does not know; None refuses them.
        count: How many rankings it has, about; None where that is not known beforehand.
        said: What the ranker says of its work, for the summary.
    """

    batch_id: str
    sets: Path
    role: str | None
    count: int | None = None
    said: Summary = field(default_factory=dict)


def batch_of_file(
    inbox: sqlite3.Connection, context: StageContext, config: CollectRankingsConfig
) -> RankedBatch:
    """The user's files: each line that is not blank is an event, broken and repeated ones too."""
    from data.inbox.events import NewEvent, append
    from data.lines import count_lines, lines_of_file
    from data.rankers.file import ranking_files

    files = ranking_files(config.rank)
    batch_id = batch_id_of(
        config, {"sets": _sha256(files.sets), "rankings": _sha256(files.rankings)}
    )
    _publish_answered(inbox, context, config, batch_id)
    lines = lines_of_file(files.rankings).lines
    total = count_lines(files.rankings)
    with closing(context.progress(lines, "rankings read", total=total)) as shown:
        events = (
            NewEvent(
                # A line may have no id of its own, or that of another. The batch names the bytes.
                event_id=f"{batch_id}-{line.seq}",
                batch_id=batch_id,
                type="ranking",
                payload=line.raw,
                origin=line.origin,
            )
            for line in shown
        )
        append(inbox, events, now=datetime.now(UTC))
    return RankedBatch(batch_id=batch_id, sets=files.sets, role="import", count=total)


def batch_of_simulated(
    inbox: sqlite3.Connection, context: StageContext, config: CollectRankingsConfig, sets: Path
) -> RankedBatch:
    """Simulated annotators rank the sets by gold, with errors."""
    from data.errors import InputError
    from data.gold import score_sets
    from data.grammar import load_grammar
    from data.identity import canonical_json
    from data.inbox.events import append
    from data.rankers.simulated import rank_sets

    if config.corpus.source != "support_desk":
        raise InputError(
            "rank.ranker: simulated annotators know the support desk only; "
            'with corpus.source = "files" write ranker = "file", "human" or "judge"'
        )
    to_rank = read_sets(sets)
    scores = score_sets(to_rank, grammar=load_grammar())
    ranked = rank_sets(to_rank, scores, config.rank, seed=context.seed)
    rows = hashlib.sha256(canonical_json(list(ranked.rows)).encode()).hexdigest()
    batch_id = batch_id_of(config, {"sets": _sha256(sets), "rows": rows})
    _publish_answered(inbox, context, config, batch_id)
    events = (_ranking_event(batch_id, row, "simulated") for row in ranked.rows)
    append(inbox, events, now=datetime.now(UTC))
    context.log.table(
        "simulated_annotators",
        [
            {
                "annotator_id": it.annotator_id,
                "target": it.target,
                "agreement_with_gold": it.agreement,
                "sets": it.count_sets,
                "strict_pairs": it.count_pairs,
            }
            for it in ranked.annotators
        ],
    )
    return RankedBatch(batch_id=batch_id, sets=sets, role="simulated", count=len(ranked.rows))


def batch_of_judge(
    inbox: sqlite3.Connection, context: StageContext, config: CollectRankingsConfig, sets: Path
) -> RankedBatch:
    """A language model ranks the sets; what an earlier try of this batch was told is not asked.

    Each set goes into the inbox as its answers are there, and then what was spent so far: a kill
    loses the calls under way, at most those of `judge.concurrency` sets.
    """
    from data.errors import InputError
    from data.inbox import mirror
    from data.inbox.events import append, read
    from data.rankers.judge import Judged, rank_by_judge
    from data.rankers.judge_budget import Tally

    batch_id = batch_id_of(
        config, {"sets": _sha256(sets), "judge": config.judge.identity(), "seed": context.seed}
    )
    _publish_answered(inbox, context, config, batch_id)
    tally_key = f"judge:{batch_id}"
    tally = Tally(**json.loads(mirror.get(inbox, tally_key) or "{}"))
    answers = read(inbox, batch_id=batch_id, types=["ranking"])
    known = {event.event_id for event in answers}

    def keep(judged: Judged) -> None:
        now = datetime.now(UTC)
        if judged.row is not None:
            append(inbox, [_ranking_event(batch_id, judged.row, "judge")], now=now)
        mirror.put(inbox, tally_key, json.dumps(asdict(judged.tally)), now=now)

    to_rank = read_sets(sets)
    with closing(context.progress(range(len(to_rank) - len(known)), "sets judged")) as bar:
        next(bar, None)
        report = rank_by_judge(
            to_rank,
            config.judge,
            batch_id=batch_id,
            seed=context.seed,
            known=known,
            emit=keep,
            tally=tally,
            progress=lambda: next(bar, None),
        )
    # A cap is a budget, with which training may start; an endpoint that is down is a failure.
    if report.stopped == "failures" or (report.notice and not (known or report.ranked)):
        raise InputError(report.notice)
    said: Summary = {f"judge_{name}": value for name, value in asdict(report.tally).items()}
    said |= {
        "judge_sets_left": report.left,
        "judge_sets_failed": report.failed,
        "judge_position_consistency": report.tally.position_consistency,
        "judge_first_shown_wins": report.tally.first_shown_wins,
    }
    if report.notice:
        said["notes"] = report.notice
    return RankedBatch(batch_id=batch_id, sets=sets, role="judge", said=said)


def batch_for_people(
    inbox: sqlite3.Connection, context: StageContext, config: CollectRankingsConfig, sets: Path
) -> RankedBatch:
    """Publish the sets, with gold and retest sets among them, for the ranking page.

    An unfinished batch that an earlier run of the same name published is withdrawn: nobody waits
    for its rankings. They are kept, and count again when that run is started again.
    """
    from data.identity import canonical_json
    from data.inbox.batches import NewBatch, find_batch, publish, task_of
    from data.rankers.plan import plan_sets
    from data.sets import parse_set

    to_rank = read_sets(sets)
    plan = plan_sets(to_rank, config.annotate, seed=context.seed)
    published = context.out / "sets.jsonl"
    added = "".join(canonical_json(row) + "\n" for row in plan.added)
    published.write_text(sets.read_text(encoding="utf-8") + added, encoding="utf-8")
    batch_id = batch_id_of(config, {"sets": _sha256(published), "want": plan.want})
    known = find_batch(inbox, batch_id)
    now = datetime.now(UTC)
    hours = config.annotate.deadline_hours
    since = known.published_at if known else now
    batch = NewBatch(
        batch_id=batch_id,
        name=_name_of(context),
        campaign=config.campaign.name,
        guideline_version=config.campaign.guideline_version,
        wanted=plan.wanted,
        deadline=since + timedelta(hours=hours) if hours else None,
        allow_top=config.annotate.allow_top,
        config=context.run_config,
        retest_after=timedelta(hours=config.annotate.retest_after_hours),
    )
    everything = [*to_rank, *(parse_set(row) for row in plan.added)]
    tasks = (task_of(it, want=plan.want[it.set_id]) for it in everything)
    publish(inbox, batch, tasks, now=now)
    _withdraw_others(inbox, batch, now)
    # Those without an account come in by files of other programs.
    return RankedBatch(batch_id=batch_id, sets=published, role="import")


def batch_id_of(config: CollectRankingsConfig, parts: dict[str, JSON]) -> str:
    """`b_` and 16 digits of a hash of the ranker and what it ranks."""
    from data.identity import canonical_json, sha256_text

    return "b_" + sha256_text(canonical_json({"ranker": config.rank.ranker, **parts}))[:16]


def waits_for(progress: "Progress") -> str:
    """What a batch lacks before a run may go on, in words."""
    batch = progress.batch
    lacks = f"{progress.have} of {batch.wanted} rankings"
    if progress.have >= batch.wanted:
        lacks += f", and an answer to each set ({progress.unanswered} without)"
    elif progress.waits_for_lead:
        lacks += f" ({progress.held_to_train} held for a lead)"
    if batch.deadline is None:
        return lacks
    return f"{lacks}, or {batch.deadline.isoformat(sep=' ', timespec='minutes')}"


def read_sets(path: Path) -> list[Any]:
    """The sets of a set/1 file of our own making."""
    from data.jsonl import read_objects
    from data.sets import parse_set

    return [parse_set(row) for _, row in read_objects(path)]


def _withdraw_others(inbox: sqlite3.Connection, batch: "NewBatch", now: datetime) -> None:
    from data.inbox.batches import list_progress, withdraw

    for other in list_progress(inbox, now=now):
        old = other.batch
        is_over = old.finished_at is not None or old.withdrawn_at is not None
        if (
            other.tasks
            and old.name == batch.name
            and old.batch_id != batch.batch_id
            and not is_over
        ):
            withdraw(inbox, old.batch_id, now=now)


def _publish_answered(
    inbox: sqlite3.Connection, context: StageContext, config: CollectRankingsConfig, batch_id: str
) -> None:
    """Publish a batch that nobody is asked to rank: it has no tasks, and its gate is open."""
    from data.inbox.batches import NewBatch, publish

    batch = NewBatch(
        batch_id=batch_id,
        name=_name_of(context),
        campaign=config.campaign.name,
        guideline_version=config.campaign.guideline_version,
        wanted=0,
        deadline=None,
        allow_top=True,
        config=context.run_config,
    )
    publish(inbox, batch, [], now=datetime.now(UTC))


def _ranking_event(batch_id: str, row: dict[str, Any], origin: str) -> Any:
    from data.identity import canonical_json
    from data.inbox.events import NewEvent

    return NewEvent(
        event_id=row["event_id"],
        batch_id=batch_id,
        type="ranking",
        payload=canonical_json(row).encode(),
        origin=origin,
    )


def _name_of(context: StageContext) -> str:
    return str(json.loads(context.run_config).get("name", ""))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
