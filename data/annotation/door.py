"""Coming in and going out: a personal link becomes a cookie; and the pages for everybody.

The link shows a button, and the button signs in: a program that previews links signs nobody in,
and the cookie, which browsers withhold after a click on another site, is set and sent by our own.
"""

from starlette.responses import Response

from data.annotation.security import PageError, TokenTries
from data.annotation.settings import SESSION_LIFETIME
from data.annotation.visit import Visit, redirect
from data.inbox import accounts, batches


def show_door(visit: Visit) -> Response:
    """The page that a personal link opens. It does not say whether the link is valid."""
    return visit.page("enter.html", token=visit.request.path_params["token"])


def enter(visit: Visit) -> Response:
    """Exchange the token of a link for a cookie.

    Only wrong ones are limited: many people may come from one address, such as a proxy's.
    """
    account = accounts.by_token(visit.con, visit.field("token"))
    if account is None:
        raise _refusal(visit)
    if visit.session_id:
        accounts.close_session(visit.con, visit.session_id)
    session_id = accounts.open_session(
        visit.con, account.annotator_id, now=visit.now, lifetime=SESSION_LIFETIME
    )
    response = redirect("/")
    response.set_cookie(
        visit.settings.cookie_name,
        session_id,
        max_age=int(SESSION_LIFETIME.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=visit.settings.is_behind_tls,
    )
    return response


def _refusal(visit: Visit) -> PageError:
    tries: TokenTries = visit.request.app.state.tries
    client = visit.request.client.host if visit.request.client else ""
    if not tries.are_left(client):
        return PageError(429, "enter.too_many")
    tries.note_failure(client)
    return PageError(403, "enter.refused")


def leave(visit: Visit) -> Response:
    """End the session, here and in the inbox."""
    accounts.close_session(visit.con, visit.session_id)
    title, text = visit.texts("left.title"), visit.texts("left.text")
    response = visit.page("message.html", account=None, title=title, text=text)
    response.delete_cookie(
        visit.settings.cookie_name,
        httponly=True,
        samesite="strict",
        secure=visit.settings.is_behind_tls,
    )
    return response


def show_guidelines(visit: Visit) -> Response:
    """The guidelines that this version ships, and whether open sets ask for others."""
    ours = visit.texts.guidelines()
    asked = {
        it.batch.guideline_version
        for it in batches.list_progress(visit.con, now=visit.now)
        if it.tasks and it.batch.finished_at is None and it.batch.withdrawn_at is None
    }
    others = ", ".join(sorted(asked - {ours["version"]}))
    return visit.page("guidelines.html", guidelines=ours, other_version=others)
