"""Every word of the page is there in both languages, and every word that is there is used."""

import re
import string
from importlib.resources import files
from pathlib import Path

import pytest

from data.annotation.answers import SKIP_REASONS
from data.annotation.texts import LANGUAGES, choose_language, texts_of
from data.tiers import FLAGS

FOLDER = Path(str(files("data") / "annotation"))
SOURCES = [
    path
    for pattern in ("*.py", "templates/*.html", "static/*.js")
    for path in sorted(FOLDER.glob(pattern))
]
# Keys that are put together from a known beginning and a word of a closed list.
MADE = (
    *("flag.", "skip.", "figure.", "held.", "empty.", "saved.", "lead.role.", "lead.decision."),
    *("lead.decided.", "task.role.", "lead.refresh_", "js."),
)


def all_keys(language: str) -> dict[str, str]:
    return texts_of(language).starting("")


def fields_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_both_languages_have_the_same_keys_with_the_same_values() -> None:
    english, chinese = all_keys("en"), all_keys("zh")
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert fields_of(text) == fields_of(chinese[key]), key
        assert text.strip() == text != "", key
        assert chinese[key].strip() == chinese[key] != "", key


def test_chinese_is_chinese() -> None:
    """A text that was never translated would be equal."""
    names = {"figure.alpha", "figure.tau_b", "lead.count"}
    english, chinese = all_keys("en"), all_keys("zh")
    assert {key for key in english if english[key] == chinese[key]} == names


def test_every_key_that_the_code_names_is_there_and_every_key_is_named() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    named = set(re.findall(r"[\"']((?:[a-z]+)\.[a-z_.]+)[\"']", source))
    keys = set(all_keys("en"))
    prefixes = {key.partition(".")[0] + "." for key in keys}
    missing = {it for it in named if it.startswith(tuple(prefixes)) and it not in keys | set(MADE)}
    assert {it for it in missing if not it.endswith((".html", ".js", ".css"))} == set()
    # The state of a batch is a word of lead_page._state.
    states = {"open", "finished", "withdrawn", "gate_open", "not_for_people"}
    assert {it for it in keys - named if not it.startswith(MADE)} == {
        f"lead.{it}" for it in states
    } - named


def test_the_script_says_what_is_there_and_nothing_else() -> None:
    script = (FOLDER / "static" / "rank.js").read_text(encoding="utf-8")
    quoted = set(re.findall(r"\"(\w+)\"", script))
    said = set(re.findall(r"(?:say|fill)\(\"(\w+)\"", script))
    keys = set(texts_of("en").starting("js."))
    assert said <= keys <= quoted


@pytest.mark.parametrize("language", LANGUAGES)
def test_flags_and_skip_reasons_have_texts(language: str) -> None:
    texts = texts_of(language)
    assert set(texts.starting("flag.")) == FLAGS == set(texts.guidelines()["flags"])
    assert set(texts.starting("skip.")) == set(SKIP_REASONS)


def test_the_guidelines_have_one_shape_and_name_the_criteria() -> None:
    english, chinese = (texts_of(language).guidelines() for language in LANGUAGES)
    assert english["version"] == chinese["version"]
    assert english["flags"].keys() == chinese["flags"].keys()
    shape = [
        [(name, len(value)) for name, value in section.items() if name != "title"]
        for section in english["sections"]
    ]
    assert shape == [
        [(name, len(value)) for name, value in section.items() if name != "title"]
        for section in chinese["sections"]
    ]
    criteria = [term for section in english["sections"] for term, _ in section.get("terms", [])]
    assert criteria[:3] == ["Relevance", "Informativeness", "Harm"]


@pytest.mark.parametrize(
    ("asked", "kept", "accepted", "language"),
    [
        (None, None, "", "en"),
        (None, None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, None, "fr-FR, en;q=0.5", "en"),
        (None, "zh", "en-GB", "zh"),
        ("en", "zh", "zh-CN", "en"),
        ("../secret", None, "zh", "zh"),
    ],
)
def test_the_language_is_the_first_one_that_is_known(
    asked: str | None, kept: str | None, accepted: str, language: str
) -> None:
    assert choose_language(asked, kept, accepted) == language
