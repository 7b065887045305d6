"""Checkpoints on a disk that fails, in a process that dies: whole, or not there."""

import errno
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf_core.resume import Checkpoints, TrainingState, run
from tests.unit.rlhf_core.toy_training import Toy


class KilledError(BaseException):
    """The process ends here."""


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def walk(checkpoints: Checkpoints, num_steps: int) -> Toy:
    """A toy that is stopped after `num_steps`."""
    toy = Toy()
    steps = run(toy, checkpoints)
    list(islice(steps, num_steps))
    steps.close()
    return toy


def loaded_step(checkpoints: Checkpoints) -> int | None:
    """Step of what is loaded, after a look whether all of it is of that step."""
    found = checkpoints.load()
    if found is None:
        return None
    state, history = found
    step = int(state.numbers["step"])
    assert torch.equal(state.tensors["weight"], torch.full((2,), float(step)))
    assert history == [{"weight": float(i + 1), "guard/skipped": 0.0} for i in range(step)]
    return step


def test_the_newest_stays_and_steps_behind_it_are_not_taken_again(tmp_path: Path) -> None:
    # Guards: checkpoints that fill the disk; a training that begins again.
    checkpoints = Checkpoints(tmp_path, every=10)
    walk(checkpoints, 25)
    assert [name[:13] for name in files(tmp_path)] == ["step-00000020"]
    toy = Toy()
    assert [it["weight"] for it in run(toy, checkpoints)] == list(range(1, 31))
    assert toy.executed == list(range(20, 30))
    again = Toy()
    assert len(list(run(again, checkpoints))) == 30
    assert again.executed == []


def test_the_last_step_is_kept_whatever_the_number(tmp_path: Path) -> None:
    # Guards: the end of a training that is done again while what follows it is resumed.
    assert len(list(run(Toy(), Checkpoints(tmp_path, every=7)))) == 30
    assert loaded_step(Checkpoints(tmp_path)) == 30


def flip(position: float) -> Callable[[bytes], bytes]:
    def damage(content: bytes) -> bytes:
        place = int(position * (len(content) - 1))
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    return damage


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda _: None,
    "empty": lambda _: b"",
    "first half": lambda content: content[: len(content) // 2],
    "all but a byte": lambda content: content[:-1],
    "a byte more": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    **{f"bit flipped at {n} %": flip(n / 100) for n in range(0, 101, 4)},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_said_and_passed_over(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Guards: other numbers or metrics than those that were saved; an older one that is not found.
    checkpoints = Checkpoints(tmp_path, every=10)
    walk(checkpoints, 10)
    older = next(tmp_path.iterdir())
    content = older.read_bytes()
    walk(checkpoints, 20)
    newest = next(tmp_path.iterdir())
    broken = DAMAGES[damage](newest.read_bytes())
    newest.unlink() if broken is None else newest.write_bytes(broken)
    assert loaded_step(checkpoints) is None
    assert (str(newest) in caplog.text) == (broken is not None)
    older.write_bytes(content)
    assert loaded_step(checkpoints) == 10
    toy = Toy()
    assert [it["weight"] for it in run(toy, checkpoints)] == list(range(1, 31))
    assert toy.executed == list(range(10, 30))
    assert len(files(tmp_path)) == 1


def test_with_nothing_whole_it_begins_again(tmp_path: Path) -> None:
    # Guards: damage that ends a run, or a fresh start that is hidden behind the old one.
    checkpoints = Checkpoints(tmp_path, every=10)
    walk(checkpoints, 20)
    next(tmp_path.iterdir()).write_bytes(b"")
    (tmp_path / "new.part").write_bytes(b"half")
    toy = Toy()
    steps = run(toy, checkpoints)
    next(steps)
    assert loaded_step(checkpoints) == 0
    list(steps)
    assert toy.executed == list(range(30))
    assert [name[:13] for name in files(tmp_path)] == ["step-00000030"]


CALLS = ["write", "fsync", "rename", "fsync", "unlink"]


def kill_at(monkeypatch: pytest.MonkeyPatch, place: int, *, is_done: bool) -> list[tuple[str, str]]:
    """Make the `place`-th call to the disk the last one; `is_done` says whether it still happens.

    Returns:
        The calls as they come: name, and the file's name.
    """
    calls: list[tuple[str, str]] = []

    def watched(name: str, call: Any) -> Any:
        def inner(first: Any, *rest: Any, **named: Any) -> Any:
            path = Path(f"/proc/self/fd/{first}").readlink() if name == "fsync" else first
            calls.append((name, path.name))
            is_last = len(calls) == place + 1
            if is_last and name == "write":
                call(first, rest[0][: len(rest[0]) // 2])
            elif is_done or not is_last:
                call(first, *rest, **named)
            if is_last:
                raise KilledError

        return inner

    monkeypatch.setattr(Path, "write_bytes", watched("write", Path.write_bytes))
    for name in ("fsync", "rename", "unlink"):
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    return calls


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("place", range(len(CALLS)))
def test_a_kill_at_any_call_leaves_one_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, is_done: bool
) -> None:
    # Guards: the old one gone before the new one is there.
    checkpoints = Checkpoints(tmp_path, every=10)
    walk(checkpoints, 10)
    with monkeypatch.context() as patch:
        kill_at(patch, place, is_done=is_done)
        with pytest.raises(KilledError):
            walk(checkpoints, 20)
    is_renamed = place > 2 or (place == 2 and is_done)
    assert loaded_step(checkpoints) == (20 if is_renamed else 10)
    assert [it["weight"] for it in run(Toy(), checkpoints)] == list(range(1, 31))
    assert len(files(tmp_path)) == 1


def test_the_old_one_goes_when_the_new_one_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guards: a rename that a power cut undoes after the old checkpoint was removed.
    checkpoints = Checkpoints(tmp_path, every=10)
    walk(checkpoints, 10)
    (old,) = files(tmp_path)
    calls = kill_at(monkeypatch, -1, is_done=True)
    walk(checkpoints, 20)
    names = ["new.part", "new.part", "new.part", tmp_path.name, old]
    assert calls == list(zip(CALLS, names, strict=True))


def test_a_full_disk_is_a_plain_error_that_costs_nothing(tmp_path: Path) -> None:
    # Guards: an error in the words of safetensors; a checkpoint lost to it.
    checkpoints = Checkpoints(tmp_path, every=10)
    walk(checkpoints, 10)
    (tmp_path / "new.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        walk(checkpoints, 20)
    assert caught.value.errno == errno.ENOSPC
    assert loaded_step(checkpoints) == 10
    (tmp_path / "new.part").unlink()
    assert [it["weight"] for it in run(Toy(), checkpoints)] == list(range(1, 31))


@pytest.mark.parametrize(("name", "size"), [("weight", 3), ("bias", 2)])
def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path, name: str, size: int) -> None:
    # Guards: pages of torch's words about sizes, or a training that is half restored.
    checkpoints = Checkpoints(tmp_path)
    walk(checkpoints, 10)
    other = Toy()
    other.state = lambda: TrainingState({name: torch.zeros(size)}, {})  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=f"{tmp_path} holds a checkpoint of another .*{name} diff"):
        next(run(other, checkpoints))
    assert other.weight.sum() == 0
