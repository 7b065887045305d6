"""Files in, and what an import makes of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data.formats.folder import open_folder
from data.formats.importing import Importer, ImportReport
from data.formats.items import ReadOptions
from data.formats.registry import format_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass
class Taken:
    """What an import left in a folder."""

    report: ImportReport
    added: dict[str, int]
    folder: Path

    def rows(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / f"{name}.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_bytes().splitlines()]

    @property
    def counts(self) -> tuple[int, int, int, int]:
        it = self.report
        return (it.accepted, it.duplicate, it.held, it.quarantined)

    @property
    def reasons(self) -> list[tuple[str, str, str]]:
        return [(row["code"], row["field"], row["message"]) for row in self.rows("refused")]

    def tiers(self) -> list[dict[str, int]]:
        """Text -> tier of each ranking."""
        texts = {
            it["response_id"]: it["text"] for row in self.rows("sets") for it in row["responses"]
        }
        return [
            {texts[name]: tier for name, tier in row.get("tiers", {}).items()}
            for row in self.rows("rankings")
        ]


Take = Callable[..., Taken]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Import rows (or bytes) into tmp_path / "out", as the command does."""

    def import_it(
        rows: object,
        form: str = "auto",
        *,
        name: str = "rows.jsonl",
        names: dict[str, str] | None = None,
        accept_held: bool = False,
        **options: Any,
    ) -> Taken:
        path = tmp_path / name
        if isinstance(rows, Path):
            path = rows
        elif isinstance(rows, bytes):
            path.write_bytes(rows)
        else:
            assert isinstance(rows, list)
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            path.write_text("".join(lines), encoding="utf-8")
        out = tmp_path / "out"
        with open_folder(out, NOW) as folder:
            importer = Importer(folder, names=names, accept_held=accept_held)
            report = importer.take(path, format_of(path, form), ReadOptions(**options))
            folder.add_best_responses()
            added = folder.commit()
        assert report.read == sum(
            (report.accepted, report.duplicate, report.held, report.quarantined)
        )
        return Taken(report=report, added=added, folder=out)

    return import_it
