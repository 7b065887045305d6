"""How the end of a run is worded where a stage failed."""

import errno

import pytest

from data.errors import InputError
from flows.outcome import StageFailedError, StageRow
from flows.run_command import EXIT_FAILED, EXIT_MISTAKE, _explain, from_behind_gate
from rlhf_core.guard import DivergedError

DIVERGED = DivergedError("4 steps in a row had a loss that is not finite; lower the learning rate")
FULL = OSError(errno.ENOSPC, "No space left on device")


def explain(cause: Exception) -> int:
    rows = [StageRow(stage="sft", state="failed"), StageRow(stage="evaluate", state="not run")]
    error = StageFailedError("sft", cause, rows)
    error.__cause__ = cause
    return _explain(error, "rlhf run --config demo")


@pytest.mark.parametrize(
    ("cause", "code"),
    [(DIVERGED, EXIT_FAILED), (FULL, EXIT_FAILED), (InputError("rank more"), EXIT_MISTAKE)],
)
def test_what_a_person_can_mend_is_said_without_a_traceback(
    cause: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    # Guards: a diverged training or a full disk that ends in pages of Python.
    assert explain(cause) == code
    text = capsys.readouterr().err
    assert f"Stage sft cannot go on: {cause}\n" in text
    assert "continue with:\n  rlhf run --config demo\n" in text
    assert "Traceback" not in text


def test_a_fault_of_ours_shows_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    # Guards: a bug that nobody can report.
    assert explain(RuntimeError("odd")) == EXIT_FAILED
    text = capsys.readouterr().err
    assert "RuntimeError: odd" in text
    assert "Stage sft failed: " in text


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("", ""),
        ("sft", "build_pairs"),
        ("collect_rankings", "build_pairs"),
        ("train_policy", "train_policy"),
    ],
)
def test_what_shall_be_made_again_behind_the_gate_is_not_forgotten(
    first: str, expected: str
) -> None:
    # Guards: `--from train_policy` that people's ranking turns into a run from the cache.
    rows = [{"stage": "collect_rankings", "state": "made"}]
    behind = ("build_pairs", "train_reward_model", "train_dpo", "train_policy")
    assert from_behind_gate(rows, first) == ""
    rows += [{"stage": name, "state": "waiting"} for name in behind]
    assert from_behind_gate(rows, first) == expected
