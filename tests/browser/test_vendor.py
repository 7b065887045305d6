"""What we ship of others is what they published, with its licence."""

from importlib.resources import files
from pathlib import Path

import pytest

from tests.browser.conftest import VENDOR, sha256_of, vendored

STATIC = Path(str(files("data") / "annotation" / "static"))
PUBLISHED = {
    STATIC / "vendor/sortable/Sortable.min.js": (
        "bf4241bc73fef7f11c59a283a69fe8051cdd31c6d8ff5a2b9ba219e7831fcf76"
    ),
    VENDOR / "axe/axe.min.js": "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
}


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.name)
def test_a_vendored_file_is_unchanged(path: Path) -> None:
    assert sha256_of(path) == PUBLISHED[path]
    assert vendored(path.parent) == {path.name: PUBLISHED[path]}
    assert "icense" in (path.parent / "LICENSE").read_text(encoding="utf-8")


def test_only_the_known_files_are_vendored() -> None:
    own = {"LICENSE", "VERSION", "LICENSE-3RD-PARTY.txt", *(path.name for path in PUBLISHED)}
    for folder in (STATIC / "vendor", VENDOR):
        assert {path.name for path in folder.rglob("*") if path.is_file()} <= own
