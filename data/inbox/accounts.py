"""Accounts of annotators, their tokens and sessions.

Names stay here: events, exports and the ledger carry the annotator's id alone. Tokens and session
ids are random and stored as hashes.
"""

import re
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from data.errors import InputError
from data.identity import sha256_text
from data.inbox.connection import path_of, write
from data.inbox.times import from_text, midnight_before, to_text
from data.queries import load

_PSEUDONYM = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)

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
        cap = self.account.max_per_day
        return None if cap is None else max(0, cap - self.today)


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
    if not _PSEUDONYM.fullmatch(annotator_id):
        raise InputError(
            f"annotator {annotator_id!r}: the id goes into exports and must not be a name or an"
            " address; begin with a letter, then up to 63 letters, digits, _ . or -, such as ann_07"
        )
    if max_per_day is not None and max_per_day < 1:
        raise InputError(f"max_per_day is {max_per_day}; give 1 or more")
    token = secrets.token_urlsafe(32)
    row = {
        "annotator_id": annotator_id,
        "role": role,
        "name": name,
        "token_sha256": sha256_text(token),
        "max_per_day": max_per_day,
        "created_at": to_text(now),
    }
    with write(con):
        if by_id(con, annotator_id) is not None:
            raise InputError(f"annotator {annotator_id!r} exists already; choose another id")
        con.execute(load("inbox/insert_annotator"), row)
    return token


def rotate(con: sqlite3.Connection, annotator_id: str) -> str:
    """Give a new token; the old one and all sessions end.

    Raises:
        InputError: If there is no such account.
    """
    token = secrets.token_urlsafe(32)
    parameters = {"annotator_id": annotator_id, "token_sha256": sha256_text(token)}
    with write(con):
        _known(con, annotator_id)
        con.execute(load("inbox/update_token"), parameters)
        con.execute(load("inbox/delete_sessions"), {"annotator_id": annotator_id})
    return token


def disable(con: sqlite3.Connection, annotator_id: str) -> None:
    """End an account's sessions and refuse its token; its answers stay, its open task lapses.

    Raises:
        InputError: If there is no such account.
    """
    with write(con):
        _known(con, annotator_id)
        parameters = {"annotator_id": annotator_id, "is_active": False}
        con.execute(load("inbox/update_active"), parameters)
        con.execute(load("inbox/delete_sessions"), {"annotator_id": annotator_id})


def enable(con: sqlite3.Connection, annotator_id: str) -> None:
    """Let a disabled account sign in again.

    Raises:
        InputError: If there is no such account.
    """
    with write(con):
        _known(con, annotator_id)
        parameters = {"annotator_id": annotator_id, "is_active": True}
        con.execute(load("inbox/update_active"), parameters)


def listing(con: sqlite3.Connection) -> list[Account]:
    """Return all accounts, the oldest first."""
    return _find(con)


def by_id(con: sqlite3.Connection, annotator_id: str) -> Account | None:
    """Return an account, active or not."""
    return next(iter(_find(con, annotator_id=annotator_id)), None)


def by_token(con: sqlite3.Connection, token: str) -> Account | None:
    """Return the active account of a token, None for any other token."""
    found = _find(con, token_sha256=sha256_text(token))
    return found[0] if found and found[0].is_active else None


def open_session(
    con: sqlite3.Connection, annotator_id: str, *, now: datetime, lifetime: timedelta
) -> str:
    """Begin a session of an active account; returns its random id, for a cookie."""
    session_id = secrets.token_urlsafe(32)
    row = {
        "session_sha256": sha256_text(session_id),
        "annotator_id": annotator_id,
        "ends_at": to_text(now + lifetime),
    }
    with write(con):
        if not _known(con, annotator_id).is_active:
            raise InputError(f"annotator {annotator_id!r} is disabled; enable the account first")
        con.execute(load("inbox/delete_session"), {"session_sha256": None, "now": to_text(now)})
        con.execute(load("inbox/insert_session"), row)
    return session_id


def by_session(con: sqlite3.Connection, session_id: str, *, now: datetime) -> Account | None:
    """Return the active account of a session that has not ended, else None."""
    parameters = {"session_sha256": sha256_text(session_id), "now": to_text(now)}
    row = con.execute(load("inbox/find_session"), parameters).fetchone()
    account = by_id(con, row["annotator_id"]) if row else None
    return account if account is not None and account.is_active else None


def close_session(con: sqlite3.Connection, session_id: str) -> None:
    """End a session; one that is unknown is ended already."""
    parameters = {"session_sha256": sha256_text(session_id), "now": None}
    with write(con):
        con.execute(load("inbox/delete_session"), parameters)


def counts(con: sqlite3.Connection, *, now: datetime) -> list[AnnotatorCounts]:
    """Return what each annotator has done, the oldest account first."""
    return _counts(con, listing(con), None, now)


def counts_of(con: sqlite3.Connection, annotator_id: str, *, now: datetime) -> AnnotatorCounts:
    """Return what one annotator has done.

    Raises:
        InputError: If there is no such account.
    """
    return _counts(con, [_known(con, annotator_id)], annotator_id, now)[0]


def _known(con: sqlite3.Connection, annotator_id: str) -> Account:
    account = by_id(con, annotator_id)
    if account is None:
        raise InputError(f"{path_of(con)}: there is no annotator {annotator_id!r}; check the id")
    return account


def _find(
    con: sqlite3.Connection, *, annotator_id: str | None = None, token_sha256: str | None = None
) -> list[Account]:
    parameters = {"annotator_id": annotator_id, "token_sha256": token_sha256}
    return [
        Account(
            annotator_id=row["annotator_id"],
            role=row["role"],
            name=row["name"],
            max_per_day=row["max_per_day"],
            is_active=bool(row["is_active"]),
            created_at=from_text(row["created_at"]),
        )
        for row in con.execute(load("inbox/find_annotators"), parameters)
    ]


def _counts(
    con: sqlite3.Connection, accounts: list[Account], annotator_id: str | None, now: datetime
) -> list[AnnotatorCounts]:
    parameters = {
        "annotator_id": annotator_id,
        "now": to_text(now),
        "midnight": to_text(midnight_before(now)),
    }
    found = {}
    for row in con.execute(load("inbox/count_by_annotator"), parameters):
        numbers = dict(row)
        found[numbers.pop("annotator_id")] = numbers
    return [AnnotatorCounts(account=it, **found[it.annotator_id]) for it in accounts]
