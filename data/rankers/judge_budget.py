"""What a judge has used, and what it may still use.

A call is paid for after it was made, so it is allowed only if its worst case fits: every byte of
the question a token (no tokenizer of bytes makes more), and max_tokens of answer. What it really
used, by the endpoint's own count, then takes the place of the worst case. A call without such a
count, and one whose answer was lost on the way, is charged as the worst case. The cap can be passed
in two cases: by an endpoint that bills more output than it was allowed, and by a kill, which loses
the count of the calls under way.

Omitted on purpose: currencies, and discounts for cached input.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Condition
from typing import Literal, Self

from data.messages import Message
from data.rankers.judge_config import JudgeConfig

_TOKENS_BESIDE_TEXT = 16  # Role and separators, of each message and of the answer's start.
_MILLION = 1_000_000
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Running sums over a batch; plain numbers, so that they can be kept between runs.

    Attributes:
        calls: Requests sent.
        input_tokens: Tokens read, as charged.
        output_tokens: Tokens written, as charged.
        cost: In the currency of the prices.
        strict: Pairs of responses that an answer orders strictly, over all answers.
        first: Those of them that the reply shown earlier wins.
        twice: Pairs that both answers to a set order strictly.
        alike: Those of them ordered alike.
        tied: Pairs that at least one answer orders and the merged tiers do not.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    strict: int = 0
    first: int = 0
    twice: int = 0
    alike: int = 0
    tied: int = 0

    def __add__(self, other: Self) -> "Tally":
        """Both together."""
        names = [it.name for it in dataclasses.fields(self)]
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def position_consistency(self) -> float | None:
        """Share of pairs ordered alike by both answers, of those that both order; None if none."""
        return self.alike / self.twice if self.twice else None

    @property
    def first_shown_wins(self) -> float | None:
        """Share of ordered pairs that the reply shown earlier wins: 0.5 without a preference."""
        return self.first / self.strict if self.strict else None


class CapReachedError(Exception):
    """The next call could pass a cap.

    Attributes:
        cap: Which one.
    """

    def __init__(self, cap: Literal["cost", "calls"]) -> None:
        super().__init__(cap)
        self.cap = cap


class Budget:
    """The caps of a batch and what was used of them, for several threads."""

    def __init__(self, config: JudgeConfig, used: Tally) -> None:
        """Goes on from what earlier runs of the batch used."""
        self._config = config
        self._used = used
        self._reserved_cost, self._reserved_calls = 0.0, 0
        self._lock = Condition()

    @property
    def used(self) -> Tally:
        """What was used so far."""
        with self._lock:
            return self._used

    def worst(self, messages: Sequence[Message]) -> Tally:
        """The most that one call with these messages can use."""
        read = _TOKENS_BESIDE_TEXT * (len(messages) + 1)
        read += sum(len(message["content"].encode("utf-8")) for message in messages)
        return self.price(input_tokens=read, output_tokens=self._config.max_tokens)

    def price(self, *, input_tokens: int, output_tokens: int) -> Tally:
        """One call with these tokens."""
        cost = input_tokens * self._config.input_price + output_tokens * self._config.output_price
        return Tally(
            calls=1,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost=cost / _MILLION,
        )

    def begin(self, worst: Tally, *, calls: int) -> None:
        """Keeps room for the calls of a set, of which the caller holds none yet.

        Waits while the room is there but kept for calls under way, most of which need less.

        Raises:
            CapReachedError: As reserve.
        """
        with self._lock:
            while self._reserved_calls and self._cap_passed_by(worst, calls):
                self._lock.wait()
            self._keep(worst, calls)

    def reserve(self, worst: Tally) -> None:
        """Keeps room for one call more of a set that was begun.

        Raises:
            CapReachedError: It could pass a cap; nothing is kept then.
        """
        with self._lock:
            self._keep(worst, 1)

    def _keep(self, worst: Tally, calls: int) -> None:
        if cap := self._cap_passed_by(worst, calls):
            raise CapReachedError(cap)
        self._reserved_cost += calls * worst.cost
        self._reserved_calls += calls

    def _cap_passed_by(self, worst: Tally, calls: int) -> Literal["cost", "calls"] | None:
        cost = self._used.cost + self._reserved_cost + calls * worst.cost
        if cost > self._config.max_cost + _ROUNDING:
            return "cost"
        count = self._used.calls + self._reserved_calls + calls
        return "calls" if 0 < self._config.max_calls < count else None

    def release(self, worst: Tally, *, calls: int) -> None:
        """Gives room back that no call needed."""
        with self._lock:
            self._reserved_cost -= calls * worst.cost
            self._reserved_calls -= calls
            self._lock.notify_all()

    def settle(self, worst: Tally, used: Tally) -> None:
        """Puts what one call used in the place of the room kept for it."""
        self.add(used)
        self.release(worst, calls=1)

    def add(self, used: Tally) -> None:
        """Counts more, for which no room was kept."""
        with self._lock:
            self._used += used
