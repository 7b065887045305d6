"""What the terminal shows: the command that works there, notices, texts as they are."""

import sys
from pathlib import Path
from typing import Any

import pytest

from flows import doctor
from flows.notices import COUNTS, notices
from flows.tables import print_rows
from flows.words import program


def row(stage: str, why: str = "", **summary: Any) -> dict[str, Any]:
    named = {"stage": stage, "state": "made", "seconds": 1.0, "artifact": "", "why": why}
    return {**named, "summary": summary}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Our script outside the PATH, called from the folder above its environment."""
    path = tmp_path / "env" / "bin" / "rlhf"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    return path


def test_off_the_path_the_script_itself_is_named(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program() == "env/bin/rlhf"
    monkeypatch.chdir(script.parent)
    assert program() == "./rlhf"


def test_on_the_path_or_without_a_script_it_is_one_word(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert program() == "rlhf"
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", str(script.parent))
    assert program() == "rlhf"


def test_only_what_is_not_zero_is_noticed() -> None:
    rows = [
        row("split", notes="2 repeated prompts were left out"),
        row("sft", texts_cut=0, loss=1.5),
        row("generate_responses", dropped_prompts=2, smaller_sets=1),
        row(
            "collect_rankings",
            rankings_quarantined=3,
            rankings_held=1,
            first_reason="TIER_GAP: ranks leave a gap",
            mutual_agreement=0.724,
        ),
    ]
    assert notices(rows) == [
        "split: 2 repeated prompts were left out",
        "generate_responses: 2 prompts dropped for want of two distinct responses; "
        "1 set with fewer responses than asked for",
        "collect_rankings: 3 rankings quarantined; 1 ranking held for a lead's decision; "
        "first reason: TIER_GAP: ranks leave a gap; "
        "annotators agree with each other on 72 % of pairs",
    ]
    assert notices([row("sft", **dict.fromkeys(COUNTS, 0), notes="", mutual_agreement=None)]) == []


def test_a_stage_counts_what_is_noticed() -> None:
    """A key that no stage returns would be silent for ever."""
    root = Path(doctor.__file__).parents[1]
    source = "".join(path.read_text(encoding="utf-8") for path in (root / "tasks").glob("*.py"))
    nouns = ("sets_", "rankings_")  # put together from a noun and an outcome
    assert all(f'"{key}"' in source for key in COUNTS if not key.startswith(nouns))


def test_tables_show_texts_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([row("split", why="[/x] :smile:", notes="[/y]")])
    text = capsys.readouterr().out
    assert "[/x] :smile:" in text
    assert "split: [/y]" in text


def test_doctor_shows_a_path_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RLHF_VAR", str(tmp_path))
    found = doctor.Check(name="var/", found="[/odd]", mend="[bold]")
    monkeypatch.setattr(doctor, "all_checks", lambda _: [found])
    assert doctor.print_checks() == 1
    text = capsys.readouterr().out
    assert "[/odd]" in text
    assert "[bold]" in text
