"""Runs, stops, resumes and kills trainings, each in a process of its own.

    python -m tests.unit.rlhf_core.resume_driver FOLDER whole NAME...     never stopped
    python -m tests.unit.rlhf_core.resume_driver FOLDER resumed NAME...   stopped after each step
    python -m tests.unit.rlhf_core.resume_driver FOLDER killed NAME...    killed again and again

Importing torch takes seconds, so the processes are forks of this one, which has imported it and
done nothing else: no random number, no thread, no tensor. Two run at a time.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
import torch._dynamo  # The first optimiser imports it, which takes longer than the training.

from rlhf_core.resume import Checkpoints, Training, run
from tests.unit.rlhf_core.resumable import NUM_STEPS, TRAININGS, outcome, poisoned

NUM_PROCESSES = 2
NUM_KILLS = 6
SECONDS_TO_KILL = {"language": 0.2, "reward": 0.4, "ppo": 1.2}


class Case(NamedTuple):
    """A training, how often it saves, and the steps whose gradients are not finite."""

    kind: str
    every: int
    bad: frozenset[int] = frozenset()

    def build(self, start: int) -> Training:
        torch.set_num_threads(1)
        return poisoned(TRAININGS[self.kind](start), self.bad)


# Four updates in a row that are not finite end in a return to the last checkpoint; PPO has two a
# step. Those before and after are merely skipped.
BAD = frozenset({3, 12, 13, 14, 15, 22})
CASES = {
    "language": Case("language", 1),
    "reward": Case("reward", 1),
    "ppo": Case("ppo", 1),
    "language-rolled-back": Case("language", 5, BAD),
    "reward-rolled-back": Case("reward", 5, BAD),
    "ppo-rolled-back": Case("ppo", 5, frozenset({3, 12, 13, 22})),
}


def in_child(work: Callable[[], None]) -> int:
    """Start `work` in a fork; its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - the parent must never run on in the child
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def do_all(works: Iterable[Callable[[], None]]) -> None:
    """Do each of `works` in a fork, a few at a time."""
    running, failed = 0, 0
    for work in works:
        if running == NUM_PROCESSES:
            failed |= os.wait()[1]
            running -= 1
        in_child(work)
        running += 1
    for _ in range(running):
        failed |= os.wait()[1]
    if failed:
        sys.exit("a training failed")


def write(path: Path, training: Training, metrics: list[dict[str, float]]) -> None:
    path.write_text(json.dumps(outcome(training, metrics)), encoding="utf-8")


def whole(folder: Path, name: str) -> None:
    """A run that is never stopped; its checkpoint folder is copied after every step."""
    case = CASES[name]
    training, live = case.build(0), folder / name / "live"
    metrics = []
    for step, values in enumerate(run(training, Checkpoints(live, case.every)), start=1):
        metrics.append(values)
        shutil.copytree(live, folder / name / f"after-{step}")
    write(folder / name / "whole.json", training, metrics)


def stops(folder: Path, name: str) -> list[int]:
    """Steps after which the checkpoint folder was another than before them."""
    found: dict[frozenset[str], int] = {}
    for step in range(1, NUM_STEPS + 1):
        names = frozenset(p.name for p in (folder / name / f"after-{step}").iterdir())
        found.setdefault(names, step)
    return list(found.values())


def resumed(folder: Path, name: str, step: int) -> None:
    """Go on from the checkpoint folder as it was after `step`, in a world with other randomness."""
    torch.manual_seed(step)
    random.seed(step)
    training = CASES[name].build(start=1)
    checkpoints = Checkpoints(folder / name / f"after-{step}", CASES[name].every)
    write(folder / name / f"resumed-{step}.json", training, list(run(training, checkpoints)))


def killed(folder: Path, name: str) -> None:
    """Kill the run at random moments, start it again each time, and let the last one finish."""

    def go_on() -> None:
        training = CASES[name].build(start=0)
        steps = run(training, Checkpoints(folder / name / "killed", every=10))
        write(folder / name / "killed.json", training, list(steps))

    moments, kills = random.Random(name), 0  # noqa: S311
    while kills < NUM_KILLS:
        child = in_child(go_on)
        time.sleep(moments.uniform(0.3, 1.0) * SECONDS_TO_KILL[name])
        os.kill(child, signal.SIGKILL)
        ended_by = os.waitpid(child, 0)[1]
        if ended_by != signal.SIGKILL:
            break
        kills += 1
    else:
        _, ended_by = os.waitpid(in_child(go_on), 0)
    if ended_by or not kills:
        sys.exit(f"{name}: ended by {ended_by} after {kills} kills")
    (folder / name / "kills.json").write_text(str(kills), encoding="utf-8")


def main(folder: Path, what: str, names: list[str]) -> None:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
    if what == "resumed":
        order = [(name, step) for name in names for step in stops(folder, name)]
        do_all(lambda name=name, step=step: resumed(folder, name, step) for name, step in order)
    else:
        work = {"whole": whole, "killed": killed}[what]
        do_all(lambda name=name: work(folder, name) for name in names)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
