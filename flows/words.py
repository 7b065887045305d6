"""How commands and texts are written for the terminal, the same everywhere."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape


def program() -> str:
    """The word that calls us from this shell.

    `rlhf` where the PATH has it, else the path that this process was started by: after `make run`
    nobody has activated the environment.
    """
    script = Path(sys.argv[0])
    if shutil.which("rlhf") or script.name != "rlhf" or not script.is_file():
        return "rlhf"
    path = os.path.relpath(script)
    return shlex.quote(path if os.sep in path else f"./{path}")


def console() -> Console:
    """Stdout; wide enough for our tables where it is no terminal (a pipe counts as 80 columns)."""
    width = None if sys.stdout.isatty() else 120
    return Console(highlight=False, emoji=False, width=width)


def plain(text: str) -> str:
    """Text that may hold any character, safe to print by rich: no control codes, no markup."""
    return escape("".join(c if c.isprintable() or c == "\n" else "?" for c in text))
