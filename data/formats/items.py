"""What a format's reader yields: answers, and rows that hold none, each with its place.

Omitted on purpose: the ids and rows of ours that an answer becomes (data.formats.door).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from data.errors import InputError
from data.fields import require_list, wrong_type
from data.formats.source import SOURCE_LIMITS, Place, Record, read_records
from data.jsonl import Limits, RowError
from data.messages import Message

Direction = Literal["", "higher-is-better", "lower-is-better"]
# Where a source does not say when somebody answered, and what wrote a response.
NO_TIME = "1970-01-01T00:00:00+00:00"
UNKNOWN = "unknown"


class Candidate(NamedTuple):
    """A response as the source names it.

    Attributes:
        key: Its id in the source; our response id where the set is ours.
        text: None where the source does not repeat the text of our set.
        generator: What wrote it.
    """

    key: str
    text: str | None
    generator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one annotator, or one scorer, said of the responses to one prompt.

    Attributes:
        annotator: As the source names them.
        candidates: The responses, in the order in which they were shown.
        tiers: Key -> tier, 1 = best, dense; responses that were not ranked are absent.
        messages: The dialogue; empty where the set is ours.
        set_id: The set of ours that was answered; None makes a set of the texts.
        is_order_known: Whether the candidates stand as they were shown. If not, an order that says
            nothing is chosen: the chosen response must not always come first.
        skip_reason: Why it was skipped; None if it was ranked.
        coverage: What absent tiers mean; see data.tiers.
        foreign_id: What names this answer at its source.
        may_revise: Whether another answer of this annotator to the same set is a correction of the
            earlier one. In files of pairs and scores it is a contradiction.
        doubt: Why a person should look at it first; None if nothing is odd.
    """

    annotator: str
    candidates: tuple[Candidate, ...]
    tiers: dict[str, int]
    messages: list[Message] = field(default_factory=list)
    set_id: str | None = None
    is_order_known: bool = True
    skip_reason: str | None = None
    coverage: str = "full"
    quality: dict[str, int] = field(default_factory=dict)
    flags: dict[str, list[str]] = field(default_factory=dict)
    started_at: str = NO_TIME
    submitted_at: str = NO_TIME
    active_ms: int = 0
    foreign_id: str = ""
    may_revise: bool = False
    doubt: RowError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """A good response to a prompt that nobody compared with others."""

    messages: list[Message]
    response: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRow:
    """A row of ours, set/1 or ranking/1, as it stands."""

    row: dict[str, Any]


Content = Answer | Demonstration | OwnRow | RowError


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One answer of a source, or why a row of it holds none.

    Attributes:
        places: The rows that it is made of; the first one is shown.
        raw: Their bytes.
    """

    places: tuple[Place, ...]
    raw: bytes
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a file cannot say of itself.

    Attributes:
        direction: Which score is the better one; empty = not said.
        coverage: What a response without a rank means: "full" refuses it, "top" puts it below all
            ranked ones, "subset" says nothing of it.
        order: Words that stand for tiers, best first: grades, or names of buckets.
        score_range: Least and greatest score.
        annotator: Who answered, where a file names nobody.
    """

    direction: Direction = ""
    coverage: str = "full"
    order: tuple[str, ...] = ()
    score_range: tuple[float, float] | None = None
    annotator: str = ""

    def is_higher_better(self, path: Path) -> bool:
        """Whether a higher score is the better one.

        Raises:
            InputError: If nobody said.
        """
        if not self.direction:
            raise InputError(
                f"{path}: holds scores, and nothing in it says which are good;"
                " say --direction higher-is-better or lower-is-better"
            )
        return self.direction == "higher-is-better"


class Format(NamedTuple):
    """An interchange format.

    Attributes:
        name: As on the command line.
        title: What it is, for people.
        matches: Whether a first row, or the header of a CSV, is in this format.
        read: Yields the items of a file; every row of it is in one item at least.
        is_pairs: Whether its answers are pairs, which may contradict each other in circles.
    """

    name: str
    title: str
    matches: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Path, ReadOptions], Iterator[Item]]
    is_pairs: bool = False


def read_items(
    path: Path,
    convert: Callable[[Record], Iterable[Content]],
    *,
    limits: Limits = SOURCE_LIMITS,
) -> Iterator[Item]:
    """Yield the items of a file of JSON rows.

    Args:
        path: The file.
        convert: Returns what a parsed row holds. A RowError that it raises speaks of the whole
            row, one that it yields of an answer in it.
        limits: Size and depth beyond which a row is refused.
    """
    for record in read_records(path, limits=limits):
        contents: list[Content] = []
        try:
            if record.error is not None:
                raise record.error
            contents.extend(convert(record))
        except RowError as error:
            contents = [error]
        for content in contents or [unanswered("nobody has ranked this yet")]:
            yield Item(places=(record.place,), raw=record.raw, content=content)


def unanswered(message: str) -> RowError:
    """Return the reason for a row that waits for somebody to answer it."""
    return RowError("UNANSWERED", "", message)


def dense_tiers(scores: Mapping[str, float], *, is_higher_better: bool) -> dict[str, int]:
    """Return the tier of each key: the best score is 1, equal scores are a tie."""
    places = {
        score: place
        for place, score in enumerate(sorted(set(scores.values()), reverse=is_higher_better), 1)
    }
    return {key: places[score] for key, score in scores.items()}


def field_of(row: Mapping[str, Any], name: str, path: str = "") -> Any:
    """Return a field that must be there.

    Raises:
        RowError: MISSING_FIELD, with the dotted path.
    """
    if name not in row:
        dotted = f"{path}.{name}" if path else name
        raise RowError("MISSING_FIELD", dotted, f"missing: {dotted}")
    return row[name]


def text_of(row: Mapping[str, Any], name: str, path: str = "") -> str:
    """Return a string field that must be there.

    Raises:
        RowError: MISSING_FIELD or BAD_TYPE, with the dotted path.
    """
    value = field_of(row, name, path)
    if not isinstance(value, str):
        raise wrong_type(f"{path}.{name}" if path else name, "a string", value)
    return value


def object_of(value: object, path: str) -> dict[str, Any]:
    """Return a value that must be an object.

    Raises:
        RowError: BAD_TYPE, with the dotted path.
    """
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    return value


def objects_of(row: Mapping[str, Any], name: str, path: str = "") -> list[dict[str, Any]]:
    """Return a field that must be a list of objects.

    Raises:
        RowError: MISSING_FIELD or BAD_TYPE, with the dotted path.
    """
    field_of(row, name, path)
    dotted = f"{path}.{name}" if path else name
    values = require_list({dotted: row[name]}, dotted)
    return [object_of(value, f"{dotted}.{index}") for index, value in enumerate(values)]
