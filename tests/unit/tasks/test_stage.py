"""Reading a stage off its body, its log, its live metrics, and which failures are retried."""

import errno
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from data.errors import InputError
from tasks.context import StageContext, Summary
from tasks.engine import is_transient
from tasks.metrics_feed import MetricsFeed, read_metrics
from tasks.outputs import first_rows, read_rows
from tasks.progress import progress_line, track
from tasks.stage import stage_of
from tasks.stage_log import StageLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    rate: float


def body(
    context: StageContext, config: Sections, *, split: Path, extra: Path | None = None
) -> Summary:
    """Do it. And more."""
    return {}


def test_the_signature_is_the_wiring() -> None:
    stage = stage_of(body)
    assert stage.name == "body"
    assert stage.inputs == {"split": False, "extra": True}
    assert stage.about == "Do it. And more."


def test_a_wrong_signature_is_refused() -> None:
    def no_config(context: StageContext, *, split: Path) -> Summary:
        return {}

    def positional(context: StageContext, config: Sections, split: Path) -> Summary:
        return {}

    for wrong in (no_config, positional):
        with pytest.raises(TypeError, match=wrong.__name__):
            stage_of(wrong)


def test_metrics_that_are_not_finite_become_null(tmp_path: Path) -> None:
    log = StageLog(tmp_path)
    log.metrics(3, {"loss": 0.5, "bad": float("inf")})
    lines, _ = read_metrics(tmp_path / "metrics.jsonl")
    assert lines[0]["values"] == {"loss": 0.5, "bad": None}
    assert lines[0]["step"] == 3


def test_tables_keep_fifty_rows(tmp_path: Path) -> None:
    StageLog(tmp_path).table("many", [{"n": n} for n in range(80)])
    assert len(json.loads((tmp_path / "tables" / "many.json").read_text())) == 50


def test_read_metrics_leaves_a_half_written_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st')
    lines, offset = read_metrics(path)
    assert lines == [{"step": 1}]
    path.write_text('{"step": 1}\n{"step": 2}\n')
    assert read_metrics(path, offset)[0] == [{"step": 2}]


def test_the_feed_sends_everything_by_the_end(tmp_path: Path) -> None:
    log, sent = StageLog(tmp_path), []
    with MetricsFeed(tmp_path / "metrics.jsonl", sent.extend):
        for step in range(5):
            log.metrics(step, {"loss": 1.0})
    assert [line["step"] for line in sent] == [0, 1, 2, 3, 4]


def test_rows_of_jsonl_and_parquet(tmp_path: Path) -> None:
    import polars as pl

    (tmp_path / "a.jsonl").write_text('{"x": 1}\n{"x": 2}\n')
    pl.DataFrame({"x": [1, 2, 3]}).write_parquet(tmp_path / "b.parquet")
    (tmp_path / "c.json").write_text("{}")
    counts = [read_rows(tmp_path / name) for name in ("a.jsonl", "b.parquet", "c.json")]
    assert counts == [2, 3, None]
    assert first_rows(tmp_path / "b.parquet") == [{"x": 1}, {"x": 2}, {"x": 3}]


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (OSError(errno.EIO, "I/O error"), True),
        (OSError(errno.ESTALE, "stale"), True),
        (OSError(errno.ENOSPC, "disk full"), False),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (InputError("bad row"), False),
        (ValueError("a lock in the text"), False),
    ],
)
def test_only_transient_failures_are_retried(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


def test_progress_yields_everything_and_says_time_left() -> None:
    assert list(track(range(3), "counting")) == [0, 1, 2]
    assert list(track(iter("ab"), "letters", total=2)) == ["a", "b"]
    assert progress_line("training", 10, 40, 5.0) == "training 10/40, 5 s, about 15 s left"
    assert progress_line("reading", 10, None, 5.0) == "reading 10, 5 s"
