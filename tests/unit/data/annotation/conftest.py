"""A site with two sets for two people; and tests read a set in a millisecond, and mean it."""

from pathlib import Path

import pytest

from tests.unit.data.annotation.builders import Site, make_site, make_task


@pytest.fixture
def reads_quickly(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold no answer as too fast, except in the test of that."""
    if "too_quick" not in request.node.name:
        monkeypatch.setattr("data.doubts.MIN_MS_PER_WORD", 0)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(
        tmp_path, [make_task(1, want=2), make_task(2, want=2)], ada="annotator", bob="lead"
    )
