"""From an answer to rows of ours: ids made of content, and the one strict check of each row.

Every set passes data.sets, every ranking data.rankings, as in the ledger; what is written is what
a run will accept.

Omitted on purpose: where the rows go (data.formats.folder, data.formats.published).
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from data.families import normalise
from data.formats.items import NO_TIME, Answer
from data.identity import canonical_json, prompt_id, response_id, set_id, sha256_text
from data.jsonl import ROW_LIMITS, RowError
from data.messages import Message
from data.rankings import KnownRankings, Ranking, read_ranking
from data.sets import ResponseSet, parse_set

HELD_CODES = ("UNANSWERED", "GROUND_TRUTH", "REPLACED")
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "rlhf/rankings/import")
_SHOWN_KEY = 40

_Row = dict[str, Any]


class NewSet(NamedTuple):
    """A set made of the texts of an answer; `ids` maps the source's key to the response id."""

    response_set: ResponseSet
    row: _Row
    ids: dict[str, str]


def family_of(messages: list[Message]) -> str:
    """Return the family of a prompt: dialogues that begin with the same user turn are one.

    Many sources hold the same conversation several times, each time some turns longer.
    """
    first = next(turn["content"] for turn in messages if turn["role"] == "user")
    return "f_" + sha256_text(f"first turn: {normalise(first)}")[:16]


def make_set(answer: Answer, source: str) -> NewSet:
    """Return the set of an answer that brings its own texts.

    Raises:
        RowError: Why it is no set.
    """
    prompt = prompt_id(answer.messages)
    candidates = answer.candidates
    ids = {it.key: response_id(prompt, it.text or "") for it in candidates}
    if not answer.is_order_known:
        candidates = tuple(sorted(candidates, key=lambda it: ids[it.key]))
    row = {
        "schema": "set/1",
        "set_id": set_id(prompt, ids.values()),
        "prompt_id": prompt,
        "messages": answer.messages,
        "responses": [
            {"response_id": ids[it.key], "text": it.text, "generator": it.generator}
            for it in candidates
        ],
        "guideline_version": source,
        "campaign": source,
    }
    try:
        response_set = parse_set(row)
    except RowError as error:
        raise _in_words_of_source(error, ids) from None
    check_size(row)
    return NewSet(response_set, row, ids)


def check_size(row: _Row) -> None:
    """Refuse a row that our own readers would refuse for its size."""
    size = len(canonical_json(row).encode())
    if size > ROW_LIMITS.line_bytes:
        message = f"{size} bytes as one row of ours; the limit is {ROW_LIMITS.line_bytes}"
        raise RowError("TOO_LARGE", "", message)


def ranking_row(
    answer: Answer, *, name: str, ids: Mapping[str, str], annotator: str, source: str
) -> _Row:
    """Return the ranking of an answer, without what depends on earlier answers.

    Args:
        answer: The answer.
        name: Id of the set.
        ids: The source's key -> response id.
        annotator: Id of the annotator with us.
        source: Name of the format.

    Raises:
        RowError: FOREIGN_RESPONSE if it ranks a response that the set lacks.
    """
    foreign = [key for key in answer.tiers if key not in ids]
    if foreign:
        names = ", ".join(key[:_SHOWN_KEY] for key in foreign[:9])
        raise RowError("FOREIGN_RESPONSE", "tiers", f"not in {name}: {names}")
    order = [ids[it.key] for it in answer.candidates]
    row: _Row = {
        "schema": "ranking/1",
        "set_id": name,
        "annotator_id": annotator,
        "outcome": "ranked",
        "coverage": answer.coverage,
        "tiers": {ids[key]: tier for key, tier in answer.tiers.items()},
        "display_order": order if answer.is_order_known else sorted(order),
        "quality": {ids[key]: score for key, score in answer.quality.items()},
        "flags": {ids[key]: words for key, words in answer.flags.items()},
        "touched": True,
        "started_at": answer.started_at,
        "submitted_at": answer.submitted_at,
        "active_ms": answer.active_ms,
        "ui_version": f"import/{source}",
    }
    if answer.skip_reason is not None:
        del row["coverage"], row["tiers"]
        row |= {"outcome": "skipped", "skip_reason": answer.skip_reason}
    return row


def check_answer(
    row: _Row,
    answer: Answer,
    known: KnownRankings,
    ids: Mapping[str, str],
    *,
    accept_replaced: bool = False,
) -> tuple[_Row, Ranking]:
    """Give a ranking its event id and revision, and check it.

    Args:
        row: The ranking without them.
        answer: Where it comes from.
        known: What it is checked against.
        ids: The source's key -> response id.
        accept_replaced: Take an answer that the annotator has replaced since as a new revision.

    Returns:
        The whole row, and what was read from it.

    Raises:
        RowError: DUPLICATE if the very answer is known, REPLACED if another one has come after it,
            CONTRADICTION if another one is known and the source knows no corrections; else the
            first reason against the row.
    """
    earlier = known.answers.get((row["set_id"], row["annotator_id"]), {})
    revision = max(earlier, default=0) + 1
    event_id = _event_id(row, answer)
    if event_id in known.events or event_id in known.held:
        _refuse_known(event_id, row, answer, earlier)
        if not accept_replaced:
            raise _replaced(event_id, earlier)
        event_id = _event_id(row, answer, after=earlier[revision - 1])
    if earlier and not answer.may_revise:
        message = "the same annotator answered this set otherwise before, in event"
        raise RowError("CONTRADICTION", "", f"{message} {earlier[revision - 1]}")
    row = {**row, "event_id": event_id, "revision": revision}
    if earlier:
        row["supersedes"] = earlier[revision - 1]
    try:
        return row, read_ranking(row, known)
    except RowError as error:
        raise _in_words_of_source(error, ids) from None


def _event_id(row: _Row, answer: Answer, *, after: str | None = None) -> str:
    """The id of an answer; of one that is given again, the id of the event before plays a part."""
    content = [answer.foreign_id, row] if after is None else [answer.foreign_id, row, after]
    return str(uuid.uuid5(_NAMESPACE, canonical_json(content)))


def _refuse_known(event_id: str, row: _Row, answer: Answer, earlier: Mapping[int, str]) -> None:
    """Refuse an answer that is in force, or whose time says that it is the old one."""
    last = max(earlier, default=0)
    in_force = earlier.get(last, event_id)
    again = _event_id(row, answer, after=earlier.get(last - 1))
    if in_force in (event_id, again) or answer.submitted_at != NO_TIME:
        raise RowError("DUPLICATE", "event_id", "same event, same content: ignored")


def _replaced(event_id: str, earlier: Mapping[int, str]) -> RowError:
    old = next((number for number, one in earlier.items() if one == event_id), 1)
    message = f"this was revision {old}, replaced since by revision {max(earlier)};"
    message += " --accept-held takes it as a new revision"
    return RowError("REPLACED", "", message)


def new_rankings(now: datetime) -> KnownRankings:
    """Return an empty record of rankings, open for every annotator."""
    return KnownRankings(now=now, new_role="import", sets={})


def _in_words_of_source(error: RowError, ids: Mapping[str, str]) -> RowError:
    """Name responses as the source does, where it has short names for them."""
    message, field = error.message, error.field
    for key, one in ids.items():
        if len(key) <= _SHOWN_KEY:
            message, field = message.replace(one, key), field.replace(one, key)
    return RowError(error.code, field, message)
