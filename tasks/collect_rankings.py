"""Stage collect_rankings: every set ranked, every ranking through the one door of the store.

Simulated rankings are written as files and go through the same validation, deduplication and
quarantine as a person's.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.corpus_config import CorpusConfig
from data.rankers.config import RankConfig
from tasks.context import JSON, StageContext, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectRankingsConfig:
    """Config sections that the stage reads."""

    corpus: CorpusConfig
    rank: RankConfig


def collect_rankings(
    context: StageContext,
    config: CollectRankingsConfig,
    *,
    split: Path,
    generate_responses: Path | None,
) -> Summary:
    """Collect rankings of the sets, ingest them, and keep a snapshot of what was accepted."""
    import hashlib

    from data.ingest import ingest
    from data.rankers.file import ranking_files
    from data.snapshot import write_snapshot
    from data.store import open_store

    received = context.out / "rankings.jsonl"
    agreement: Summary = {}
    if generate_responses is None:
        files = ranking_files(config.rank)
        sets, role = files.sets, "import"
        received.write_bytes(files.rankings.read_bytes())
    else:
        sets, role = generate_responses / "sets.jsonl", "simulated"
        agreement = simulate(context, config, sets, received)

    collected = hashlib.sha256(sets.read_bytes() + received.read_bytes()).hexdigest()[:16]
    prompts = split / "prompts.parquet"
    with open_store(context.var / "store.duckdb", allowed=[context.out]) as store:
        report = ingest(
            store,
            prompts=prompts,
            sets=[sets],
            rankings=[received],
            run_id=f"collect_{collected}",
            now=datetime.now(UTC),
            new_role=role,
        )
        rows = write_snapshot(
            store, run_id=f"collect_{collected}", prompts=prompts, out=context.out
        )
    outcomes: Summary = {
        f"{noun}_{outcome}": getattr(counts, outcome)
        for noun, counts in (("sets", report.sets), ("rankings", report.rankings))
        for outcome in ("read", "accepted", "duplicate", "held", "quarantined")
    }
    reasons: list[dict[str, JSON]] = [
        {"file": noun, "code": code, "rows": rows_of_code, "first": counts.examples.get(code, "")}
        for noun, counts in (("sets", report.sets), ("rankings", report.rankings))
        for code, rows_of_code in sorted(counts.reasons.items())
    ]
    context.log.table("reasons", reasons)
    if reasons:
        outcomes["first_reason"] = reasons[0]["first"] or reasons[0]["code"]
    return {**outcomes, "rankings_in_snapshot": rows["ranking"], **agreement}


def simulate(
    context: StageContext, config: CollectRankingsConfig, sets: Path, received: Path
) -> Summary:
    """Have simulated annotators rank `sets` into the file `received`; returns their agreement."""
    from data.errors import InputError
    from data.gold import score_sets
    from data.grammar import load_grammar
    from data.identity import canonical_json
    from data.jsonl import read_objects
    from data.rankers.simulated import rank_sets
    from data.sets import parse_set

    if config.corpus.source != "support_desk":
        raise InputError(
            "rank.ranker: simulated annotators know the support desk only; "
            'with corpus.source = "files" write ranker = "file"'
        )
    to_rank = [parse_set(row) for _, row in read_objects(sets)]
    scores = score_sets(to_rank, grammar=load_grammar())
    ranked = rank_sets(to_rank, scores, config.rank, seed=context.seed)
    with received.open("w", encoding="utf-8") as lines:
        for row in ranked.rows:
            lines.write(canonical_json(row) + "\n")
    context.log.table(
        "annotators",
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
    return {"mutual_agreement": ranked.mutual_agreement, "shared_sets": ranked.count_shared}
