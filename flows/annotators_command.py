"""`rlhf annotators`: who may rank, under which pseudonym, and with which link."""

from datetime import UTC, datetime

from rich.table import Table

from data.inbox import INBOX_FILE, accounts
from data.inbox.connection import open_inbox
from flows.annotate_command import link, page_url
from flows.environment import var_directory
from flows.words import console, plain, program


def add_annotator(annotator_id: str, *, name: str, is_lead: bool, max_per_day: int | None) -> None:
    """Make an account and print its link."""
    var, now = var_directory(), datetime.now(UTC)
    with open_inbox(var / INBOX_FILE) as inbox:
        token = accounts.add(
            inbox,
            annotator_id,
            role="lead" if is_lead else "annotator",
            name=name or annotator_id,
            now=now,
            max_per_day=max_per_day,
        )
    _print_link(annotator_id, token)


def rotate_annotator(annotator_id: str) -> None:
    """Print a new link; the old one ends."""
    with open_inbox(var_directory() / INBOX_FILE) as inbox:
        token = accounts.rotate(inbox, annotator_id)
    _print_link(annotator_id, token)


def disable_annotator(annotator_id: str) -> None:
    """Let an annotator in no more; their answers stay."""
    with open_inbox(var_directory() / INBOX_FILE) as inbox:
        accounts.disable(inbox, annotator_id)
    console().print(
        f"{annotator_id} cannot sign in any more; the answers stay. To undo this: "
        f"{program()} annotators enable {annotator_id}"
    )


def enable_annotator(annotator_id: str) -> None:
    """Let an annotator in again."""
    with open_inbox(var_directory() / INBOX_FILE) as inbox:
        accounts.enable(inbox, annotator_id)
    console().print(f"{annotator_id} may sign in again, by the same link.")


def list_annotators() -> None:
    """Print who may rank and what they have done."""
    with open_inbox(var_directory() / INBOX_FILE) as inbox:
        found = accounts.counts(inbox, now=datetime.now(UTC))
    if not found:
        console().print(f"Nobody yet. To add somebody: {program()} annotators add ada")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("annotator", "name", "role", "done", "today", "daily limit", "may sign in"):
        table.add_column(heading)
    for it in found:
        account = it.account
        table.add_row(
            account.annotator_id,
            plain(account.name),
            account.role,
            str(it.done),
            str(it.today),
            "none" if account.max_per_day is None else str(account.max_per_day),
            "yes" if account.is_active else "no",
        )
    console().print(table)


def _print_link(annotator_id: str, token: str) -> None:
    url = page_url(var_directory())
    console().print(
        f"The link of {annotator_id}, shown this once; it is as good as a password:", soft_wrap=True
    )
    console().print(f"  {link(url, token)}", soft_wrap=True)
