"""How the end of a run is worded where a stage failed."""

import errno

import pytest

from data.errors import InputError
from flows.outcome import StageFailedError, StageRow
from flows.run_command import EXIT_FAILED, EXIT_MISTAKE, _explain
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
