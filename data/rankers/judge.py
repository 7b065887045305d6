"""A language model that ranks sets: any endpoint of OpenAI's chat completions.

Each set is asked in a shuffled order and in its reverse, and the answers become one ranking/1 row
(see judge_merge.py). Rows are handed over one by one, as soon as they are there, and a row's event
id names batch, set and judge: so a batch that was broken off goes on without asking, or paying,
again for what was handed over. A set that gets no readable answer
is skipped with a reason, one that gets no answer at all is left for the next run.

Omitted on purpose: where rows are kept (data.inbox), sets that several judges rank, and judging a
model's replies by the same model: such a set is skipped, since a model prefers its own words.
"""

from collections import Counter
from collections.abc import Callable, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Literal

from data.errors import InputError
from data.rankers.judge_budget import Budget, CapReachedError, Tally
from data.rankers.judge_calls import Caller, StoppedError
from data.rankers.judge_config import JudgeConfig
from data.rankers.judge_endpoint import CallFailedError, Endpoint
from data.rankers.judge_set import SetJudge, judge_event_id, judge_name
from data.sets import ResponseSet

_MAX_FAILURES_IN_A_ROW = 5

Stop = Literal["", "cost", "calls", "failures"]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is to be kept at once: one set's outcome, and what all of them used.

    Attributes:
        row: A ranking/1 row; None where calls came to nothing, which may cost all the same.
        tally: What the batch used so far, to be given to the next run.
    """

    row: Row | None
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeReport:
    """What became of the sets.

    Attributes:
        annotator_id: Under which the judge ranks.
        sets: All sets.
        known: Those that had an answer before.
        ranked: Those ranked now.
        not_rankable: Those whose replies are all unacceptable to the judge.
        skipped: Those without a ranking, by reason: judge_unreadable, judge_refused,
            judge_inconsistent or judge_wrote_it.
        failed: Those that got no answer from the endpoint; the next run asks again.
        left: Those not asked.
        stopped: Why sets are left: "cost", "calls" or "failures"; empty if none is.
        notice: One sentence on failed and left sets, with the mend; empty without any.
        tally: Calls, tokens, cost and what place does to the judge, over the whole batch.
    """

    annotator_id: str
    sets: int
    known: int
    ranked: int
    not_rankable: int
    skipped: dict[str, int]
    failed: int
    left: int
    stopped: Stop
    notice: str
    tally: Tally


def rank_by_judge(
    sets: Sequence[ResponseSet],
    config: JudgeConfig,
    *,
    batch_id: str,
    seed: int,
    known: Set[str],
    emit: Callable[[Judged], None],
    tally: Tally | None = None,
    progress: Callable[[], object] = lambda: None,
) -> JudgeReport:
    """Has every set ranked, as far as the caps allow.

    Args:
        sets: What to rank, in any order.
        config: The endpoint and the caps.
        batch_id: What is ranked under it is found again under it.
        seed: Changes the order in which replies are shown.
        known: Event ids that are there already; their sets are not asked again.
        emit: Takes each outcome, in the caller's thread and in the order in which they are there.
        tally: What earlier runs of the batch used; the caps count it.
        progress: Is called after each set that is not known, whatever became of it.

    Returns:
        The counts. Failed and left sets raise nothing: what there is counts.

    Raises:
        InputError: The key, the address or the model is wrong, or several sets in a row got no
            answer and none did before. Answers that were paid are handed over first.
        ValueError: The config lacks what a run needs.
    """
    config.check_ready()
    name = judge_name(config, batch_id=batch_id, seed=seed)
    by_id = {it.set_id: it for it in sets}
    work = _Work(
        config=config,
        annotator_id=name,
        count_sets=len(by_id),
        todo=[by_id[it] for it in sorted(by_id) if judge_event_id(name, it) not in known],
        budget=Budget(config, tally or Tally()),
        emit=emit,
    )
    with Endpoint(config) as endpoint:
        judge = SetJudge(
            config=config,
            annotator_id=name,
            seed=seed,
            caller=Caller(endpoint, work.budget, config, work.stop),
            budget=work.budget,
        )
        work.run(judge.rank, progress)
    return work.report()


@dataclass(slots=True, kw_only=True)
class _Work:
    """The sets of one call of rank_by_judge and what became of them."""

    config: JudgeConfig
    annotator_id: str
    count_sets: int
    todo: Sequence[ResponseSet]
    budget: Budget
    emit: Callable[[Judged], None]
    stop: Event = field(default_factory=Event)
    outcomes: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    failures_in_a_row: int = 0
    last_failure: str = ""
    stopped: Stop = ""

    def run(self, rank: Callable[[ResponseSet], Row], progress: Callable[[], object]) -> None:
        """Asks for all sets that are not known, several at a time."""
        waiting = iter(self.todo)
        self.outcomes["known"] = self.count_sets - len(self.todo)
        pending: set[Future[Row]] = set()
        pool = ThreadPoolExecutor(self.config.concurrency, thread_name_prefix="judge")
        try:
            while True:
                is_vain = self._is_vain()
                while not (self.stopped or is_vain) and len(pending) < 2 * self.config.concurrency:
                    if (response_set := next(waiting, None)) is None:
                        break
                    pending.add(pool.submit(rank, response_set))
                if not pending and is_vain:
                    raise InputError(
                        f"the judge answered none of {self.failures_in_a_row} sets: "
                        f"{self.last_failure}"
                    )
                if not pending:
                    return
                for done in wait(pending, return_when=FIRST_COMPLETED).done:
                    pending.remove(done)  # One by one: if this one ends the work, others are kept.
                    self._take(done)
                    progress()
        finally:
            self.stop.set()
            # Calls under way are paid: they are awaited, and kept where they complete a set.
            pool.shutdown(wait=True, cancel_futures=True)
            for late in pending:
                if not late.cancelled() and late.exception() is None:
                    self._keep(late.result())
            self.emit(Judged(row=None, tally=self.budget.used))

    def _take(self, done: "Future[Row]") -> None:
        """Counts one set's outcome and hands its row over."""
        try:
            self._keep(done.result())
        except CapReachedError as error:
            self.stopped = self.stopped or error.cap
        except CallFailedError as error:
            self._fail(error)
        except StoppedError:
            pass  # It is left, as those that were not begun.

    def _keep(self, row: Row) -> None:
        self.failures_in_a_row = 0
        self.outcomes[row["outcome"]] += 1
        if row["outcome"] == "skipped":
            self.skipped[row["skip_reason"]] += 1
        self.emit(Judged(row=row, tally=self.budget.used))

    def _fail(self, error: CallFailedError) -> None:
        """Counts a set without an answer; many in a row mean that the next fares no better."""
        self.outcomes["failed"] += 1
        self.last_failure = str(error)
        self.failures_in_a_row += 1
        # A refused set, one too long for the model perhaps, says nothing of the others.
        is_down = self.failures_in_a_row >= _MAX_FAILURES_IN_A_ROW and error.can_retry
        if is_down and not self._is_vain():
            self.stopped = self.stopped or "failures"
            self.stop.set()

    def _is_vain(self) -> bool:
        """Whether several sets failed and none was answered: then what is under way decides."""
        failed = self.outcomes["failed"]
        return failed >= _MAX_FAILURES_IN_A_ROW and self._count_done() == failed

    def _count_done(self) -> int:
        return self.outcomes.total()

    def report(self) -> JudgeReport:
        """The counts."""
        left = self.count_sets - self._count_done()
        return JudgeReport(
            annotator_id=self.annotator_id,
            sets=self.count_sets,
            known=self.outcomes["known"],
            ranked=self.outcomes["ranked"],
            not_rankable=self.outcomes["not_rankable"],
            skipped=dict(sorted(self.skipped.items())),
            failed=self.outcomes["failed"],
            left=left,
            stopped=self.stopped,
            notice=self._notice(left),
            tally=self.budget.used,
        )

    def _notice(self, left: int) -> str:
        """What the user should know of sets without an answer."""
        parts = []
        if failed := self.outcomes["failed"]:
            parts.append(f"{failed} got no answer ({self.last_failure})")
        if left:
            spent, config = self.budget.used, self.config
            why = {
                "cost": f"{spent.cost:.4g} is spent, and one more could pass judge.max_cost = "
                f"{config.max_cost:g}; raise it to go on",
                "calls": f"{spent.calls} calls are made, and one more set could pass "
                f"judge.max_calls = {config.max_calls}; raise it to go on",
                "failures": f"{self.failures_in_a_row} in a row got no answer; try later",
            }
            parts.append(f"{left} are left: {why[self.stopped]}")
        if not parts:
            return ""
        return f"Of {self.count_sets} sets the judge should rank, {' and '.join(parts)}."
