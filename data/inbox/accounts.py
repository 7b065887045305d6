"""Accounts of annotators, their tokens and sessions.

Names stay here: events, exports and the ledger carry the annotator's id alone. Tokens and session
ids are random and stored as hashes.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Role = Literal["annotator", "lead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An annotator.

    Attributes:
        annotator_id: The pseudonym that rankings carry.
        role: A lead ranks like any annotator, sees the lead's page and decides on held rankings.
        name: For people who manage the work; never leaves the inbox.
        max_per_day: Answers after which no more tasks are handed out that day; None has no limit.
        is_active: Whether the account may sign in and get tasks.
    """

    annotator_id: str
    role: Role
    name: str
    max_per_day: int | None
    is_active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorCounts:
    """What an annotator has done, from the inbox alone.

    Attributes:
        done: Answers, skips included, discarded ones not.
        skipped: Skips among them.
        open: Tasks in hand now.
        today: Answers since midnight of `now`'s time zone, discarded ones too.
        held: Answers that wait for a lead's decision.
        discarded: Answers that a lead discarded.
        late: Answers that came after their lease had ended.
    """

    account: Account
    done: int
    skipped: int
    open: int
    today: int
    held: int
    discarded: int
    late: int

    @property
    def left_today(self) -> int | None:
        """Answers until the daily cap, None without a cap."""
        raise NotImplementedError


def add(
    con: sqlite3.Connection,
    annotator_id: str,
    *,
    role: Role = "annotator",
    name: str = "",
    now: datetime,
    max_per_day: int | None = None,
) -> str:
    """Make an account.

    Returns:
        Its token. It is shown once: the inbox keeps a hash.

    Raises:
        InputError: If the id is taken or is no pseudonym (a letter, then letters, digits, _ . -).
    """
    raise NotImplementedError


def rotate(con: sqlite3.Connection, annotator_id: str) -> str:
    """Give a new token; the old one and all sessions end.

    Raises:
        InputError: If there is no such account.
    """
    raise NotImplementedError


def disable(con: sqlite3.Connection, annotator_id: str) -> None:
    """End an account's sessions and refuse its token; its answers stay, its open task lapses.

    Raises:
        InputError: If there is no such account.
    """
    raise NotImplementedError


def enable(con: sqlite3.Connection, annotator_id: str) -> None:
    """Let a disabled account sign in again.

    Raises:
        InputError: If there is no such account.
    """
    raise NotImplementedError


def listing(con: sqlite3.Connection) -> list[Account]:
    """Return all accounts, the oldest first."""
    raise NotImplementedError


def by_id(con: sqlite3.Connection, annotator_id: str) -> Account | None:
    """Return an account, active or not."""
    raise NotImplementedError


def by_token(con: sqlite3.Connection, token: str) -> Account | None:
    """Return the active account of a token, None for any other token."""
    raise NotImplementedError


def open_session(
    con: sqlite3.Connection, annotator_id: str, *, now: datetime, lifetime: timedelta
) -> str:
    """Begin a session of an active account; returns its random id, for a cookie."""
    raise NotImplementedError


def by_session(con: sqlite3.Connection, session_id: str, *, now: datetime) -> Account | None:
    """Return the active account of a session that has not ended, else None."""
    raise NotImplementedError


def close_session(con: sqlite3.Connection, session_id: str) -> None:
    """End a session; one that is unknown is ended already."""
    raise NotImplementedError


def counts(con: sqlite3.Connection, *, now: datetime) -> list[AnnotatorCounts]:
    """Return what each annotator has done, the oldest account first."""
    raise NotImplementedError


def counts_of(con: sqlite3.Connection, annotator_id: str, *, now: datetime) -> AnnotatorCounts:
    """Return what one annotator has done.

    Raises:
        InputError: If there is no such account.
    """
    raise NotImplementedError
