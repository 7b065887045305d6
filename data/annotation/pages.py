"""Templates to HTML. Everything is escaped; nothing a model wrote is ever markup."""

import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from data.annotation.texts import LANGUAGES, Texts, texts_of

# What a reader cannot see can make a text look like another one, or hide words in it: control
# characters (tab and line feed stay what they are), those without width, those that turn the
# direction of the text around them, and the tags of Unicode. The two joiners stay where scripts and
# emoji need them, which is never after ASCII.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\U000e0000-\U000e007f]|(?<![^\x00-\x7f])[\u200c\u200d]"
)


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
