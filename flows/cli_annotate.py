"""The commands around the ranking page: `rlhf annotate` and `rlhf annotators ...`."""

from pathlib import Path
from typing import Annotated

import typer

from flows.mistakes import plain_mistakes

annotators_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help=(
        "Who may rank in the page: make accounts and their links.\n\n"
        "An annotator is known by a pseudonym, which goes into rankings and exports; the name "
        "stays in var/inbox.sqlite. A link signs one person in and is as good as a password. It is "
        "shown once, for only its hash is kept; `rotate` makes another."
    ),
)
AnnotatorId = Annotated[
    str,
    typer.Argument(metavar="ID", help="A pseudonym: a letter, then letters, digits, _ . or -"),
]


HostOption = Annotated[
    str,
    typer.Option(
        help="Address to listen on. Other than this machine's own it also needs --tokens and "
        "--behind-tls-proxy."
    ),
]
TokensOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write personal links to this file, which only you may read, and not to the "
        "terminal, whose output may be logged.",
    ),
]
ProxyOption = Annotated[
    str,
    typer.Option(
        "--behind-tls-proxy",
        metavar="URL",
        help="An https proxy in front shows the page at this address, such as "
        "https://rank.example.org; links and cookies are made for it.",
    ),
]
LeaseOption = Annotated[
    float,
    typer.Option(
        metavar="MINUTES",
        help="How long a set stays reserved for the person who has it. Each draft renews it.",
    ),
]
LinksOption = Annotated[
    bool,
    typer.Option(
        "--links", help="Make new personal links for everybody; the old ones stop working."
    ),
]


def annotate(
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8765,
    tokens: TokensOption = None,
    proxy_url: ProxyOption = "",
    lease_minutes: LeaseOption = 30.0,
    *,
    links: LinksOption = False,
) -> None:
    """Serve the page in which people rank responses, until Ctrl-C.

    `rlhf run` with `rank.ranker = "human"` publishes sets of responses and ends. This page shows
    them, keeps every answer in var/inbox.sqlite, and starts the rest of the run as soon as there
    are enough rankings or the deadline has passed. Stop it at any time: nothing is lost.

    The first start makes the account `me`, a lead, and prints its link. Others come in with
    `rlhf annotators add`.

    Examples:
    * `rlhf annotate` serves on this machine alone, at http://127.0.0.1:8765.
    * `rlhf annotate --links` prints a new link for everybody, when one was lost.
    * `rlhf annotate --tokens links.txt --behind-tls-proxy https://rank.example.org` serves a team.

    Exit codes: 0 stopped by Ctrl-C, 2 a mistake in what was given.
    """
    from flows.annotate_command import serve_annotation

    with plain_mistakes():
        serve_annotation(
            host=host,
            port=port,
            tokens=tokens,
            proxy_url=proxy_url,
            links=links,
            lease_minutes=lease_minutes,
        )


@annotators_app.command("add")
def add(
    annotator_id: AnnotatorId,
    *,
    name: Annotated[
        str, typer.Option(help="Shown to the annotator and to leads; never exported.")
    ] = "",
    lead: Annotated[
        bool,
        typer.Option("--lead", help="Also sees progress and agreement, decides on held rankings."),
    ] = False,
    max_per_day: Annotated[
        int | None,
        typer.Option(min=1, help="Answers a day; without it a fast person decides your data."),
    ] = None,
) -> None:
    """Make an account and print its personal link.

    Examples:
    * `rlhf annotators add ann_07 --name "Ada L." --max-per-day 80`
    * `rlhf annotators add boss --lead`
    """
    from flows.annotators_command import add_annotator

    with plain_mistakes():
        add_annotator(annotator_id, name=name, is_lead=lead, max_per_day=max_per_day)


@annotators_app.command("list")
def list_all() -> None:
    """List the accounts and how much each has done."""
    from flows.annotators_command import list_annotators

    with plain_mistakes():
        list_annotators()


@annotators_app.command("disable")
def disable(annotator_id: AnnotatorId) -> None:
    """Let somebody in no more, from this moment on; what they answered stays."""
    from flows.annotators_command import disable_annotator

    with plain_mistakes():
        disable_annotator(annotator_id)


@annotators_app.command("enable")
def enable(annotator_id: AnnotatorId) -> None:
    """Let a disabled annotator in again."""
    from flows.annotators_command import enable_annotator

    with plain_mistakes():
        enable_annotator(annotator_id)


@annotators_app.command("rotate")
def rotate(annotator_id: AnnotatorId) -> None:
    """Print a new personal link, for one that was lost or seen by others; the old one ends."""
    from flows.annotators_command import rotate_annotator

    with plain_mistakes():
        rotate_annotator(annotator_id)
