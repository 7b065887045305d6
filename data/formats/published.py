"""The sets that are published for ranking, as a place for answers that come from elsewhere.

Answers are checked as those of the page are, and stored in the inbox as rankings of their batch.
Of several batches with one set, the one published last gets the answer.

Omitted on purpose: hand-outs. Nobody was given these tasks here; the answers count all the same.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import InputError
from data.formats.door import new_rankings
from data.identity import sha256_bytes, sha256_text
from data.inbox import accounts, batches, events
from data.inbox.assignments import Result, take_in
from data.inbox.connection import open_inbox
from data.rankings import KnownRankings, Ranking, SetFacts, event_id_of

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

    def __init__(self, inbox: Path, now: datetime) -> None:
        """Read what is published.

        Raises:
            InputError: If the inbox is damaged, or of another version.
        """
        self._inbox = inbox
        self._now = now
        self._batch_of: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._facts: dict[str, SetFacts] = {}
        self._new: list[_NewAnswer] = []
        self.rankings: KnownRankings = new_rankings(now)
        self.rankings.sets = self._facts
        with open_inbox(inbox, read_only=True) as con:
            for batch in batches.list_batches(con):
                if batch.withdrawn_at is not None:
                    continue
                for task in batches.read_tasks(con, batch.batch_id):
                    self._know_task(task, batch)
            for account in accounts.listing(con):
                self.rankings.annotators[account.annotator_id] = ("import", account.is_active)
            for batch_id in sorted(set(self._batch_of.values())):
                for event in events.read(con, batch_id=batch_id, types=["ranking"]):
                    self._know_event(event.payload)

    def has_set(self, set_id: str) -> bool:
        """Whether a set is published."""
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
        with open_inbox(self._inbox) as con:
            for batch_id, row, place, is_held in self._new:
                result = take_in(
                    con, batch_id=batch_id, row=row, origin=place, is_held=is_held, now=self._now
                )
                if result in (Result.STORED, Result.LATE):
                    added[batch_id] = added.get(batch_id, 0) + 1
                elif result is not Result.REPLAY:
                    overtaken = overtaken or place
            finished = {it.batch_id for it in batches.list_batches(con) if it.finished_at}
        if overtaken:
            raise InputError(
                f"{overtaken}: this annotator answered the set on the page meanwhile, or a lead"
                " discarded the answer; import the file again to see what is left"
            )
        return [Sent(batch, number, batch in finished) for batch, number in added.items()]

    def _know_task(self, task: batches.Task, batch: batches.Batch) -> None:
        self._batch_of[task.set_id] = batch.batch_id
        self._texts.update({it.response_id: sha256_text(it.text) for it in task.responses})
        self._facts[task.set_id] = SetFacts(
            response_ids=frozenset(it.response_id for it in task.responses),
            generators=frozenset(it.generator for it in task.responses),
            count_words=task.count_words,
            shown_sha256=task.shown_sha256,
            allow_top=batch.allow_top,
        )

    def _know_event(self, payload: bytes) -> None:
        row = json.loads(payload)
        event_id = event_id_of(row)
        if event_id is not None and type(row.get("revision")) is int:
            self.rankings.events[event_id] = sha256_bytes(payload)
            answer = (str(row.get("set_id")), str(row.get("annotator_id")))
            self.rankings.answers.setdefault(answer, {})[row["revision"]] = event_id
