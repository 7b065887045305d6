"""Accounts: tokens and sessions that can be taken away, and names that stay in the inbox."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from data.errors import InputError
from data.inbox import accounts, assignments, batches, events
from data.inbox.connection import open_inbox
from tests.unit.data.inbox.builders import NOW, answer, make_batch, make_task

HOUR = timedelta(hours=1)


@pytest.fixture
def con(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with open_inbox(tmp_path / "inbox.sqlite") as con:
        yield con


def test_a_token_opens_its_account_alone(con: sqlite3.Connection) -> None:
    tokens = {who: accounts.add(con, who, now=NOW) for who in ("ann", "bob")}
    for who, token in tokens.items():
        found = accounts.by_token(con, token)
        assert found is not None
        assert found.annotator_id == who
    for wrong in ("", "ann", tokens["ann"][:-1], tokens["ann"] + "x"):
        assert accounts.by_token(con, wrong) is None


def test_secrets_are_stored_as_hashes(con: sqlite3.Connection) -> None:
    token = accounts.add(con, "ann", now=NOW)
    session = accounts.open_session(con, "ann", now=NOW, lifetime=HOUR)
    stored = "\n".join(con.iterdump())
    assert token not in stored
    assert session not in stored
    assert len(token) == len(session) == 43


def test_a_session_ends_with_its_time_its_closing_or_its_account(con: sqlite3.Connection) -> None:
    accounts.add(con, "ann", now=NOW)

    def open_one() -> str:
        return accounts.open_session(con, "ann", now=NOW, lifetime=HOUR)

    def is_alive(session: str, *, at: timedelta = timedelta()) -> bool:
        return accounts.by_session(con, session, now=NOW + at) is not None

    session = open_one()
    assert is_alive(session, at=0.99 * HOUR)
    assert not is_alive(session, at=HOUR)
    assert not is_alive("x")
    accounts.close_session(con, session)
    assert not is_alive(session)
    session = open_one()
    accounts.rotate(con, "ann")
    assert not is_alive(session)
    session = open_one()
    accounts.disable(con, "ann")
    assert not is_alive(session)
    with pytest.raises(InputError, match="'ann' is disabled"):
        open_one()
    accounts.enable(con, "ann")
    assert not is_alive(session)
    assert is_alive(open_one())


def test_sessions_that_ended_do_not_pile_up(con: sqlite3.Connection) -> None:
    accounts.add(con, "ann", now=NOW)
    for hour in range(5):
        accounts.open_session(con, "ann", now=NOW + hour * HOUR, lifetime=HOUR)
    assert con.execute("select count(*) from session").fetchone()[0] == 1


def test_a_token_ends_when_it_is_rotated_or_the_account_disabled(con: sqlite3.Connection) -> None:
    first = accounts.add(con, "ann", now=NOW)
    second = accounts.rotate(con, "ann")
    assert accounts.by_token(con, first) is None
    assert accounts.by_token(con, second) is not None
    accounts.disable(con, "ann")
    assert accounts.by_token(con, second) is None
    accounts.enable(con, "ann")
    assert accounts.by_token(con, second) is not None


@pytest.mark.parametrize("wrong", ["", "7", "ann@example.com", "ann lee", "李", "a" * 65, "a\n"])
def test_an_id_is_a_pseudonym(con: sqlite3.Connection, wrong: str) -> None:
    with pytest.raises(InputError, match="must not be a name or an address"):
        accounts.add(con, wrong, now=NOW)


def test_mistakes_are_said(con: sqlite3.Connection) -> None:
    accounts.add(con, "ann", now=NOW)
    with pytest.raises(InputError, match="'ann' exists already"):
        accounts.add(con, "ann", now=NOW)
    with pytest.raises(InputError, match="max_per_day is 0"):
        accounts.add(con, "bob", max_per_day=0, now=NOW)
    for action in (accounts.rotate, accounts.disable, accounts.enable):
        with pytest.raises(InputError, match="there is no annotator 'bob'"):
            action(con, "bob")


def test_the_list_has_everybody_and_names_stay_out_of_the_log(con: sqlite3.Connection) -> None:
    accounts.add(con, "ann", name="Ann Lee 李", role="lead", max_per_day=5, now=NOW)
    accounts.add(con, "bob", now=NOW)
    accounts.disable(con, "bob")
    listed = accounts.listing(con)
    assert [(it.annotator_id, it.role, it.name, it.max_per_day, it.is_active) for it in listed] == [
        ("ann", "lead", "Ann Lee 李", 5, True),
        ("bob", "annotator", "", None, False),
    ]
    batches.publish(con, make_batch(), [make_task("s1")], now=NOW)
    given = assignments.next_task(con, "ann", now=NOW)
    assert given is not None
    answer(con, given)
    assert not [it for it in events.read(con) if b"Lee" in it.payload or "Lee" in it.origin]


def test_counts_are_of_each_annotator(con: sqlite3.Connection) -> None:
    for who in ("ann", "bob"):
        accounts.add(con, who, max_per_day=10, now=NOW)
    batches.publish(con, make_batch(), [make_task(f"s{i}", want=2) for i in range(5)], now=NOW)
    for at, outcome in ((-24 * HOUR, "ranked"), (HOUR, "skipped"), (HOUR, "ranked")):
        given = assignments.next_task(con, "ann", now=NOW + at)
        assert given is not None
        reason = {"skip_reason": "language"} if outcome == "skipped" else {}
        answer(con, given, now=NOW + at, outcome=outcome, **reason)
    assignments.next_task(con, "ann", now=NOW + HOUR)
    ann, bob = accounts.counts(con, now=NOW + HOUR)
    assert (ann.done, ann.skipped, ann.open, ann.today, ann.left_today) == (3, 1, 1, 2, 8)
    assert (bob.done, bob.skipped, bob.open, bob.today, bob.left_today) == (0, 0, 0, 0, 10)
    assert accounts.counts_of(con, "ann", now=NOW + HOUR) == ann
