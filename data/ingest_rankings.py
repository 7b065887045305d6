"""One chunk of rankings: each line is judged, then all outcomes are written.

A decision makes no row valid. It ends a doubt one way or the other, and a discard keeps any row
out. Nothing here depends on when a decision came: a line ends the same way if it was decided
before it was first met or after, and each ingest of a source judges all of its lines again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from data import ledger_rankings
from data.inbox.decisions import Action
from data.jsonl import RowError
from data.ledger_rankings import Accepted, HeldLine
from data.outcomes import IngestCounts, Parsed, Refused, Resolution, Target
from data.rankings import ROLES, KnownRankings, doubt_about, event_id_of, read_ranking

_RESOLUTIONS: dict[Action, Resolution] = {"accept": "accepted", "discard": "discarded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingRules:
    """What an ingest says about all of its rankings; see data.ingest.ingest."""

    now: datetime
    new_role: str | None
    roles: Mapping[str, str]
    decisions: Mapping[str, Action]
    allow_top: bool

    def __post_init__(self) -> None:
        """Refuse roles that the ledger would refuse later, less clearly."""
        for role in (self.new_role, *self.roles.values()):
            if role is not None and role not in ROLES:
                raise ValueError(f"the role is {role!r}; it must be one of {', '.join(ROLES)}")


@dataclass(slots=True, kw_only=True)
class _Judged:
    """What is to be written of a chunk.

    Attributes:
        used: Event ids that the run may use, stored now or earlier.
        held: Lines with a doubt, decided or not, for the lead's page.
        kept_out: Set, annotator and revision of each answer that waits or was discarded.
    """

    accepted: list[Accepted] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    held: list[HeldLine] = field(default_factory=list)
    kept_out: list[tuple[str, str, int]] = field(default_factory=list)


def ingest_rankings(target: Target, chunk: list[Parsed], rules: RankingRules) -> None:
    """Judge the lines of a chunk and write what they come to.

    Args:
        target: Where they go.
        chunk: Lines of one source.
        rules: What the ingest says about all of them.
    """
    con, counts, source, run_id = target.con, target.counts, target.source, target.run_id
    known = ledger_rankings.find_known_rankings(
        con,
        [parsed.row for parsed in chunk],
        run_id=run_id,
        now=rules.now,
        new_role=rules.new_role,
        roles=rules.roles,
        allow_top=rules.allow_top,
    )
    judged = _Judged()
    for parsed in chunk:
        _judge(parsed, known, rules.decisions, judged, counts)
    counts.read += len(chunk)
    counts.accepted += len(judged.accepted)
    ledger_rankings.insert_annotators(con, judged.accepted, known)
    ledger_rankings.insert_rankings(con, judged.accepted, source=source, run_id=run_id)
    ledger_rankings.insert_run_events(con, judged.used, run_id=run_id)
    ledger_rankings.delete_revised_run_events(con, judged.kept_out, run_id=run_id)
    ledger_rankings.insert_quarantine(con, judged.refused, source=source, run_id=run_id)
    ledger_rankings.resolve_quarantine(con, judged.held, source=source)
    ledger_rankings.insert_run_held(con, judged.held, source=source, run_id=run_id)


def _judge(
    parsed: Parsed,
    known: KnownRankings,
    decisions: Mapping[str, Action],
    judged: _Judged,
    counts: IngestCounts,
) -> None:
    resolution = _resolution(parsed, decisions) if decisions else None
    try:
        ranking = read_ranking(parsed.required(), known)
    except RowError as error:
        _judge_invalid(parsed, error, resolution, judged, counts)
        return
    doubt = doubt_about(ranking, known)
    if doubt is None and resolution == "discarded":
        doubt = RowError("DISCARDED", "", "left out by a lead's decision")
    if doubt is not None:
        judged.refused.append(
            Refused(
                line=parsed.line,
                error=doubt,
                event_id=ranking.event_id,
                ranking=ranking,
                resolution=resolution,
            )
        )
    if doubt is not None or resolution is not None:
        judged.held.append(_held(parsed, ranking.event_id, resolution))
    answer = (ranking.set_id, ranking.annotator_id, ranking.revision)
    if resolution == "discarded":
        counts.discard()
        known.keep_out(ranking)
        judged.kept_out.append(answer)
    elif doubt is not None and resolution is None:
        counts.refuse(parsed.line, doubt)
        known.keep_out(ranking)
        judged.kept_out.append(answer)
    else:
        known.add(ranking)
        judged.accepted.append(Accepted(parsed.line.seq, ranking))
        judged.used.append(ranking.event_id)


def _judge_invalid(
    parsed: Parsed,
    error: RowError,
    resolution: Resolution | None,
    judged: _Judged,
    counts: IngestCounts,
) -> None:
    """A row with an error, or one that the ledger has: an accept mends neither."""
    event_id = event_id_of(parsed.row)
    is_discarded = resolution == "discarded"
    if is_discarded:
        counts.discard()
    else:
        counts.refuse(parsed.line, error)
    if error.code != "DUPLICATE" or event_id is None:
        judged.refused.append(
            Refused(
                line=parsed.line,
                error=error,
                event_id=event_id,
                resolution="discarded" if is_discarded else None,
            )
        )
        return
    if is_discarded:
        row = parsed.required()
        judged.kept_out.append((row["set_id"], row["annotator_id"], row["revision"]))
    else:
        judged.used.append(event_id)
    if resolution is not None:
        judged.held.append(_held(parsed, event_id, resolution))


def _resolution(parsed: Parsed, decisions: Mapping[str, Action]) -> Resolution | None:
    action = decisions.get(parsed.line.decision_id or event_id_of(parsed.row) or "")
    return _RESOLUTIONS[action] if action else None


def _held(parsed: Parsed, event_id: str, resolution: Resolution | None) -> HeldLine:
    return HeldLine(parsed.line.seq, parsed.line.decision_id or event_id, resolution)
