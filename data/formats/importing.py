"""The import of a file: every answer in it ends as accepted, duplicate, held or quarantined.

An answer to a set of the folder, or with texts of its own, goes to the folder; an answer to a set
that is published for ranking goes to the inbox, where a waiting run finds it.

Omitted on purpose: what each format looks like, and the writing.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.formats.door import HELD_CODES, check_answer, make_set, ranking_row
from data.formats.folder import Folder
from data.formats.items import Answer, Demonstration, Format, Item, OwnRow, ReadOptions
from data.formats.preferences import edge_of, find_contradictions
from data.formats.published import PublishedSets
from data.formats.source import Place
from data.identity import sha256_bytes, sha256_text
from data.jsonl import RowError
from data.messages import check_messages
from data.rankings import Ranking, doubt_about, outcome_of, read_ranking
from data.sets import parse_set

_Row = dict[str, Any]
_Sink = Folder | PublishedSets


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """What became of the answers of a file.

    Attributes:
        rows: Rows of the file that hold an answer, or none for a stated reason.
        accepted, duplicate, held, quarantined: Answers by outcome.
        reasons: Code -> answers that were not accepted.
        examples: Code -> where it was met first, and the message.
    """

    path: Path
    format_name: str
    rows: int = 0
    accepted: int = 0
    duplicate: int = 0
    held: int = 0
    quarantined: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """All answers: the sum of the four outcomes."""
        return self.accepted + self.duplicate + self.held + self.quarantined


class Importer:
    """Takes the answers of files into a folder, or the inbox."""

    def __init__(
        self,
        folder: Folder,
        published: PublishedSets | None = None,
        *,
        names: Mapping[str, str] | None = None,
        accept_held: bool = False,
    ) -> None:
        """Open the way in.

        Args:
            folder: Where answers with texts of their own go.
            published: The sets that are published for ranking; None for none.
            names: Annotator as a source names them -> our id.
            accept_held: Take in what would wait for a person's decision.
        """
        self._folder = folder
        self._published = published
        self._names = names or {}
        self._accept_held = accept_held
        self._source = ""
        self._place = ""
        self._answer = 0
        self._raw_kept_of: Place | None = None

    def take(self, path: Path, form: Format, options: ReadOptions) -> ImportReport:
        """Take in a file.

        Raises:
            InputError: If it cannot be read, or holds scores and nobody said which are good.
        """
        report = ImportReport(path=path, format_name=form.name)
        self._source = form.name
        self._raw_kept_of = None
        contradictions = self._contradictions(path, form, options)
        seen: set[int] = set()
        for item in form.read(path, options):
            first = item.places[0]
            # A whole array may stand in the first line.
            is_array = first.line == 1 < first.row
            self._place = f"{path}:{first.line}{f' (row {first.row})' if is_array else ''}"
            self._answer = self._answer + 1 if first.row in seen else 1
            seen.update(place.row for place in item.places)
            doubt = None
            try:
                doubt = self._take(item, contradictions.get(first.row))
            except RowError as error:
                self._note(report, item, error, is_held=error.code in HELD_CODES)
            else:
                if doubt is None:
                    report.accepted += 1
                else:
                    self._note(report, item, doubt, is_held=True)
        # Several answers may stand in one row, and one in several.
        report.rows = len(seen)
        return report

    def _contradictions(
        self, path: Path, form: Format, options: ReadOptions
    ) -> Mapping[int, RowError]:
        """Reads a file of pairs once more: whether a pair can hold depends on all others."""
        if not form.is_pairs:
            return {}
        return find_contradictions(
            edge
            for item in form.read(path, options)
            if isinstance(item.content, Answer) and item.content.set_id is None
            for edge in [edge_of(item.content, item.places[0].row)]
            if edge is not None
        )

    def _take(self, item: Item, contradiction: RowError | None) -> RowError | None:
        """Take in one answer; returns why it waits for a person, None if it was accepted.

        Raises:
            RowError: Why it was not taken.
        """
        content = item.content
        if isinstance(content, RowError):
            raise content
        if contradiction is not None:
            raise contradiction
        if isinstance(content, Demonstration):
            self._take_demonstration(content)
            return None
        if isinstance(content, OwnRow):
            return self._take_own(content.row)
        if content.set_id is not None:
            return self._take_known(content, content.set_id)
        return self._take_new(content)

    def _take_demonstration(self, content: Demonstration) -> None:
        if not content.response.strip():
            raise RowError("EMPTY_TEXT", "response", "response is empty")
        check_messages(content.messages)
        if not self._folder.add_sft(content.messages, content.response):
            raise RowError("DUPLICATE", "", "same prompt, same response: ignored")

    def _take_own(self, row: _Row) -> RowError | None:
        if row["schema"] == "set/1":
            response_set = parse_set(row)
            if not self._folder.offer_set(response_set):
                raise RowError("DUPLICATE", "set_id", "same set, same content: ignored")
            self._folder.add_set(response_set, row)
            return None
        sink = self._sink(row.get("set_id"))
        ranking = read_ranking(row, sink.rankings)
        return self._store(sink, None, ranking, row)

    def _take_known(self, answer: Answer, set_id: str) -> RowError | None:
        """Take in an answer to a set of ours."""
        sink = self._sink(set_id)
        for candidate in answer.candidates:
            stored = sink.text_sha256(candidate.key)
            if candidate.text is not None and stored not in (None, *_hashes(candidate.text)):
                message = f"the text of {candidate.key} is not the stored text"
                raise RowError("STALE_CONTENT", "response", message)
        ids = {it.key: it.key for it in answer.candidates}
        row, ranking = self._check(sink, answer, set_id, ids)
        return self._store(sink, answer, ranking, row)

    def _take_new(self, answer: Answer) -> RowError | None:
        """Take in an answer that brings its own texts; its set stays only if the answer does."""
        response_set, set_row, ids = make_set(answer, self._source)
        is_new = self._folder.offer_set(response_set)
        is_kept = False
        try:
            row, ranking = self._check(self._folder, answer, response_set.set_id, ids)
            doubt = self._doubt(self._folder, answer, ranking)
            is_kept = doubt is None
        finally:
            if is_new and not is_kept:
                self._folder.withdraw_set(response_set)
        if doubt is not None:
            return doubt
        if is_new:
            self._folder.add_set(response_set, set_row)
        return self._store(self._folder, answer, ranking, row)

    def _check(
        self, sink: _Sink, answer: Answer, set_id: str, ids: Mapping[str, str]
    ) -> tuple[_Row, Ranking]:
        annotator = self._names.get(answer.annotator, answer.annotator)
        row = ranking_row(answer, name=set_id, ids=ids, annotator=annotator, source=self._source)
        return check_answer(row, answer, sink.rankings, ids, accept_replaced=self._accept_held)

    def _doubt(self, sink: _Sink, answer: Answer | None, ranking: Ranking) -> RowError | None:
        if self._accept_held:
            return None
        doubt = answer.doubt if answer is not None else None
        return doubt or doubt_about(ranking, sink.rankings)

    def _store(
        self, sink: _Sink, answer: Answer | None, ranking: Ranking, row: _Row
    ) -> RowError | None:
        """Store a ranking that was checked, unless a person has to look at it first."""
        doubt = self._doubt(sink, answer, ranking)
        if isinstance(sink, PublishedSets):
            # What the ledger doubts too waits there: a lead decides on the lead's page.
            is_held = doubt_about(ranking, sink.rankings) is not None
            if doubt is None or is_held:
                sink.add_ranking(ranking, row, self._place, is_held=is_held)
        elif doubt is None:
            sink.add_ranking(ranking, row)
        return doubt

    def _sink(self, set_id: object) -> _Sink:
        """Where a set is known: the folder, else what is published; the folder says UNKNOWN_SET."""
        if self._published is None or not isinstance(set_id, str):
            return self._folder
        is_elsewhere = not self._folder.has_set(set_id) and self._published.has_set(set_id)
        return self._published if is_elsewhere else self._folder

    def _note(self, report: ImportReport, item: Item, error: RowError, *, is_held: bool) -> None:
        """Count an answer that was not accepted, and keep what was refused."""
        outcome = "held" if is_held else outcome_of(error)
        setattr(report, outcome, getattr(report, outcome) + 1)
        report.reasons[error.code] += 1
        field_name = f" {error.field}:" if error.field else ""
        report.examples.setdefault(error.code, f"{self._place}:{field_name} {error.message}")
        if outcome == "duplicate":
            return
        first = item.places[0]
        self._folder.add_refused(
            {
                "source": report.path.name,
                "line": first.line,
                "row": first.row,
                "answer": self._answer,
                "code": error.code,
                "field": error.field,
                "message": error.message,
                "is_held": outcome == "held",
                "raw": self._raw_once(item),
            }
        )

    def _raw_once(self, item: Item) -> str:
        """The text of a row where it is kept first: it may be a page of thousands of answers."""
        if (place := item.places[0]) == self._raw_kept_of:
            return f"as above, sha256 {sha256_bytes(item.raw)}"
        self._raw_kept_of = place
        return item.raw.decode("utf-8", "replace").replace("\x00", "\ufffd")


def _hashes(cell: str) -> list[str]:
    """Hashes of the texts that a cell may stand for: spreadsheets guard cells and rewrite ends."""
    texts = [cell, cell.removeprefix("'")]
    return [sha256_text(it) for text in texts for it in (text, text.replace("\n", "\r\n"))]
