"""Calls that are tried again while the endpoint is busy, within the budget.

Busy is 429, any 5xx, no connection, no answer in time, a broken connection and an answer that is no
completion. The waits double, each shortened by a share that is a hash of what is asked, so that
many callers do not come back together; an endpoint that names its own wait is given that. Any
other 4xx would be the same again and is not tried again.

Omitted on purpose: a limit on the rate. An endpoint says 429, and how long.
"""

import hashlib
from collections.abc import Sequence
from threading import Event

from data.errors import InputError
from data.messages import Message
from data.rankers.judge_budget import Budget, Tally
from data.rankers.judge_config import JudgeConfig
from data.rankers.judge_endpoint import CallFailedError, Completion, Endpoint

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
LONGEST_WAIT_ASKED = 300.0


class StoppedError(Exception):
    """The run ends; nothing more is asked."""


def wait_before_retry(tries: int, *, retry_after: float, key: str) -> float:
    """Seconds to wait.

    Args:
        tries: Tries so far, at least one.
        retry_after: What the endpoint asks for, 0 for nothing.
        key: Names the question; equal keys wait equally long.

    Returns:
        Half to all of a wait that doubles with each try, and no less than the endpoint asks for.
    """
    wait = min(FIRST_WAIT * 2.0 ** (tries - 1), LONGEST_WAIT)
    share = int.from_bytes(hashlib.sha256(f"{key}|{tries}".encode()).digest()[:4], "big") / 2**32
    return max(wait * (0.5 + 0.5 * share), retry_after)


class Caller:
    """An endpoint with retries and a budget, for several threads."""

    def __init__(
        self, endpoint: Endpoint, budget: Budget, config: JudgeConfig, stop: Event
    ) -> None:
        """Takes its parts; `stop` ends waits and refuses further calls."""
        self._endpoint = endpoint
        self._budget = budget
        self._config = config
        self._stop = stop

    def call(self, messages: Sequence[Message], *, key: str, is_reserved: bool) -> Completion:
        """Ask until there is an answer.

        Args:
            messages: The question.
            key: Names it.
            is_reserved: Whether the budget keeps room for the first try already.

        Returns:
            What the model said; the budget is charged for it.

        Raises:
            CallFailedError: There is none, or none in time.
            CapReachedError: One more try could pass a cap.
            StoppedError: The run ends.
            InputError: No question would fare better.
        """
        worst = self._budget.worst(messages)
        tries = 0
        while True:
            if not (is_reserved and tries == 0):
                self._budget.reserve(worst)
            try:
                completion = self._try(messages, worst)
            except CallFailedError as error:
                tries += 1
                wait = wait_before_retry(tries, retry_after=error.retry_after, key=key)
                is_last = tries >= self._config.max_tries or wait > LONGEST_WAIT_ASKED
                if is_last or not error.can_retry:
                    raise
                self._stop.wait(wait)
            else:
                return completion

    def _try(self, messages: Sequence[Message], worst: Tally) -> Completion:
        """One request, charged whatever comes of it."""
        if self._stop.is_set():
            self._budget.release(worst, calls=1)
            raise StoppedError
        used = Tally(calls=1)
        try:
            completion = self._endpoint.post(messages)
            used = worst
            if completion.usage:
                read, written = completion.usage
                used = self._budget.price(input_tokens=read, output_tokens=written)
        except CallFailedError as error:
            used = worst if error.may_be_billed else used
            raise
        except InputError:
            self._stop.set()
            raise
        finally:
            self._budget.settle(worst, used)
        return completion
