"""A training that adds 1 each step, for tests of what happens around the steps."""

import math
from collections.abc import Container
from dataclasses import asdict

import torch

from rlhf_core.guard import Guard
from rlhf_core.resume import Metrics, TrainingState


class Toy:
    """Its weight counts the steps that were taken; those of `bad` are not finite."""

    num_steps = 30

    def __init__(self, bad: Container[int] = ()) -> None:
        self.step, self.guard, self.bad = 0, Guard(), bad
        self.weight = torch.zeros(2)
        self.executed: list[int] = []

    def advance(self) -> Metrics:
        self.executed.append(self.step)
        if self.guard.admits([math.nan if self.step in self.bad else 0.0]):
            self.weight += 1
        self.step += 1
        return {"weight": float(self.weight[0]), "guard/skipped": float(self.guard.skipped)}

    def state(self) -> TrainingState:
        return TrainingState({"weight": self.weight}, {"step": self.step, **asdict(self.guard)})

    def restore(self, state: TrainingState) -> None:
        numbers = dict(state.numbers)
        self.weight, self.step = state.tensors["weight"].clone(), numbers.pop("step")
        self.guard = Guard(**numbers)
