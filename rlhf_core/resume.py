"""Trainings that can be stopped at any step and go on elsewhere, equal to the bit.

A training is an object with a step; its state is named tensors and numbers, written as one
safetensors file. Randomness is derived from (seed, step), so no generator is part of it. `run`
walks the steps, writes a checkpoint now and then, and goes back to it when the numbers explode.

Omitted on purpose: the state of other processes (there is one), and a change of thread count or
library between stop and start: rounding differs then; the pipeline's cache key excludes it.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import safetensors.torch
from safetensors import safe_open
from torch import Tensor, nn

from rlhf_core.guard import MAX_SKIPPED, DivergedError, Guard

logger = logging.getLogger(__name__)

Metrics: TypeAlias = dict[str, float]
Number: TypeAlias = Any  # int, float, bool or None: what JSON keeps exactly
Item = TypeVar("Item")


class TrainingState(NamedTuple):
    """Everything that decides how a training goes on.

    Attributes:
        tensors: Weights, optimiser moments, averages; names begin with what they belong to.
        numbers: Step, coefficients, counters.
    """

    tensors: dict[str, Tensor]
    numbers: dict[str, Number]


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the model's weights."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def under(prefix: str, items: Mapping[str, Item]) -> dict[str, Item]:
    """The items with "`prefix`/" before their names."""
    return {f"{prefix}/{name}": item for name, item in items.items()}


def part(prefix: str, items: Mapping[str, Item]) -> dict[str, Item]:
    """The items that `under` named with `prefix`, by their own names."""
    start = f"{prefix}/"
    return {name.removeprefix(start): it for name, it in items.items() if name.startswith(start)}


class Training(Protocol):
    """One step at a time.

    Attributes:
        step: Steps taken.
        guard: Counts steps that were not finite.
    """

    step: int
    guard: Guard

    @property
    def num_steps(self) -> int:
        """Steps in all."""

    def advance(self) -> Metrics:
        """Take one step; raises DivergedError when it cannot."""

    def state(self) -> TrainingState:
        """The state after `step` steps; tensors may alias the live ones."""

    def restore(self, state: TrainingState) -> None:
        """Make `state` the training's own."""


class Checkpoints:
    """A folder with the newest checkpoint of one training and the metrics up to it.

    One file, step-STEP-SHA.safetensors, written under another name, fsynced and renamed; SHA begins
    the sha256 of its bytes. So a kill at any moment leaves the old one, the new one or both.

    A folder serves one training: same config, data, seed, threads and libraries. Whoever names the
    folder sees to that; only another shape is noticed.
    """

    def __init__(self, directory: Path, every: int = 10) -> None:
        self.directory = directory
        self.every = every

    def is_due(self, training: Training) -> bool:
        """Whether to save now: every so often and at the end, but only after a step that was taken.

        Weights that just made a loss explode are nothing to go back to.
        """
        is_time = training.step % self.every == 0 or training.step == training.num_steps
        return is_time and training.guard.in_a_row == 0

    def save(self, training: Training, history: list[Metrics]) -> None:
        """Write a checkpoint beside the last one and make it durable, then remove the last one.

        Raises:
            OSError: If the disk is full or refuses.
        """
        state = training.state()
        # Cloned: safetensors refuses tensors that share memory, as tied embeddings do.
        tensors = {name: t.detach().cpu().contiguous().clone() for name, t in state.tensors.items()}
        record = json.dumps({"numbers": state.numbers, "history": history})
        content = safetensors.torch.save(tensors, metadata={"record": record})
        name = f"step-{training.step:08d}-{_digest(content)}.safetensors"
        self.directory.mkdir(parents=True, exist_ok=True)
        scratch = self.directory / "new.part"
        scratch.write_bytes(content)
        _fsync(scratch)
        scratch.rename(self.directory / name)
        _fsync(self.directory)
        for old in self._found():
            if old.name != name:
                old.unlink()

    def load(self) -> tuple[TrainingState, list[Metrics]] | None:
        """The newest whole checkpoint and its metrics; None without one.

        A damaged one is said and passed over: the steps are taken again and give the same.
        """
        for path in reversed(self._found()):
            if path.stem.endswith(_digest(path.read_bytes())):
                return _read(path)
            logger.warning("checkpoint %s is damaged; going on without it", path)
        return None

    def _found(self) -> list[Path]:
        """Checkpoints, damaged or not, by their step."""
        return sorted(self.directory.glob("step-*.safetensors"))


def run(training: Training, checkpoints: Checkpoints | None = None) -> Iterator[Metrics]:
    """The metrics of each step; those that a checkpoint remembers come first, without work.

    When steps explode, the training goes back to the last checkpoint and past the batches that did
    it; "guard/rollbacks" counts that.

    Raises:
        DivergedError: If it explodes again before the next checkpoint, or has none.
        ValueError: If the checkpoint is of a model with other shapes.
    """
    history: list[Metrics] = []
    if checkpoints:
        history = _go_on(training, checkpoints)
        yield from history
    failure: DivergedError | None = None  # since the last checkpoint
    while training.step < training.num_steps:
        following = training.step + 1
        try:
            metrics = training.advance()
            if following == training.num_steps or (checkpoints and checkpoints.is_due(training)):
                _refuse_infinite(training)
        except DivergedError as error:
            if checkpoints is None or failure:
                raise
            metrics, failure = _roll_back(training, checkpoints, following), error
        history.append(metrics)
        if checkpoints and checkpoints.is_due(training):
            checkpoints.save(training, history)
            failure = None
        yield metrics
    if failure:
        raise failure


def _refuse_infinite(training: Training) -> None:
    """Raise DivergedError where a tensor of the state is not finite.

    Finite gradients can do that, and only a next step's loss would show it.
    """
    for name, tensor in training.state().tensors.items():
        if not tensor.isfinite().all():
            raise DivergedError(
                f"{name} is not finite after step {training.step}; lower the learning rate"
            )


def _go_on(training: Training, checkpoints: Checkpoints) -> list[Metrics]:
    """Bring `training` to the last checkpoint, or make one of its start; the metrics so far."""
    found = checkpoints.load()
    if found is None:
        checkpoints.save(training, [])
        return []
    state, history = found
    for name, tensor in training.state().tensors.items():
        if name not in state.tensors or state.tensors[name].shape != tensor.shape:
            raise ValueError(
                f"{checkpoints.directory} holds a checkpoint of another training ({name} differs); "
                "name another folder"
            )
    training.restore(state)
    return history


def _roll_back(training: Training, checkpoints: Checkpoints, following: int) -> Metrics:
    """Restore the last checkpoint, but go on with step `following`; the failed step's metrics."""
    found = checkpoints.load()
    if found is None:
        raise DivergedError(f"no checkpoint in {checkpoints.directory} to go back to")
    guard = training.guard
    training.restore(found[0])
    training.step = following
    # Counted on: the first step after this has to be finite.
    training.guard = replace(guard, in_a_row=MAX_SKIPPED, rollbacks=guard.rollbacks + 1)
    return {
        "guard/skipped": float(guard.skipped),
        "guard/rollbacks": float(training.guard.rollbacks),
    }


def _read(path: Path) -> tuple[TrainingState, list[Metrics]]:
    with safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()["record"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    return TrainingState(tensors, record["numbers"]), record["history"]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
