"""The times of a parsed row: two moments with a time zone, and how long someone was at it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from data.fields import require_integer, require_text, shorten
from data.jsonl import RowError

CLOCK_SKEW = timedelta(minutes=5)

_MAX_MS = 2**32 - 1


def check_times(row: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime, int]:
    """Return started_at, submitted_at and active_ms of a row; both moments in UTC.

    Args:
        row: A row with these fields.
        now: The clock of this machine, with a time zone.

    Raises:
        RowError: BAD_TYPE, BAD_TIME, FUTURE_TIME, TIME_ORDER or BAD_DURATION.
    """
    started_at, submitted_at = _time(row, "started_at"), _time(row, "submitted_at")
    latest = now + CLOCK_SKEW
    for name, at in (("started_at", started_at), ("submitted_at", submitted_at)):
        if at > latest:
            message = f"{name} is {at.isoformat()}, more than 5 minutes after the server clock"
            raise RowError("FUTURE_TIME", name, message)
    if submitted_at < started_at:
        raise RowError("TIME_ORDER", "submitted_at", "submitted before it was started")
    active_ms = require_integer(row, "active_ms")
    if not 0 <= active_ms <= _MAX_MS:
        raise RowError("BAD_DURATION", "active_ms", f"active_ms is {active_ms}")
    if timedelta(milliseconds=active_ms) > submitted_at - started_at:
        raise RowError("BAD_DURATION", "active_ms", "active time is longer than wall time")
    return started_at, submitted_at, active_ms


def _time(row: Mapping[str, Any], name: str) -> datetime:
    text = require_text(row, name)
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise RowError("BAD_TIME", name, f"{name} is not a time: {shorten(text)}") from None
    raise RowError("BAD_TIME", name, f"{name} has no time zone: {shorten(text)}")
