"""set/1: a prompt with the K responses to be ranked. Parse and check, no store, no files.

The shape of a row is checked first (parse_set), then what the run and the ledger know (check_set).
Identity of a set is its dialogue, its responses and its purpose: who generated the texts and for
which campaign may differ when two runs make the same set.
"""

import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from data.fields import (
    check_keys,
    check_schema,
    require_id,
    require_list,
    require_text,
    shorten,
    wrong_type,
)
from data.identity import canonical_json, normalised_sha256, sha256_text, shown_sha256
from data.jsonl import RowError
from data.messages import Message, check_messages

SCHEMA = "set/1"
MIN_RESPONSES, MAX_RESPONSES = 2, 9
PURPOSES = ("main", "overlap", "gold", "retest", "calibration")

_REQUIRED = frozenset(
    {"schema", "set_id", "prompt_id", "messages", "responses", "guideline_version", "campaign"}
)
_OPTIONAL = frozenset({"purpose", "retest_of"})
_RESPONSE_KEYS = frozenset({"response_id", "text", "generator"})


class Response(NamedTuple):
    """One reply to a prompt, and what wrote it."""

    response_id: str
    text: str
    generator: str


@dataclass(frozen=True, kw_only=True)
class ResponseSet:
    """A valid set/1 row.

    Attributes:
        purpose: main and overlap sets train; gold, retest and calibration sets measure annotators.
        retest_of: The set that a retest repeats, None for any other purpose.
    """

    set_id: str
    prompt_id: str
    messages: list[Message]
    responses: tuple[Response, ...]
    guideline_version: str
    campaign: str
    purpose: str
    retest_of: str | None

    @cached_property
    def count_words(self) -> int:
        """Words between white space in all responses: what an annotator has to read."""
        return sum(len(response.text.split()) for response in self.responses)

    @cached_property
    def shown_sha256(self) -> str:
        """Hash of what an annotator sees."""
        texts = {response.response_id: response.text for response in self.responses}
        return shown_sha256(self.messages, texts)

    @cached_property
    def content_sha256(self) -> str:
        """Hash of all that makes this set another set when it changes."""
        parts = [self.prompt_id, self.shown_sha256, self.purpose, self.retest_of]
        return sha256_text(canonical_json(parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPrompt:
    """What a run knows of one of its prompts; the hashes are of its messages."""

    prompt_id: str
    family_id: str
    split: str
    content_sha256: str
    norm_sha256: str


class RunPrompts(NamedTuple):
    """The prompts of a run.

    Attributes:
        by_id: Prompt id -> prompt.
        by_norm: Hash of the normalised dialogue -> the first prompt with it.
    """

    by_id: dict[str, RunPrompt]
    by_norm: dict[str, RunPrompt]


@dataclass(slots=True, kw_only=True)
class KnownSets:
    """What rows of sets are checked against; grows with each accepted set.

    Attributes:
        prompts: The prompts of this run.
        stored_prompts: Prompt id -> hash of its messages, in the ledger.
        stored_responses: Response id -> (prompt id, hash of its text), in the ledger.
        stored_sets: Set id -> content hash, in the ledger.
    """

    prompts: RunPrompts
    stored_prompts: dict[str, str] = field(default_factory=dict)
    stored_responses: dict[str, tuple[str, str]] = field(default_factory=dict)
    stored_sets: dict[str, str] = field(default_factory=dict)

    def add(self, response_set: ResponseSet) -> None:
        """Remember an accepted set."""
        prompt = self.prompts.by_id[response_set.prompt_id]
        self.stored_prompts[prompt.prompt_id] = prompt.content_sha256
        self.stored_sets[response_set.set_id] = response_set.content_sha256
        for response in response_set.responses:
            stored = (response_set.prompt_id, sha256_text(response.text))
            self.stored_responses[response.response_id] = stored


def run_prompt(prompt_id: str, family_id: str, split: str, messages: list[Message]) -> RunPrompt:
    """Return what the checks need of a prompt of the run."""
    return RunPrompt(
        prompt_id=prompt_id,
        family_id=family_id,
        split=split,
        content_sha256=sha256_text(canonical_json(messages)),
        norm_sha256=normalised_sha256(messages),
    )


def parse_set(row: dict[str, Any]) -> ResponseSet:
    """Check the shape of a set/1 row.

    Raises:
        RowError: With code, field and message of the first fault.
    """
    check_schema(row, SCHEMA)
    check_keys(row, _REQUIRED, _OPTIONAL)
    purpose, retest_of = _purpose(row)
    return ResponseSet(
        set_id=require_id(row, "set_id"),
        prompt_id=require_id(row, "prompt_id"),
        messages=check_messages(require_list(row, "messages")),
        responses=_responses(require_list(row, "responses")),
        guideline_version=require_text(row, "guideline_version"),
        campaign=require_text(row, "campaign"),
        purpose=purpose,
        retest_of=retest_of,
    )


def check_set(response_set: ResponseSet, known: KnownSets) -> None:
    """Check a set against the run's prompts and the ledger.

    Raises:
        RowError: Also DUPLICATE, when the ledger holds the same set already.
    """
    _check_prompt(response_set, known)
    stored = known.stored_sets.get(response_set.set_id)
    if stored == response_set.content_sha256:
        raise RowError("DUPLICATE", "set_id", "same set, same content: ignored")
    if stored is not None:
        message = "this set_id was already stored with other content"
        raise RowError("IDEMPOTENCY_CONFLICT", "set_id", message)
    for index, response in enumerate(response_set.responses):
        _check_response(response, response_set.prompt_id, known, f"responses.{index}")


def _purpose(row: dict[str, Any]) -> tuple[str, str | None]:
    purpose, retest_of = row.get("purpose", "main"), row.get("retest_of")
    if purpose not in PURPOSES:
        known = ", ".join(PURPOSES)
        raise RowError("BAD_PURPOSE", "purpose", f"purpose is {shorten(purpose)}; known: {known}")
    if (purpose == "retest") != (retest_of is not None):
        raise RowError("BAD_PURPOSE", "retest_of", "a retest, and only a retest, names retest_of")
    return purpose, None if retest_of is None else require_id(row, "retest_of")


def _responses(items: list[Any]) -> tuple[Response, ...]:
    responses = tuple(_response(item, f"responses.{index}") for index, item in enumerate(items))
    # NFC and NFD forms look the same, so a rank between them means nothing either.
    first: dict[str, str] = {}
    twice: tuple[str, str] | None = None
    for response in responses:
        text = unicodedata.normalize("NFC", response.text.strip())
        earlier = first.setdefault(text, response.response_id)
        if earlier != response.response_id:
            twice = twice or (earlier, response.response_id)
    if not MIN_RESPONSES <= len(first) <= MAX_RESPONSES:
        noun = "response" if len(first) == 1 else "responses"
        needs = f"a set needs {MIN_RESPONSES} to {MAX_RESPONSES}"
        raise RowError("K_RANGE", "responses", f"{len(first)} distinct {noun}; {needs}")
    if twice:
        message = f"{twice[0]} and {twice[1]} have the same text; a rank between them means nothing"
        raise RowError("DUPLICATE_RESPONSE", "responses", message)
    ids = [response.response_id for response in responses]
    if len(set(ids)) != len(ids):
        repeated = next(one for index, one in enumerate(ids) if one in ids[:index])
        raise RowError("DUPLICATE_RESPONSE", "responses", f"response_id {repeated} appears twice")
    return responses


def _response(item: object, path: str) -> Response:
    if not isinstance(item, dict):
        raise wrong_type(path, "an object", item)
    check_keys(item, _RESPONSE_KEYS, frozenset())
    response_id, text = require_id(item, "response_id"), require_text(item, "text")
    if not text.strip():
        raise RowError("EMPTY_TEXT", f"{path}.text", f"response {response_id} is empty")
    return Response(response_id=response_id, text=text, generator=require_text(item, "generator"))


def _check_prompt(response_set: ResponseSet, known: KnownSets) -> None:
    prompt = known.prompts.by_id.get(response_set.prompt_id)
    if prompt is None:
        message = f"no prompt {response_set.prompt_id!r} in this run"
        raise RowError("UNKNOWN_PROMPT", "prompt_id", message)
    content = sha256_text(canonical_json(response_set.messages))
    stored = known.stored_prompts.get(prompt.prompt_id, prompt.content_sha256)
    if not content == prompt.content_sha256 == stored:
        message = f"prompt {prompt.prompt_id} was stored with other text"
        raise RowError("PROMPT_CHANGED", "messages", message)
    twin = known.prompts.by_norm[prompt.norm_sha256]
    if twin.family_id != prompt.family_id:
        message = f"same text as {twin.prompt_id} (split {twin.split})"
        raise RowError("FAMILY_CONFLICT", "messages", message)


def _check_response(response: Response, prompt_id: str, known: KnownSets, path: str) -> None:
    stored = known.stored_responses.get(response.response_id)
    if stored is not None and stored != (prompt_id, sha256_text(response.text)):
        message = f"response {response.response_id} was stored with other text or prompt"
        raise RowError("RESPONSE_CHANGED", path, message)
