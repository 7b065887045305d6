"""The sets that are published for ranking, as a place for answers that come from elsewhere.

Answers are checked as those of the page are, and stored in the inbox as rankings of their batch.
Of several batches with one set, the one published last gets the answer.

Omitted on purpose: hand-outs. Nobody was given these tasks here; the answers count all the same.
"""

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from data.errors import InputError
from data.formats.door import new_rankings
from data.identity import sha256_bytes, sha256_text
from data.inbox import accounts, batches, events
from data.inbox.assignments import Result, take_in
from data.inbox.connection import open_inbox, path_of, write
from data.inbox.tasks import Task, find_task
from data.rankings import KnownRankings, Ranking, SetFacts, event_id_of

# Who waits meanwhile to store a ranking waits for one chunk.
CHUNK_ANSWERS = 500

_Row = dict[str, Any]


class _NewAnswer(NamedTuple):
    """An answer for the inbox, and where a person finds it."""

    batch_id: str
    row: _Row
    place: str
    is_held: bool


class Sent(NamedTuple):
    """Answers that were stored for a batch; a finished one has no run that waits for them."""

    batch_id: str
    answers: int
    is_finished: bool


class PublishedSets:
    """Sets of the batches in the inbox, and the answers that an import adds.

    Attributes:
        rankings: What rows of rankings are checked against.
    """

    def __init__(self, con: sqlite3.Connection, now: datetime) -> None:
        """Read which batches there are; their sets and answers are read when one is asked for.

        Args:
            con: The inbox, open for as long as this is in use.
            now: The clock of this machine, with a time zone.
        """
        self._con = con
        self._now = now
        self._batches = [it for it in batches.list_batches(con) if it.withdrawn_at is None]
        self._asked: set[str] = set()
        self._read: set[str] = set()
        self._batch_of: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._facts: dict[str, SetFacts] = {}
        self._new: list[_NewAnswer] = []
        self.rankings: KnownRankings = new_rankings(now)
        self.rankings.sets = self._facts
        for account in accounts.listing(con):
            self.rankings.annotators[account.annotator_id] = ("import", account.is_active)

    def has_set(self, set_id: str) -> bool:
        """Whether a set is published."""
        if set_id not in self._asked:
            self._asked.add(set_id)
            for batch in self._batches:
                task = find_task(self._con, batch.batch_id, set_id)
                if task is not None:
                    self._know_task(task, batch)
                    self._know_answers(batch.batch_id)
        return set_id in self._facts

    def text_sha256(self, response_id: str) -> str | None:
        """Return the hash of a response's text."""
        return self._texts.get(response_id)

    def add_ranking(self, ranking: Ranking, row: _Row, place: str, *, is_held: bool) -> None:
        """Keep a ranking that was checked for the inbox."""
        self.rankings.add(ranking)
        self._new.append(_NewAnswer(self._batch_of[ranking.set_id], row, place, is_held))

    def commit(self) -> list[Sent]:
        """Store the new rankings; returns how many for each batch.

        Raises:
            InputError: An annotator answered a set elsewhere since the file was read.
        """
        added: dict[str, int] = {}
        overtaken = ""
        if not self._new:
            return []
        with open_inbox(path_of(self._con)) as con:
            for start in range(0, len(self._new), CHUNK_ANSWERS):
                chunk = self._new[start : start + CHUNK_ANSWERS]
                for answer, result in zip(chunk, self._store(con, chunk), strict=True):
                    if result in (Result.STORED, Result.LATE):
                        added[answer.batch_id] = added.get(answer.batch_id, 0) + 1
                    elif result is not Result.REPLAY:
                        overtaken = overtaken or answer.place
            finished = {it.batch_id for it in batches.list_batches(con) if it.finished_at}
        if overtaken:
            raise InputError(
                f"{overtaken}: this annotator answered the set on the page meanwhile, or a lead"
                " discarded the answer; import the file again to see what is left"
            )
        return [Sent(batch, number, batch in finished) for batch, number in added.items()]

    def _store(self, con: sqlite3.Connection, chunk: Sequence[_NewAnswer]) -> list[Result]:
        with write(con):
            return [
                take_in(con, batch_id=batch, row=row, origin=place, is_held=is_held, now=self._now)
                for batch, row, place, is_held in chunk
            ]

    def _know_task(self, task: Task, batch: batches.Batch) -> None:
        self._batch_of[task.set_id] = batch.batch_id
        self._texts.update({it.response_id: sha256_text(it.text) for it in task.responses})
        self._facts[task.set_id] = SetFacts(
            response_ids=frozenset(it.response_id for it in task.responses),
            generators=frozenset(it.generator for it in task.responses),
            count_words=task.count_words,
            shown_sha256=task.shown_sha256,
            allow_top=batch.allow_top,
        )

    def _know_answers(self, batch_id: str) -> None:
        if batch_id not in self._read:
            self._read.add(batch_id)
            for event in events.read(self._con, batch_id=batch_id, types=["ranking"]):
                self._know_event(event.payload)

    def _know_event(self, payload: bytes) -> None:
        row = json.loads(payload)
        event_id = event_id_of(row)
        if event_id is not None and type(row.get("revision")) is int:
            self.rankings.events[event_id] = sha256_bytes(payload)
            answer = (str(row.get("set_id")), str(row.get("annotator_id")))
            self.rankings.answers.setdefault(answer, {})[row["revision"]] = event_id
