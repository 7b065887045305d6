"""Label Studio: exports with its Ranker or its Pairwise control, full JSON and JSON_MIN.

Each annotation is an answer. A Ranker's value has three shapes: buckets by name, one list under the
control's name, or a bare list. Buckets named rank_1, rank_2, ... are tiers (also tier, place and
bucket); others have an order only if it is given (ReadOptions.order): of score_5 and score_1 the
name does not say which is best. What is left in "_" was not ranked.

The two texts of a Pairwise are told by their names, left and right, a and b, or 1 and 2: the order
of keys says nothing, and the control's names of its objects are not those of the data.

Label Studio writes the order in which a list began as a ranking when nobody touched it, so a list
in that very order waits for a person. It has no ties but through buckets.

Omitted on purpose: its CSV exports, and other controls of the same project.

References:
    https://labelstud.io/tags/ranker, https://labelstud.io/tags/pairwise
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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
    read_items,
    text_of,
)
from data.formats.preferences import check_pair
from data.formats.source import Record
from data.jsonl import RowError
from data.messages import Message

# Words of which 1 is the best.
_NUMBERED = re.compile(
    r"(?:rank|tier|place|bucket)[ _-]?0*([1-9][0-9]{0,2})", re.ASCII | re.IGNORECASE
)
_ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_UNRANKED = "_"
_PAIR_SIDES = ("left", "right")
_SIDE_ENDS = (_PAIR_SIDES, ("_a", "_b"), ("A", "B"), ("1", "2"))
_MAX_SECONDS = 10**6


class _Task:
    """The texts of a task, whatever its project calls them."""

    def __init__(self, data: Mapping[str, Any], skip: frozenset[str] = frozenset()) -> None:
        self.set_id = data["set_id"] if isinstance(data.get("set_id"), str) else None
        self._data = {name: value for name, value in data.items() if name not in skip}

    def messages(self) -> list[Message]:
        """Return the dialogue; empty where the set is ours."""
        if self.set_id is not None:
            return []
        if "messages" in self._data:
            return require_list(self._data, "messages")
        return [{"role": "user", "content": text_of(self._data, "prompt", "data")}]

    def items(self) -> tuple[Candidate, ...]:
        """Return the items of a list, in the order of the task."""
        lists = [name for name, value in self._data.items() if _is_items(value)]
        if len(lists) != 1:
            message = "a list of items with id and body is wanted, exactly one"
            raise RowError("MISSING_FIELD", "data.items", message)
        name = lists[0]
        return tuple(
            Candidate(
                text_of(item, "id", f"data.{name}.{index}"),
                text_of(item, "body", f"data.{name}.{index}"),
                _generator(item),
            )
            for index, item in enumerate(self._data[name])
        )

    def sides(self) -> tuple[Candidate, ...]:
        """Return the left and the right text of a pair: the two texts beside the prompt."""
        names = [
            name
            for name, value in self._data.items()
            if isinstance(value, str) and name not in ("prompt", "set_id")
        ]
        if len(names) != 2:
            message = f"{len(names)} texts beside the prompt; a pair needs two"
            raise RowError("MISSING_FIELD", "data", message)
        left, right = (self._data[name] for name in _sides_in_order(*names))
        check_pair(left, right)
        return tuple(Candidate(*it, UNKNOWN) for it in zip(_PAIR_SIDES, (left, right), strict=True))


def _sides_in_order(one: str, other: str) -> tuple[str, str]:
    """The left name, then the right one. The order of keys says nothing: databases change it."""
    for left, right in ((one, other), (other, one)):
        for begin, end in _SIDE_ENDS:
            if left.removesuffix(begin) == right.removesuffix(end) and left.endswith(begin):
                return left, right
    message = f"{shorten(one)} and {shorten(other)} do not say which is the left one; name them"
    message += " left and right, or by ends: _a and _b, 1 and 2"
    raise RowError("PAIR_SIDES", "data", message)


def _is_items(value: object) -> bool:
    is_list = isinstance(value, list) and bool(value)
    return is_list and all(isinstance(it, dict) and "id" in it for it in value)  # type: ignore[attr-defined]


def _generator(item: Mapping[str, Any]) -> str:
    value = item.get("generator")
    return value if isinstance(value, str) and value else UNKNOWN


def _convert(record: Record, options: ReadOptions) -> Iterator[Content]:
    row = record.row
    if "annotations" not in row:
        yield _convert_flat(row, options)
        return
    task = _Task(object_of(field_of(row, "data"), "data"))
    for index, annotation in enumerate(require_list(row, "annotations")):
        path = f"annotations.{index}"
        try:
            yield _annotation(task, object_of(annotation, path), path, options)
        except RowError as error:
            yield error


def _annotation(
    task: _Task, annotation: Mapping[str, Any], path: str, options: ReadOptions
) -> Content:
    if annotation.get("was_cancelled") is True:
        return _answer(task, annotation, task_candidates(task), {}, options, skipped=True)
    if annotation.get("ground_truth") is True:
        message = "a ground truth is there to measure annotators; it is no vote"
        return RowError("GROUND_TRUTH", f"{path}.ground_truth", message)
    for index, result in enumerate(require_list({"result": [], **annotation}, "result")):
        at = f"{path}.result.{index}"
        kind = object_of(result, at).get("type")
        if kind in ("ranker", "pairwise"):
            value = object_of(field_of(result, "value", at), f"{at}.value")
            control = result.get("from_name")
            return _ranked(task, annotation, value, (control, f"{at}.value"), options)
    raise RowError("EMPTY_RANKING", f"{path}.result", "no response was ranked")


def _convert_flat(row: Mapping[str, Any], options: ReadOptions) -> Content:
    """JSON_MIN: the fields of the task and of its one annotation side by side."""
    for name, results in row.items():
        first = results[0] if isinstance(results, list) and results else None
        if isinstance(first, dict) and {"ranker", "selected"} & first.keys():
            meta = {"id", "annotator", "annotation_id", "created_at", "updated_at", name}
            task = _Task(row, skip=frozenset(meta))
            annotation = {
                **row,
                "id": row.get("annotation_id"),
                "completed_by": row.get("annotator"),
            }
            return _ranked(task, annotation, first, (name, name), options)
    raise RowError("EMPTY_RANKING", "", "no response was ranked")


def _ranked(
    task: _Task,
    annotation: Mapping[str, Any],
    value: Mapping[str, Any],
    control: tuple[object, str],
    options: ReadOptions,
) -> Answer:
    name, path = control
    if "selected" in value and "ranker" not in value:
        tiers = _selected(value, path)
        return _answer(task, annotation, task.sides(), tiers, options)
    candidates = task.items()
    ranker = field_of(value, "ranker", path)
    is_named_list = isinstance(ranker, dict) and isinstance(name, str) and ranker.keys() == {name}
    as_list = ranker[name] if is_named_list else ranker
    if isinstance(as_list, list):
        keys = _keys(as_list, f"{path}.ranker")
        _refuse_repeats(keys, f"{path}.ranker")
        tiers = {key: place for place, key in enumerate(keys, start=1)}
        doubt = None
        if keys == _starting_order([it.key for it in candidates]):
            message = "ranked in the order in which the list began; Label Studio writes that"
            message += " when nobody touches it"
            doubt = RowError("UNTOUCHED", f"{path}.ranker", message)
        return _answer(task, annotation, candidates, tiers, options, doubt=doubt)
    buckets = object_of(ranker, f"{path}.ranker")
    tiers = _bucket_tiers(buckets, f"{path}.ranker", options)
    return _answer(task, annotation, candidates, tiers, options)


def _selected(value: Mapping[str, Any], path: str) -> dict[str, int]:
    side = value["selected"]
    if side not in _PAIR_SIDES:
        message = f"selected is {shorten(side)}; left or right is wanted"
        raise RowError("BAD_CHOICE", f"{path}.selected", message)
    return {name: 1 if name == side else 2 for name in _PAIR_SIDES}


def _bucket_tiers(buckets: Mapping[str, Any], path: str, options: ReadOptions) -> dict[str, int]:
    """Tiers of the items in buckets; empty buckets are passed over."""
    places = {word: place for place, word in enumerate(options.order, start=1)}
    numbers: dict[str, float] = {}
    keys: list[str] = []
    for name, value in buckets.items():
        if name == _UNRANKED:
            continue
        numbered = _NUMBERED.fullmatch(name)
        place = places.get(name, int(numbered.group(1)) if numbered and not places else None)
        inside = _keys(value, f"{path}.{name}")
        if place is None:
            message = f"bucket {shorten(name)} has no place; name buckets rank_1, rank_2, ... or"
            message += " say --order with their names, best first"
            raise RowError("BUCKET_ORDER", path, message)
        keys += inside
        numbers.update(dict.fromkeys(inside, float(place)))
    _refuse_repeats(keys, path)
    return dense_tiers(numbers, is_higher_better=False)


def _keys(value: object, path: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
        raise wrong_type(path, "a list of item ids", value)
    return value


def _refuse_repeats(keys: Sequence[str], path: str) -> None:
    if len(set(keys)) != len(keys):
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise RowError("DUPLICATE_ROW", path, f"{shorten(twice)} is ranked twice")


def _starting_order(keys: Sequence[str]) -> list[str]:
    """The order in which the editor's list begins: JavaScript puts whole numbers first."""
    numbers = sorted((key for key in keys if _ARRAY_INDEX.fullmatch(key)), key=int)
    return numbers + [key for key in keys if not _ARRAY_INDEX.fullmatch(key)]


def task_candidates(task: _Task) -> tuple[Candidate, ...]:
    """Return the responses of a task that nobody ranked: items if it has some, else a pair."""
    try:
        return task.items()
    except RowError:
        return task.sides()


def _answer(
    task: _Task,
    annotation: Mapping[str, Any],
    candidates: tuple[Candidate, ...],
    tiers: dict[str, int],
    options: ReadOptions,
    *,
    skipped: bool = False,
    doubt: RowError | None = None,
) -> Answer:
    started_at, submitted_at, active_ms = _times(annotation)
    keys = [it.key for it in candidates]
    _refuse_repeats(keys, "data.items")
    is_partial = len(tiers) < len(keys)
    return Answer(
        annotator=_annotator(annotation),
        messages=task.messages(),
        set_id=task.set_id,
        candidates=candidates,
        tiers=tiers,
        skip_reason="cancelled in Label Studio" if skipped else None,
        coverage=options.coverage if is_partial else "full",
        started_at=started_at,
        submitted_at=submitted_at,
        active_ms=active_ms,
        foreign_id=f"label-studio:{annotation.get('id')}",
        may_revise=True,
        doubt=doubt,
    )


def _annotator(annotation: Mapping[str, Any]) -> str:
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        who = who.get("id")
    if isinstance(who, bool) or not isinstance(who, int | str) or who == "":
        message = f"completed_by must name a person, found {shorten(who)}"
        raise RowError("MISSING_FIELD", "completed_by", message)
    return f"label-studio:{who}"


def _times(annotation: Mapping[str, Any]) -> tuple[str, str, int]:
    """Start, end and milliseconds of work; lead_time counts idle time, and sums over edits."""
    end = annotation.get("updated_at") or annotation.get("created_at")
    if end is None:
        return NO_TIME, NO_TIME, 0
    try:
        submitted = datetime.fromisoformat(end if isinstance(end, str) else "")
        submitted = submitted.astimezone(UTC) if submitted.tzinfo else submitted.replace(tzinfo=UTC)
        seconds = annotation.get("lead_time") or 0.0
        is_number = isinstance(seconds, int | float) and 0 <= seconds <= _MAX_SECONDS
        active_ms = int(1000 * seconds) if is_number else 0
        started = submitted - timedelta(milliseconds=active_ms)
    except (ValueError, OverflowError):
        message = f"updated_at is not a time: {shorten(end)}"
        raise RowError("BAD_TIME", "updated_at", message) from None
    return started.isoformat(), submitted.isoformat(), active_ms


def _matches(row: Mapping[str, Any]) -> bool:
    if "data" in row and ("annotations" in row or "completions" in row):
        return True
    return {"annotation_id", "annotator"} <= row.keys()


def _read(path: Path, options: ReadOptions) -> Iterator[Item]:
    return read_items(path, lambda record: _convert(record, options))


FORMAT = Format(
    "label-studio", "Label Studio: Ranker or Pairwise, JSON or JSON_MIN", _matches, _read
)
