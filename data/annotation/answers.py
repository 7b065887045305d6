"""A sent form as an answer, and an answer as a ranking/1 row.

The form names responses by the letter under which they stood, never by id. The ranks of a form may
have gaps; those of a row may not, so gaps are closed here.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from data.annotation.security import Form
from data.annotation.settings import UI_VERSION
from data.identity import sha256_text
from data.inbox.assignments import Assignment

LETTERS = "ABCDEFGHI"
OUTCOMES = ("ranked", "not_rankable", "skipped")
SKIP_REASONS = ("language", "expertise", "broken_text", "unsafe", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What stands in a form; drafts are kept as this.

    Attributes:
        tiers: Letter -> rank as chosen, gaps and all; a letter without a rank is absent.
        active_ms: Time in use that the script counted; None where no script ran.
    """

    tiers: dict[str, int] = field(default_factory=dict)
    quality: dict[str, int] = field(default_factory=dict)
    flags: dict[str, list[str]] = field(default_factory=dict)
    skip_reason: str = ""
    active_ms: int | None = None

    def to_json(self, started_at: datetime) -> str:
        """Write a draft; `started_at` is when the set was first in hand."""
        return json.dumps({**asdict(self), "started_at": started_at.isoformat()})

    @classmethod
    def of_draft(cls, draft: str) -> tuple[Self, datetime]:
        """Read a draft: the answer, and when the set was first in hand."""
        parts = json.loads(draft)
        started_at = datetime.fromisoformat(parts.pop("started_at"))
        return cls(**parts), started_at

    @classmethod
    def of_form(cls, form: Form, count: int) -> Self:
        """Read a form of `count` responses; values that cannot be are left out, as never sent."""
        letters = LETTERS[:count]
        return cls(
            tiers=_numbers(form, "tier", letters, count),
            quality=_numbers(form, "quality", letters, 7),
            flags={it: flags for it in letters if (flags := form.get(f"flag.{it}"))},
            skip_reason=form.get("skip_reason", [""])[-1],
            active_ms=whole_number(form.get("active_ms", [""])[-1], 2**32 - 1),
        )

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """Read a ranking/1 row that this page wrote."""
        letters = dict(zip(row["display_order"], LETTERS, strict=False))
        named = {
            name: {letters[it]: value for it, value in row.get(name, {}).items()}
            for name in ("tiers", "quality", "flags")
        }
        reason = row.get("skip_reason") or ""
        return cls(**named, skip_reason=reason, active_ms=row["active_ms"])


def whole_number(text: str, most: int) -> int | None:
    """Return a number from 0 to `most` as forms send it, None for any other text."""
    is_number = text.isascii() and text.isdigit() and len(text) < 12
    return number if is_number and (number := int(text)) <= most else None


def close_gaps(tiers: Mapping[str, int]) -> dict[str, int]:
    """Return ranks in the same order without gaps: 1, 3, 3 becomes 1, 2, 2."""
    dense = {tier: place for place, tier in enumerate(sorted(set(tiers.values())), start=1)}
    return {letter: dense[tier] for letter, tier in tiers.items()}


def shown_order(assignment: Assignment) -> str:
    """Return a hash of the texts in their order, so that a form says what it was filled in for."""
    return sha256_text("\n".join([assignment.task.shown_sha256, *assignment.display_order]))


def ranking_row(
    assignment: Assignment,
    answer: Answer,
    *,
    event_id: str,
    outcome: str,
    revision: int,
    supersedes: str | None,
    started_at: datetime,
    now: datetime,
) -> dict[str, Any]:
    """Return the answer as a ranking/1 row; the times are this machine's, not the browser's."""
    ids = dict(zip(LETTERS, assignment.display_order, strict=False))
    wall = now - started_at
    active = wall if answer.active_ms is None else timedelta(milliseconds=answer.active_ms)
    row: dict[str, Any] = {
        "schema": "ranking/1",
        "event_id": event_id,
        "set_id": assignment.task.set_id,
        "annotator_id": assignment.annotator_id,
        "revision": revision,
        "outcome": outcome,
        "display_order": list(assignment.display_order),
        "shown_sha256": assignment.task.shown_sha256,
        "touched": bool(answer.tiers),
        "started_at": started_at.isoformat(),
        "submitted_at": now.isoformat(),
        "active_ms": max(0, min(wall, active) // timedelta(milliseconds=1)),
        "ui_version": UI_VERSION,
    }
    if supersedes is not None:
        row["supersedes"] = supersedes
    if answer.quality:
        row["quality"] = {ids[it]: score for it, score in answer.quality.items()}
    if answer.flags:
        row["flags"] = {ids[it]: flags for it, flags in answer.flags.items()}
    if outcome == "skipped":
        row["skip_reason"] = answer.skip_reason
    if outcome == "ranked":
        tiers = close_gaps(answer.tiers)
        is_partial = assignment.allow_top and 0 < len(tiers) < len(assignment.display_order)
        row["coverage"] = "top" if is_partial else "full"
        row["tiers"] = {ids[it]: tier for it, tier in tiers.items()}
    return row


def _numbers(form: Form, name: str, letters: str, most: int) -> dict[str, int]:
    sent = {it: whole_number(form.get(f"{name}.{it}", [""])[-1], most) for it in letters}
    return {letter: number for letter, number in sent.items() if number}
