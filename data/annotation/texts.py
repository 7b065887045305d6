"""Every word that the page says, by key and language; and which language a browser gets.

Omitted on purpose: plural forms. The texts are worded so that a number needs none.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

LANGUAGES = ("en", "zh")


class Texts:
    """The texts of one language; called with a key, it fills in the values and returns the text."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._by_key: Mapping[str, str] = _read(f"{language}.json")

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of a key.

        Raises:
            KeyError: If there is no such key, or a value is missing.
        """
        return self._by_key[key].format_map(values)

    def known(self, key: str, otherwise: str) -> str:
        """Return the text of a key that other parts of the system made, or `otherwise`."""
        return self._by_key.get(key, otherwise)

    def starting(self, prefix: str) -> dict[str, str]:
        """Return the texts whose key begins with a prefix, by the rest of the key, not filled."""
        return {
            key.removeprefix(prefix): text
            for key, text in self._by_key.items()
            if key.startswith(prefix)
        }

    def guidelines(self) -> dict[str, Any]:
        """Return the guidelines: version, sections, and what each flag means."""
        return _read(f"guidelines.{self.language}.json")


@cache
def texts_of(language: str) -> Texts:
    """Return the texts of a language of LANGUAGES."""
    return Texts(language)


def choose_language(asked: str | None, kept: str | None, accepted: str) -> str:
    """Return the language of an answer.

    Args:
        asked: What the address asks for.
        kept: What the cookie remembers.
        accepted: The header Accept-Language. Its order is taken, its weights are not read:
            browsers send the most wanted first.
    """
    wanted = [asked, kept, *(part.strip()[:2].lower() for part in accepted.split(","))]
    return next((it for it in wanted if it in LANGUAGES), LANGUAGES[0])


@cache
def _read(name: str) -> dict[str, Any]:
    text = (files("data") / "annotation" / "texts" / name).read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed
