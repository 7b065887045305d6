"""Checkpoints of a stage: they outlive its death, and go when its artifact is there."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.artifacts import ArtifactStore
from tasks.caching import CacheKey
from tasks.context import StageContext, Summary
from tasks.produce import DAYS_KEPT, Workshop, checkpoints_of, produce, sweep_checkpoints
from tasks.stage import Order, stage_of
from tasks.tracking import Tracker


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """No config."""


Work = Callable[[StageContext], None]


def order(work: Work, key: int = 0) -> Order:
    def train(context: StageContext, config: Nothing) -> Summary:
        """Train."""
        work(context)
        (context.out / "weights").write_text("1")
        return {}

    return Order(
        stage=stage_of(train),
        config=Nothing(),
        seed=0,
        threads=1,
        device="cpu",
        uses_torch=False,
        inputs={},
        key=CacheKey(parts={"key": key}),
    )


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """MLflow is never connected: tracking must not matter here."""
    return Workshop(
        var=tmp_path,
        store=ArtifactStore(root=tmp_path / "artifacts"),
        tracker=Tracker(tmp_path),
        record_artifact=lambda *_: None,
    )


def save(context: StageContext) -> None:
    context.checkpoints.mkdir(parents=True, exist_ok=True)
    (context.checkpoints / "step").write_text("5")


def die(context: StageContext) -> None:
    save(context)
    raise KeyboardInterrupt


def test_they_outlive_a_death_and_go_with_the_artifact(shop: Workshop) -> None:
    # Guards: work that is lost to Ctrl-C; checkpoints that nobody reads again.
    with pytest.raises(KeyboardInterrupt):
        produce(order(die), shop)
    found = []
    produce(order(lambda it: found.append((it.checkpoints / "step").read_text())), shop)
    assert found == ["5"]
    assert list((shop.var / "checkpoints").iterdir()) == []


def test_another_key_has_others(shop: Workshop) -> None:
    # Guards: weights of one config that go on under another.
    with pytest.raises(KeyboardInterrupt):
        produce(order(die), shop)
    produce(order(lambda it: save(it) if not it.checkpoints.exists() else None, key=1), shop)
    assert checkpoints_of(order(die), shop.var).is_dir()
    assert not checkpoints_of(order(die, key=1), shop.var).exists()


def test_a_stage_that_is_made_again_begins_again(shop: Workshop) -> None:
    # Guards: --from that goes on with what it was told to leave.
    with pytest.raises(KeyboardInterrupt):
        produce(order(die), shop)
    found = []
    produce(order(lambda it: found.append(it.checkpoints.exists())), shop, refresh=True)
    assert found == [False]


def test_those_of_a_finished_stage_go_when_it_is_found(shop: Workshop) -> None:
    # Guards: a kill between the artifact and the removal, which left them for ever.
    produce(order(save), shop)
    checkpoints = checkpoints_of(order(save), shop.var)
    checkpoints.mkdir()
    produce(order(die), shop)
    assert not checkpoints.exists()


def test_only_those_of_long_ago_are_swept(tmp_path: Path) -> None:
    # Guards: the checkpoints of a run of last week, or of a long fold, swept away.
    ages = {"given-up": DAYS_KEPT + 1, "last-week": DAYS_KEPT - 1, "fold": DAYS_KEPT + 1}
    for name, days in ages.items():
        checkpoint = tmp_path / "checkpoints" / name / "fold-1" / "step"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
        then = time.time() - days * 86400
        for path in (checkpoint, *checkpoint.parents[:2]):
            os.utime(path, (then, then))
    (tmp_path / "checkpoints" / "fold" / "fold-1" / "step").touch()
    sweep_checkpoints(tmp_path)
    left = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert left == {"last-week", "fold"}
    sweep_checkpoints(tmp_path / "nothing-yet")
