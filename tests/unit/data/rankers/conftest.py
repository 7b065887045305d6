"""What all tests of the judge have: an inbox, and waits that are short."""

import pytest

from data.rankers import judge_calls
from tests.unit.data.rankers.kept import Inbox


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_calls, "FIRST_WAIT", 0.01)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()
