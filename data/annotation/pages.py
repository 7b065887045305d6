"""Templates to HTML. Everything is escaped; nothing a model wrote is ever markup."""

import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from data.annotation.texts import LANGUAGES, Texts, texts_of

# Control characters a reader cannot see, and those that turn the direction of the text around
# them: both can make a text look like another one. Tab and line feed stay what they are.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def render(template: str, texts: Texts, *, status: int = 200, **values: Any) -> Response:
    """Return a template as a page in the language of `texts`."""
    languages = [
        (it, texts_of(it)("language.code"), texts_of(it)("language.name")) for it in LANGUAGES
    ]
    values = {"t": texts, "language": texts.language, "languages": languages, **values}
    return HTMLResponse(_environment().get_template(template).render(values), status_code=status)


def shown(text: str) -> Markup:
    """Show a text of a model: without blank lines around it, hidden characters made visible."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    parts, start = [], 0
    for match in _HIDDEN.finditer(lines):
        code = f"U+{ord(match.group()):04X}"
        mark = Markup('<span class="control">{}</span>').format(code)
        parts += [escape(lines[start : match.start()]), mark]
        start = match.end()
    return Markup("").join([*parts, escape(lines[start:])])


def decimal(value: float) -> str:
    """Show a figure: two decimals for shares and correlations, one for seconds and the like."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def moment(at: datetime) -> str:
    """Show a time in UTC, to the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("data.annotation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "decimal": decimal, "moment": moment}
    return environment
