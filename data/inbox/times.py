"""Times as the inbox stores them: UTC, ISO 8601, always with microseconds, so that text sorts."""

from datetime import UTC, datetime


def to_text(at: datetime) -> str:
    """Write a time that has a time zone."""
    if at.tzinfo is None:
        raise ValueError(f"the time {at.isoformat()} has no time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def from_text(text: str) -> datetime:
    """Read a time written by to_text."""
    return datetime.fromisoformat(text)


def midnight_before(at: datetime) -> datetime:
    """Return when the day of a time began, in its own time zone."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
