"""The annotator's handlers: the next set, its draft, its answer, and the last answer again."""

import json
import uuid
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import JSONResponse, Response

from data.annotation.answers import (
    LETTERS,
    OUTCOMES,
    SKIP_REASONS,
    Answer,
    close_gaps,
    ranking_row,
    shown_order,
    whole_number,
)
from data.annotation.security import PageError
from data.annotation.visit import Visit, redirect
from data.inbox import accounts, assignments, batches, events
from data.inbox.assignments import Assignment, Result
from data.inbox.picking import nobody_has_more
from data.jsonl import RowError, parse_object
from data.rankings import KnownRankings, SetFacts, event_id_of, outcome_of, validate_ranking

SAVED = ("ranked", "not_rankable", "skipped", "gaps", "late", "held", "revised", "draft", "trained")
MAX_COUNT = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A set with what stands in its form.

    Attributes:
        revision: Of the answer that this form sends; 1 is the first.
        supersedes: Event id of the answer that it replaces, empty for the first.
        is_draft: Whether the answer was kept from an earlier visit.
    """

    assignment: Assignment
    answer: Answer
    revision: int
    supersedes: str
    is_draft: bool


def show_task(visit: Visit) -> Response:
    """The set to rank now, or why there is none."""
    annotator_id = visit.annotator.annotator_id
    lease = visit.settings.lease_seconds
    assignment = assignments.next_task(visit.con, annotator_id, now=visit.now, lease_seconds=lease)
    notices = [it for it in visit.query("saved").split(",") if it in SAVED]
    if assignment is None:
        return _empty(visit, notices)
    if notices and batches.progress(visit.con, assignment.batch_id, now=visit.now).gate(visit.now):
        notices.append("enough")
    return _form(visit, _filled_first(assignment), notices=notices)


def show_last(visit: Visit) -> Response:
    """The last answer again, to be changed."""
    found = assignments.last_answered(visit.con, visit.annotator.annotator_id)
    if found is None or found.answer_id is None:
        raise PageError(404, "error.no_last")
    row, _ = _stored_answer(visit, found.batch_id, found.answer_id)
    filled = Filled(
        assignment=found,
        answer=row,
        revision=found.revision + 1,
        supersedes=found.answer_id,
        is_draft=False,
    )
    return _form(visit, filled)


def save_draft(visit: Visit) -> Response:
    """Keep the form as it stands. A revision has no draft: the stored answer is still there."""
    assignment = _assignment(visit)
    if visit.field("revision") != "1":
        raise PageError(400, "error.form")
    # Our script counts its drafts; what a person saves by the button is the newest there is.
    rev: int | None = assignment.draft_rev + 1
    if visit.wants_json:
        rev = whole_number(visit.field("rev"), MAX_COUNT)
    if rev is None:
        raise PageError(400, "error.form")
    answer = Answer.of_form(visit.form, len(assignment.display_order))
    is_mine = assignments.save_draft(
        visit.con,
        batch_id=assignment.batch_id,
        set_id=assignment.task.set_id,
        annotator_id=assignment.annotator_id,
        draft=answer.to_json(_started_at(assignment)),
        rev=rev,
        now=visit.now,
        lease_seconds=visit.settings.lease_seconds,
    )
    if not is_mine:
        raise PageError(409, "error.lost")
    if rev <= assignment.draft_rev:
        raise PageError(409, "error.stale")
    return JSONResponse({"saved": True}) if visit.wants_json else redirect("/?saved=draft")


def submit(visit: Visit) -> Response:
    """Check an answer as the ingest will, store it, and go on to the next set."""
    outcome = visit.field("action")
    event_id = event_id_of({"event_id": visit.field("event_id")})
    revision = whole_number(visit.field("revision"), MAX_COUNT)
    if outcome not in OUTCOMES or event_id is None or revision is None:
        raise PageError(400, "error.form")
    assignment = _assignment(visit)
    filled = Filled(
        assignment=assignment,
        answer=Answer.of_form(visit.form, len(assignment.display_order)),
        revision=revision,
        supersedes=visit.field("supersedes"),
        is_draft=False,
    )
    problems = _problems(visit, filled, outcome)
    if problems:
        return _form(visit, filled, problems=problems, status=422)
    row = ranking_row(
        assignment,
        filled.answer,
        event_id=event_id,
        outcome=outcome,
        revision=filled.revision,
        supersedes=filled.supersedes or None,
        started_at=_first_started_at(visit, filled),
        now=visit.now,
    )
    try:
        is_held = _is_held(row, filled, visit.now)
    except RowError as error:
        text = visit.texts("problem.other", message=error.message, code=error.code)
        return _form(visit, filled, problems=[("", text)], status=422)
    result = assignments.submit(
        visit.con, batch_id=assignment.batch_id, row=row, is_held=is_held, now=visit.now
    )
    # An annotator is not taught how to pass the check; a lead needs to know what to decide.
    is_told = is_held and visit.annotator.role == "lead"
    batch = batches.find_batch(visit.con, assignment.batch_id)
    is_trained = batch is not None and batch.finished_at is not None
    return _after(result, filled, outcome, is_told_of_hold=is_told, is_trained=is_trained)


def _after(
    result: Result, filled: Filled, outcome: str, *, is_told_of_hold: bool, is_trained: bool
) -> Response:
    if result is Result.NOT_HANDED_OUT:
        raise PageError(409, "error.lost")
    if result is Result.CONFLICT:
        raise PageError(409, "error.done")
    saved = ["revised" if filled.revision > 1 else outcome]
    tiers = filled.answer.tiers
    if outcome == "ranked" and close_gaps(tiers) != tiers:
        saved.append("gaps")
    if result is Result.LATE:
        saved.append("late")
    if is_told_of_hold:
        saved.append("held")
    if is_trained:
        saved.append("trained")
    return redirect(f"/?saved={','.join(saved)}")


def _assignment(visit: Visit) -> Assignment:
    """The assignment that a form names, if it still shows the same texts in the same order."""
    found = assignments.find(
        visit.con, visit.field("batch_id"), visit.field("set_id"), visit.annotator.annotator_id
    )
    if found is None or visit.field("shown") != shown_order(found):
        raise PageError(409, "error.lost")
    return found


def _problems(visit: Visit, filled: Filled, outcome: str) -> list[tuple[str, str]]:
    """What a person can mend, as (letter, text); the checks of the ingest come after."""
    if outcome == "skipped" and filled.answer.skip_reason not in SKIP_REASONS:
        return [("", visit.texts("problem.no_reason"))]
    tiers = filled.answer.tiers
    if outcome != "ranked" or (filled.assignment.allow_top and tiers):
        return []
    letters = LETTERS[: len(filled.assignment.display_order)]
    return [
        (letter, visit.texts("problem.incomplete", letter=letter))
        for letter in letters
        if letter not in tiers
    ]


def _is_held(row: dict[str, object], filled: Filled, now: datetime) -> bool:
    """Check a row as the ingest does; whether it waits for a lead.

    Whether the revision fits and the event is new is the inbox's to say, in its transaction.
    """
    assignment, task = filled.assignment, filled.assignment.task
    facts = SetFacts(
        response_ids=frozenset(assignment.display_order),
        generators=frozenset(it.generator for it in task.responses),
        count_words=task.count_words,
        shown_sha256=task.shown_sha256,
        allow_top=assignment.allow_top,
    )
    known = KnownRankings(
        now=now,
        new_role=None,
        sets={task.set_id: facts},
        annotators={assignment.annotator_id: ("annotator", True)},
    )
    if filled.supersedes:
        earlier = {filled.revision - 1: filled.supersedes}
        known.answers[(task.set_id, assignment.annotator_id)] = earlier
    try:
        validate_ranking(row, known)
    except RowError as error:
        if outcome_of(error) != "held":
            raise
        return True
    return False


def _filled_first(assignment: Assignment) -> Filled:
    answer = Answer()
    if assignment.draft is not None:
        answer, _ = Answer.of_draft(assignment.draft)
    return Filled(
        assignment=assignment,
        answer=answer,
        revision=1,
        supersedes="",
        is_draft=assignment.draft is not None,
    )


def _started_at(assignment: Assignment) -> datetime:
    """When the set was first in hand; a lease that was renewed does not begin it again."""
    if assignment.draft is None:
        return assignment.handed_out_at
    return min(Answer.of_draft(assignment.draft)[1], assignment.handed_out_at)


def _first_started_at(visit: Visit, filled: Filled) -> datetime:
    if filled.supersedes:
        return _stored_answer(visit, filled.assignment.batch_id, filled.supersedes)[1]
    return _started_at(filled.assignment)


def _stored_answer(visit: Visit, batch_id: str, event_id: str) -> tuple[Answer, datetime]:
    event = events.find(visit.con, batch_id, event_id)
    if event is None:
        raise PageError(409, "error.lost")
    row = parse_object(event.payload)
    return Answer.of_row(row), datetime.fromisoformat(row["started_at"])


def _form(
    visit: Visit,
    filled: Filled,
    *,
    notices: list[str] | None = None,
    problems: list[tuple[str, str]] | None = None,
    status: int = 200,
) -> Response:
    assignment, answer = filled.assignment, filled.answer
    annotator_id = assignment.annotator_id
    counts = accounts.counts_of(visit.con, annotator_id, now=visit.now)
    texts = {it.response_id: it.text for it in assignment.task.responses}
    cards = [
        {
            "letter": letter,
            "text": texts[response_id],
            "tier": answer.tiers.get(letter),
            "quality": answer.quality.get(letter),
            "flags": answer.flags.get(letter, []),
        }
        for letter, response_id in zip(LETTERS, assignment.display_order, strict=False)
    ]
    return visit.page(
        "task.html",
        status=status,
        here="/last" if filled.supersedes else "/",
        notices=notices or [],
        problems=problems or [],
        js_texts=json.dumps(visit.texts.starting("js."), ensure_ascii=False),
        batch_id=assignment.batch_id,
        set_id=assignment.task.set_id,
        shown=shown_order(assignment),
        event_id=str(uuid.uuid4()),
        revision=filled.revision,
        supersedes=filled.supersedes,
        rev=assignment.draft_rev,
        restored=filled.is_draft,
        active_ms="" if answer.active_ms is None else answer.active_ms,
        skip_reason=answer.skip_reason,
        allow_top=assignment.allow_top,
        messages=assignment.task.messages,
        cards=cards,
        flags=visit.texts.starting("flag.").items(),
        skip_reasons=SKIP_REASONS,
        guideline_version=assignment.task.guideline_version,
        done=counts.done,
        left=assignments.count_left(visit.con, annotator_id, now=visit.now),
        today=counts.left_today,
        has_last=counts.done > 0,
    )


def _why_open(waiting: list[batches.Progress], visit: Visit) -> str:
    """Why somebody who has nothing left still waits for batches, or "closed" without any."""
    if not waiting:
        return "closed"
    if all(it.waits_for_lead for it in waiting):
        return "lead"
    is_idle = not any(it.in_work for it in waiting) and visit.annotator.role == "lead"
    return "stuck" if is_idle and nobody_has_more(visit.con, visit.now) else "open"


def _empty(visit: Visit, notices: list[str]) -> Response:
    counts = accounts.counts_of(visit.con, visit.annotator.annotator_id, now=visit.now)
    waiting = [
        it
        for it in batches.list_progress(visit.con, now=visit.now)
        if it.tasks and it.batch.finished_at is None and it.batch.withdrawn_at is None
    ]
    why = "none"
    if counts.left_today == 0:
        why = "cap"
    elif waiting:
        why = _why_open([it for it in waiting if not it.is_open(visit.now)], visit)
    elif counts.done:
        why = "closed"
    return visit.page(
        "empty.html", notices=notices, done=counts.done, why=why, has_last=counts.done > 0
    )
