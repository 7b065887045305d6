"""One set, judged: its questions, the one answer they make, and that as a ranking/1 row.

Omitted on purpose: which sets, how many at a time, and what to do about failures (judge.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from data.identity import canonical_json, sha256_text
from data.rankers.judge_budget import Budget
from data.rankers.judge_calls import Caller
from data.rankers.judge_config import JudgeConfig
from data.rankers.judge_endpoint import Completion
from data.rankers.judge_merge import Verdict, count_positions, merge, skip
from data.rankers.judge_prompt import (
    RUBRIC,
    Answer,
    Question,
    UnreadableAnswerError,
    questions,
    read_answer,
    repair,
)
from data.sets import ResponseSet

# Raised by hand when answers come to mean something else; the rubric counts by itself.
UI_VERSION = "judge/1"

_NOT_IN_AN_ID = re.compile(r"[^\w.:@/+-]")
_MODEL_CHARACTERS = 96


def judge_name(config: JudgeConfig, *, batch_id: str, seed: int) -> str:
    """The judge's annotator id.

    Another batch, model, rubric or seed makes another annotator: under one id they would give one
    set two answers, which the ledger refuses.
    """
    parts = [batch_id, config.identity(), RUBRIC, UI_VERSION, seed]
    model = _NOT_IN_AN_ID.sub("-", config.model)[:_MODEL_CHARACTERS]
    return f"judge-{model}-{sha256_text(canonical_json(parts))[:12]}"


def judge_event_id(annotator_id: str, set_id: str) -> str:
    """The event id of a judge's answer to a set."""
    return str(uuid5(NAMESPACE_OID, f"judge|{annotator_id}|{set_id}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetJudge:
    """Ranks one set at a time, in any thread.

    Attributes:
        config: Model and swaps.
        annotator_id: In whose name.
        seed: Changes the order in which replies are shown.
        caller: Asks the endpoint.
        budget: Is charged.
    """

    config: JudgeConfig
    annotator_id: str
    seed: int
    caller: Caller
    budget: Budget

    def rank(self, response_set: ResponseSet) -> dict[str, Any]:
        """Ask about a set.

        Returns:
            Its ranking/1 row; one that got no readable answer is skipped, with a reason.

        Raises:
            CallFailedError: There was no answer.
            CapReachedError: A call could pass a cap.
            StoppedError: The run ends.
            InputError: No other set would fare better.
        """
        started_at, clock = datetime.now(UTC), monotonic()
        asked = questions(response_set, swaps=self.config.swaps, seed=self.seed)
        if self.config.model in {it.generator for it in response_set.responses}:
            verdict = skip("judge_wrote_it")
        else:
            verdict = self._verdict(response_set.set_id, asked)
        seconds = monotonic() - clock
        return self._row(response_set, asked[0].order, verdict, started_at, seconds)

    def _verdict(self, set_id: str, asked: Sequence[Question]) -> Verdict:
        """What all questions on a set come to."""
        # All orders of a set are equally long. Room is kept for all of them before the first, so
        # that no answer is paid for in vain at the cap.
        worst, left = self.budget.worst(asked[0].messages), len(asked)
        self.budget.begin(worst, calls=left)
        answers: list[Answer] = []
        try:
            for number, question in enumerate(asked):
                left -= 1
                answers.append(self._ask(question, f"{set_id}|{number}"))
                if answers[-1].outcome == "refused":
                    break
        except UnreadableAnswerError:
            return skip("judge_unreadable")
        finally:
            self.budget.release(worst, calls=left)
        verdict = merge(answers)
        if verdict.outcome == "ranked":
            orders, votes = [it.order for it in asked], [it.tiers for it in answers]
            self.budget.add(count_positions(orders, votes, verdict.tiers))
        return verdict

    def _ask(self, question: Question, key: str) -> Answer:
        """One question, asked once more where its answer cannot be read."""
        said = self.caller.call(question.messages, key=key, is_reserved=True)
        try:
            return _answer(said, question)
        except UnreadableAnswerError as error:
            again = repair(question, said.text, str(error))
        said = self.caller.call(again, key=f"{key}|repair", is_reserved=False)
        return _answer(said, question)

    def _row(
        self,
        response_set: ResponseSet,
        order: Sequence[str],
        verdict: Verdict,
        started_at: datetime,
        seconds: float,
    ) -> dict[str, Any]:
        """The answer as ranking/1; the order shown is that of the first question."""
        active_ms = int(1000 * seconds)
        started_at = started_at.replace(microsecond=started_at.microsecond // 1000 * 1000)
        submitted_at = started_at + timedelta(milliseconds=active_ms)
        row: dict[str, Any] = {
            "schema": "ranking/1",
            "event_id": judge_event_id(self.annotator_id, response_set.set_id),
            "set_id": response_set.set_id,
            "annotator_id": self.annotator_id,
            "revision": 1,
            "outcome": verdict.outcome,
            "display_order": list(order),
            "touched": True,
            "shown_sha256": response_set.shown_sha256,
            "started_at": started_at.isoformat(timespec="milliseconds"),
            "submitted_at": submitted_at.isoformat(timespec="milliseconds"),
            "active_ms": active_ms,
            "ui_version": UI_VERSION,
        }
        if verdict.outcome == "ranked":
            row |= {"coverage": "full", "tiers": verdict.tiers}
        if verdict.skip_reason is not None:
            row["skip_reason"] = verdict.skip_reason
        return row


def _answer(said: Completion, question: Question) -> Answer:
    """What the judge said; raises UnreadableAnswerError where that is nothing to go by."""
    if said.is_refused:
        return Answer(outcome="refused", tiers={})
    if said.is_cut:
        raise UnreadableAnswerError("it was cut at the longest answer allowed")
    return read_answer(said.text, question)
