"""The folder that imports fill: prompts, SFT rows, sets, rankings and what was refused.

These are the files that a run with ranker "file" reads. Rows are added to what is there; a row that
is there is not written again. New files are written beside the old ones, flushed to the disk and
renamed, so that a killed import leaves the old files, whole; what it had begun is removed by the
next one.

Omitted on purpose: locking (one import at a time is the caller's care), and changing rows.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from io import BufferedWriter
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.families import normalised_dialogue
from data.formats.door import family_of, new_rankings
from data.formats.files import sync_folder
from data.identity import canonical_json, prompt_id, sha256_text
from data.jsonl import Limits, RowError, input_error, parse_object, read_lines, read_objects
from data.messages import Message, parse_prompt_row, parse_sft_row
from data.rankings import KnownRankings, Ranking, SetFacts, event_id_of
from data.sets import KnownSets, ResponseSet, RunPrompts, check_set, parse_set, run_prompt

_FILES = PROMPTS, SFT, SETS, RANKINGS, REFUSED = tuple(
    f"{name}.jsonl" for name in ("prompts", "sft", "sets", "rankings", "refused")
)

_REFUSED_LIMITS = Limits(line_bytes=2**28, depth=8)
_REFUSED_KEY = ("source", "line", "row", "answer", "raw")

_Row = dict[str, Any]


class Folder:
    """What a folder holds, and the rows that an import adds.

    Attributes:
        rankings: What rows of rankings are checked against.
    """

    def __init__(self, path: Path | None, now: datetime) -> None:
        self._path = path
        self._files: dict[str, BufferedWriter] = {}
        self._added: dict[str, int] = {}
        self._facts: dict[str, SetFacts] = {}
        self._sets = KnownSets(prompts=RunPrompts(by_id={}, by_norm={}))
        self._families: dict[str, str] = {}
        self._prompts: set[str] = set()
        self._sft: set[str] = set()
        self._refused: set[str] = set()
        self._best: set[str] = set()
        self._beaten: set[str] = set()
        self.rankings: KnownRankings = new_rankings(now)
        self.rankings.sets = self._facts

    def has_set(self, set_id: str) -> bool:
        """Whether the folder holds a set, from before or from this import."""
        return set_id in self._facts

    def text_sha256(self, response_id: str) -> str | None:
        """Return the hash of a response's text."""
        stored = self._sets.stored_responses.get(response_id)
        return stored[1] if stored else None

    def offer_set(self, response_set: ResponseSet) -> bool:
        """Check a set against what is there, so that rankings of it can be checked.

        Returns:
            Whether it is new: then it has to be added, or withdrawn.

        Raises:
            RowError: As data.sets.check_set, but for DUPLICATE.
        """
        try:
            self._check_set(response_set)
        except RowError as error:
            if error.code == "DUPLICATE":
                return False
            raise
        self._facts[response_set.set_id] = facts_of(response_set)
        return True

    def withdraw_set(self, response_set: ResponseSet) -> None:
        """Forget a set that was offered."""
        del self._facts[response_set.set_id]

    def add_set(self, response_set: ResponseSet, row: _Row) -> None:
        """Write a set that was offered and is new, and its prompt."""
        self.add_prompt(response_set.prompt_id, response_set.messages)
        self._sets.add(response_set)
        self._write(SETS, row)

    def add_prompt(self, name: str, messages: list[Message]) -> None:
        """Write a prompt unless it is there."""
        if name not in self._prompts:
            self._prompts.add(name)
            family = self._family(messages)
            self._write(PROMPTS, {"prompt_id": name, "messages": messages, "family": family})

    def add_ranking(self, ranking: Ranking, row: _Row) -> None:
        """Write a ranking that was checked."""
        self.rankings.add(ranking)
        self._know_tiers(ranking.tiers)
        self._write(RANKINGS, row)

    def add_sft(self, messages: list[Message], response: str) -> bool:
        """Write an SFT row; returns False if it is there."""
        key = _sft_key(messages, response)
        if key in self._sft:
            return False
        self._sft.add(key)
        family = self._family(messages)
        self._write(SFT, {"messages": messages, "response": response, "family": family})
        return True

    def add_refused(self, row: _Row) -> None:
        """Write what was not taken, unless the same answer of the same row stands there.

        The reason may be another one the second time: what else was taken since plays a part.
        """
        key = _refused_key(row)
        if key not in self._refused:
            self._refused.add(key)
            self._write(REFUSED, row)

    def load(self) -> None:
        """Read what is there.

        Raises:
            InputError: If a file of prompts, SFT rows or sets has a fault.
        """
        if self._path is None:
            return
        for path, number, row in self._rows(PROMPTS):
            with _at(path, number):
                messages = parse_prompt_row(row)
            self._prompts.add(row.get("prompt_id") or prompt_id(messages))
            self._know_family(messages, row.get("family"))
        for path, number, row in self._rows(SFT):
            with _at(path, number):
                messages, response = parse_sft_row(row)
            self._sft.add(_sft_key(messages, response))
            self._know_family(messages, row.get("family"))
        for path, number, row in self._rows(SETS):
            with _at(path, number):
                response_set = parse_set(row)
                self._check_set(response_set)
            self._sets.add(response_set)
            self._facts[response_set.set_id] = facts_of(response_set)
        self._load_rankings()
        if self._place(REFUSED).exists():
            # Raw rows of others may be longer than rows of ours.
            for line in read_lines(self._place(REFUSED), limits=_REFUSED_LIMITS):
                with suppress(RowError):
                    row = parse_object(line.raw, size=line.size, limits=_REFUSED_LIMITS)
                    self._refused.add(_refused_key(row))

    def add_best_responses(self) -> None:
        """Write an SFT row for each response that a ranking puts first and none below another."""
        wanted = self._best - self._beaten
        source = self._current(SETS)
        if not wanted or source is None or self._path is None:
            return
        for _, row in read_objects(source):
            response_set = parse_set(row)
            for response in response_set.responses:
                if response.response_id in wanted:
                    self.add_sft(response_set.messages, response.text)

    def commit(self) -> dict[str, int]:
        """Put the new files in place of the old ones; returns the rows added to each."""
        # Sets before rankings: a killed import must not leave a ranking without its set.
        for name in _FILES:
            file = self._files.get(name)
            if file is not None:
                file.flush()
                os.fsync(file.fileno())
                file.close()
                Path(file.name).replace(self._place(name))
        if self._files and self._path is not None:
            sync_folder(self._path)
        self._files = {}
        return self._added

    def discard(self) -> None:
        """Remove what was written and not committed."""
        for file in self._files.values():
            file.close()
            Path(file.name).unlink(missing_ok=True)
        self._files = {}

    def remove_leftovers(self) -> None:
        """Remove what a killed import had begun to write; one import at a time is in the folder."""
        if self._path is not None:
            for name in _FILES:
                _temporary(self._place(name)).unlink(missing_ok=True)

    def _rows(self, name: str) -> Iterator[tuple[Path, int, _Row]]:
        path = self._place(name)
        if path.exists():
            for number, row in read_objects(path):
                yield path, number, row

    def _load_rankings(self) -> None:
        """Remember rankings by id, set and annotator; the ledger will say what is wrong in them."""
        path = self._place(RANKINGS)
        for line in read_lines(path) if path.exists() else ():
            try:
                row = parse_object(line.raw, size=line.size)
            except RowError:
                continue
            event_id, revision = event_id_of(row), row.get("revision")
            if event_id is None or type(revision) is not int:
                continue
            self.rankings.events[event_id] = sha256_text(
                canonical_json({**row, "event_id": event_id})
            )
            answer = (str(row.get("set_id")), str(row.get("annotator_id")))
            self.rankings.answers.setdefault(answer, {})[revision] = event_id
            tiers = row.get("tiers")
            if isinstance(tiers, dict):
                self._know_tiers({k: v for k, v in tiers.items() if type(v) is int})

    def _check_set(self, response_set: ResponseSet) -> None:
        """Check a set against those that are there.

        Raises:
            RowError: As data.sets.check_set; DUPLICATE if the set is there.
        """
        prompt = response_set.prompt_id
        if prompt not in self._sets.prompts.by_id:
            family = self._family(response_set.messages)
            known = run_prompt(prompt, family, "", response_set.messages)
            self._sets.prompts.by_id[prompt] = known
            self._sets.prompts.by_norm.setdefault(known.norm_sha256, known)
        check_set(response_set, self._sets)

    def _know_tiers(self, tiers: Mapping[str, int]) -> None:
        if len(set(tiers.values())) > 1:
            self._best.update(name for name, tier in tiers.items() if tier == 1)
            self._beaten.update(name for name, tier in tiers.items() if tier > 1)

    def _know_family(self, messages: list[Message], family: str | None) -> None:
        if family is not None:
            self._families.setdefault(sha256_text(normalised_dialogue(messages)), family)

    def _family(self, messages: list[Message]) -> str:
        """The family that the user gave this text, else the one of its first turn."""
        named = self._families.get(sha256_text(normalised_dialogue(messages)))
        return named or family_of(messages)

    def _place(self, name: str) -> Path:
        return (self._path or Path()) / name

    def _current(self, name: str) -> Path | None:
        """Where the rows of a file stand now, those of this import too."""
        if name in self._files:
            self._files[name].flush()
            return Path(self._files[name].name)
        return self._place(name) if self._place(name).exists() else None

    def _write(self, name: str, row: _Row) -> None:
        self._added[name] = self._added.get(name, 0) + 1
        if self._path is None:
            return
        if name not in self._files:
            self._files[name] = self._begin(name)
        self._files[name].write(canonical_json(row).encode() + b"\n")

    def _begin(self, name: str) -> BufferedWriter:
        """Open a copy of a file to write on at its end."""
        place = self._place(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(place)
        if place.exists():
            shutil.copyfile(place, temporary)
        file = temporary.open("ab" if place.exists() else "wb")
        if place.exists() and not _ends_whole(place):
            file.write(b"\n")
        return file


@contextmanager
def open_folder(path: Path | None, now: datetime) -> Iterator[Folder]:
    """Open a folder for an import: the block's rows are written as a whole, or not at all.

    Args:
        path: The folder, made when missing; None checks rows and writes nothing.
        now: The clock of this machine, with a time zone.

    Raises:
        InputError: If a file there has a fault, or cannot be written.
    """
    folder = Folder(path, now)
    with ExitStack() as stack:
        stack.callback(folder.discard)
        try:
            folder.remove_leftovers()
            folder.load()
            yield folder
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from None


@contextmanager
def _at(path: Path, number: int) -> Iterator[None]:
    try:
        yield
    except RowError as error:
        raise input_error(path, number, error) from None


def facts_of(response_set: ResponseSet) -> SetFacts:
    """Return what rankings of a set are checked against."""
    return SetFacts(
        response_ids=frozenset(it.response_id for it in response_set.responses),
        generators=frozenset(it.generator for it in response_set.responses),
        count_words=response_set.count_words,
        shown_sha256=response_set.shown_sha256,
    )


def _temporary(place: Path) -> Path:
    return place.with_name(f".{place.name}.tmp")


def _refused_key(row: _Row) -> str:
    return sha256_text(canonical_json([row.get(name) for name in _REFUSED_KEY]))


def _sft_key(messages: list[Message], response: str) -> str:
    return sha256_text(canonical_json([messages, response]))


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
