"""The lead's handlers: how far the batches are, who agrees with whom, what waits for a decision.

Figures and held rankings are what the pipeline wrote into the inbox when it last read the rankings;
the page never opens the store. What is not there yet is said to be missing.
"""

import json
from typing import Any

from starlette.responses import Response

from data.annotation.security import PageError
from data.annotation.visit import Visit, redirect
from data.errors import InputError
from data.inbox import accounts, batches, decisions, mirror
from data.inbox.batches import Progress
from data.inbox.connection import InboxBusyError

ACTIONS = ("accept", "discard")


def show_lead(visit: Visit) -> Response:
    """Everything a lead looks at, the newest batch first."""
    found = batches.list_progress(visit.con, now=visit.now)
    people = [
        {
            "annotator_id": it.account.annotator_id,
            "name": it.account.name,
            "role": it.account.role,
            "done": it.done,
            "today": it.today,
            "cap": it.account.max_per_day,
            "active": it.account.is_active,
        }
        for it in accounts.counts(visit.con, now=visit.now)
    ]
    decided = visit.query("decided")
    return visit.page(
        "lead.html",
        batches=[_batch(visit, it) for it in reversed(found)],
        people=people,
        decided=decided if decided in ACTIONS else "",
    )


def decide(visit: Visit) -> Response:
    """Accept or discard a held ranking."""
    action = visit.field("decision")
    if action not in ACTIONS:
        raise PageError(400, "error.form")
    try:
        decisions.decide(
            visit.con,
            batch_id=visit.field("batch_id"),
            ranking_id=visit.field("event_id"),
            action="accept" if action == "accept" else "discard",
            by=visit.annotator.annotator_id,
            now=visit.now,
        )
    except InboxBusyError:
        raise
    except InputError:
        raise PageError(404, "error.not_found") from None
    return redirect(f"/lead?decided={action}")


def refresh(visit: Visit) -> Response:
    """Ask the pipeline, which watches the inbox, to read the rankings now."""
    batch_id = visit.field("batch_id")
    if batches.find_batch(visit.con, batch_id) is None:
        raise PageError(404, "error.not_found")
    asked = json.dumps({"at": visit.now.isoformat()})
    mirror.put(visit.con, f"refresh:{batch_id}", asked, now=visit.now)
    return redirect("/lead")


def _batch(visit: Visit, progress: Progress) -> dict[str, Any]:
    batch = progress.batch
    is_in_work = batch.finished_at is None and batch.withdrawn_at is None
    statistics = _mirrored(visit, f"statistics:{batch.batch_id}") or {}
    refreshed = _mirrored(visit, f"refresh:{batch.batch_id}")
    figures = statistics.get("figures", {})
    annotators = statistics.get("annotators", [])
    columns = list(dict.fromkeys(name for it in annotators for name in it["figures"]))
    return {
        "batch_id": batch.batch_id,
        "name": batch.name,
        "state": _state(visit, progress),
        "have": progress.have,
        "wanted": batch.wanted,
        "tasks": progress.tasks,
        "tasks_done": progress.tasks_done,
        "in_work": progress.in_work,
        "count_held": progress.held,
        "published_at": batch.published_at,
        "deadline": batch.deadline,
        "held": _held(visit, batch.batch_id),
        "figures": {name: it for name, it in figures.items() if it["value"] is not None},
        "references": statistics.get("references", {}),
        "annotators": annotators,
        "annotator_figures": columns,
        "can_refresh": progress.tasks > 0 and is_in_work,
        "refresh": _refresh_state(refreshed),
    }


def _refresh_state(asked: dict[str, Any] | None) -> str:
    if asked is None or "done_at" not in asked:
        return "" if asked is None else "waits"
    return "failed" if asked.get("exit_code") else "done"


def _state(visit: Visit, progress: Progress) -> str:
    if progress.batch.finished_at is not None:
        return "finished"
    if progress.batch.withdrawn_at is not None:
        return "withdrawn"
    if not progress.tasks:
        return "not_for_people"
    return "gate_open" if progress.is_open(visit.now) else "open"


def _held(visit: Visit, batch_id: str) -> list[dict[str, Any]]:
    """Held rows, with the decision that the pipeline has not applied yet."""
    rows = _mirrored(visit, f"held:{batch_id}") or []
    decided = decisions.read_decisions(visit.con, batch_id)
    absent: dict[str, Any] = {"messages": [], "responses": []}
    return [
        {**absent, **row, "decision": decided.get(row["event_id"], "")}
        for row in rows
        if not row.get("resolution")
    ]


def _mirrored(visit: Visit, key: str) -> Any:
    text = mirror.get(visit.con, key)
    return None if text is None else json.loads(text)
