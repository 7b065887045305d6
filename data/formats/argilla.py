"""Argilla: records with the responses of its REST interface, which keep the ranks.

The records of GET /api/v1/datasets/{id}/records?include=responses, one a row, as one array, or as
the page {"items": [...]}. Ranks may be equal and may leave gaps; gaps are closed. The export of
Argilla's SDK holds the options in their own order and has lost the ranks: it is refused.

A record does not say which of its fields are responses; the options of the question do. Where the
metadata name a set of ours, they are those that the metadata name too; else those that some answer
of the file ranks. Other fields, such as a context, are not read.

Omitted on purpose: suggestions, which are a model's, and questions that are no ranking.

References:
    https://github.com/argilla-io/argilla/issues/5712
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.fields import require_list, shorten, wrong_type
from data.formats.items import (
    NO_TIME,
    UNKNOWN,
    Answer,
    Candidate,
    Content,
    Format,
    Item,
    ReadOptions,
    dense_tiers,
    field_of,
    object_of,
    objects_of,
    read_items,
    text_of,
    unanswered,
)
from data.formats.source import Record, read_records
from data.jsonl import RowError
from data.messages import Message

_RANKS_LOST = "this export holds option order, not ranks; read it through the REST API"
_MAX_RANK = 10**6


def _convert(record: Record, options: ReadOptions, ranked: frozenset[str]) -> Iterator[Content]:
    row = record.row
    if "items" in row and "fields" not in row:
        for index, one in enumerate(objects_of(row, "items")):
            yield from _record(one, f"items.{index}.", options, ranked)
        return
    if "fields" not in row:
        _refuse_lost_ranks(row.get("values"), "values")
        message = "this response has no record with the texts; export records with their responses"
        raise RowError("ARGILLA_NO_RECORD", "fields", message)
    yield from _record(row, "", options, ranked)


def _record(
    row: Mapping[str, Any], prefix: str, options: ReadOptions, ranked: frozenset[str]
) -> Iterator[Content]:
    """Yield each response to a record; one that nobody answered yields the reason."""
    fields = object_of(field_of(row, "fields", prefix.rstrip(".")), f"{prefix}fields")
    metadata = object_of(row.get("metadata") or {}, f"{prefix}metadata")
    responses = row.get("responses") or []
    if isinstance(responses, dict):
        for question, values in responses.items():
            _refuse_lost_ranks({question: values}, f"{prefix}responses")
        raise wrong_type(f"{prefix}responses", "a list of responses", responses)
    if not responses:
        yield unanswered("nobody has ranked this record yet")
    for index, response in enumerate(require_list({"responses": responses}, "responses")):
        path = f"{prefix}responses.{index}"
        try:
            yield _response(object_of(response, path), path, (fields, metadata), options, ranked)
        except RowError as error:
            yield error


def _response(
    response: Mapping[str, Any],
    path: str,
    record: tuple[Mapping[str, Any], Mapping[str, Any]],
    options: ReadOptions,
    ranked: frozenset[str],
) -> Content:
    fields, metadata = record
    status = response.get("status", "submitted")
    if status in ("draft", "pending"):
        return unanswered(f"a {status} is no answer yet")
    if status not in ("submitted", "discarded"):
        message = f"status is {shorten(status)}; submitted, discarded, draft or pending is wanted"
        raise RowError("BAD_OUTCOME", f"{path}.status", message)
    is_skip = status == "discarded"
    ranks = {} if is_skip else _ranks(response, path)
    set_id = metadata.get("set_id")
    is_ours = isinstance(set_id, str)
    named = metadata.keys() if is_ours else ranked
    texts = [it for it in fields if it in named and it not in ("prompt", "messages")]
    names = {name: _response_id(metadata, name) if is_ours else name for name in texts}
    unknown = next((name for name in ranks if name not in names), None)
    if unknown is not None:
        message = f"option {shorten(unknown)} is no field of the record"
        raise RowError("FOREIGN_RESPONSE", f"{path}.values", message)
    if len(names) < 2:
        message = "which fields are responses is not known: no answer of the file ranks two of them"
        raise RowError("ARGILLA_NO_OPTIONS", f"{path}.values", message)
    submitted = _time(response, path)
    return Answer(
        annotator=f"argilla:{text_of(response, 'user_id', path)}",
        messages=[] if is_ours else _messages(fields),
        set_id=set_id if is_ours else None,
        candidates=tuple(
            Candidate(names[name], text_of(fields, name, "fields"), UNKNOWN) for name in texts
        ),
        tiers=dense_tiers(
            {names[name]: rank for name, rank in ranks.items()}, is_higher_better=False
        ),
        skip_reason="discarded in Argilla" if is_skip else None,
        coverage=options.coverage if len(ranks) < len(texts) else "full",
        started_at=submitted,
        submitted_at=submitted,
        foreign_id=f"argilla:{response.get('id')}",
        may_revise=True,
    )


def _ranks(response: Mapping[str, Any], path: str) -> dict[str, float]:
    """Option -> rank of the one question that is a ranking."""
    values = object_of(field_of(response, "values", path), f"{path}.values")
    _refuse_lost_ranks(values, f"{path}.values")
    questions = [
        (name, answer["value"])
        for name, answer in values.items()
        if isinstance(answer, dict) and isinstance(answer.get("value"), list)
    ]
    if len(questions) != 1:
        message = f"{len(questions)} rankings in this response; exactly one is wanted"
        raise RowError("MISSING_FIELD", f"{path}.values", message)
    name, options = questions[0]
    ranks: dict[str, float] = {}
    for index, option in enumerate(options):
        at = f"{path}.values.{name}.value.{index}"
        key, rank = text_of(object_of(option, at), "value", at), option.get("rank")
        if type(rank) is not int or abs(rank) > _MAX_RANK:
            message = f"rank must be an integer, found {shorten(rank)}"
            raise RowError("TIER_TYPE", f"{at}.rank", message)
        if key in ranks:
            raise RowError("DUPLICATE_ROW", at, f"{shorten(key)} is ranked twice")
        ranks[key] = float(rank)
    return ranks


def _refuse_lost_ranks(values: object, path: str) -> None:
    """Refuse a ranking that is a list of options: the SDK's, which has dropped the ranks."""
    for question, answers in values.items() if isinstance(values, dict) else ():
        for answer in answers if isinstance(answers, list) else [answers]:
            value = answer.get("value") if isinstance(answer, dict) else answer
            if isinstance(value, list) and any(isinstance(it, str) for it in value):
                raise RowError("ARGILLA_RANKS_LOST", f"{path}.{question}", _RANKS_LOST)


def _messages(fields: Mapping[str, Any]) -> list[Message]:
    if isinstance(fields.get("messages"), list):
        return list(fields["messages"])
    return [{"role": "user", "content": text_of(fields, "prompt", "fields")}]


def _response_id(metadata: Mapping[str, Any], name: str) -> str:
    return text_of(metadata, name, "metadata")


def _time(response: Mapping[str, Any], path: str) -> str:
    """When the response was last changed; Argilla's times are UTC without saying so."""
    text = response.get("updated_at") or response.get("inserted_at")
    if text is None:
        return NO_TIME
    try:
        at = datetime.fromisoformat(text if isinstance(text, str) else "")
        return (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
    except (ValueError, OverflowError):
        message = f"updated_at is not a time: {shorten(text)}"
        raise RowError("BAD_TIME", f"{path}.updated_at", message) from None


def _matches(row: Mapping[str, Any]) -> bool:
    if "fields" in row and ("responses" in row or "metadata" in row):
        return True
    return {"values", "user_id", "status"} <= row.keys() or (
        isinstance(row.get("items"), list) and "total" in row
    )


def _ranked_options(path: Path) -> frozenset[str]:
    """The options that some answer of a file ranks; what is wrong in it is said later."""
    found: set[str] = set()
    for record in read_records(path):
        rows = record.row.get("items") if "items" in record.row else [record.row]
        for row in rows if isinstance(rows, list) else ():
            answers = row.get("responses") if isinstance(row, dict) else None
            for answer in answers if isinstance(answers, list) else ():
                with suppress(RowError):
                    found.update(_ranks(object_of(answer, ""), ""))
    return frozenset(found)


def _read(path: Path, options: ReadOptions) -> Iterator[Item]:
    ranked = _ranked_options(path)
    return read_items(path, lambda record: _convert(record, options, ranked))


FORMAT = Format("argilla", "Argilla: records with REST responses, JSON", _matches, _read)
