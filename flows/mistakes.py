"""How a command tells a user's mistake: one message, exit code 2, never a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from data.errors import InputError


@contextmanager
def plain_mistakes() -> Iterator[None]:
    """Print an InputError of the block as one line and end the command with exit code 2."""
    try:
        yield
    except InputError as error:
        sys.stderr.write(f"rlhf: {error}\n")
        raise typer.Exit(2) from None
