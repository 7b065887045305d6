"""The judge and an endpoint in trouble: trying again, caps, and going on without paying twice."""

import socket
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest

from data.errors import InputError
from data.rankers import judge_calls
from data.rankers.judge import Judged
from data.rankers.judge_calls import wait_before_retry
from data.rankers.judge_endpoint import _retry_after
from tests.unit.data.rankers.fake_endpoint import (
    Fake,
    Reply,
    Request,
    by_text,
    completion,
    serving,
)
from tests.unit.data.rankers.kept import Inbox
from tests.unit.data.rankers.make import make_sets

NONE = '{"outcome": "none_acceptable"}'
PRICES = {"input_price": 1000.0, "output_price": 2000.0, "max_tokens": 100}  # 0.14 an answer


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 429},
        {"status": 500, "raw": b"<html>oops"},
        {"status": 503},
        {"drop": True},
        {"body": {"error": {"message": "upstream"}}},
        {"raw": b"not json"},
        {"body": {"choices": []}},
    ],
)
def test_trouble_that_passes_is_tried_again(inbox, trouble):
    with serving(lambda it: trouble if it.number <= 3 else by_text(it)) as fake:
        report = inbox.judge(fake, make_sets(1))
    assert (report.ranked, report.failed, report.tally.calls) == (1, 0, 5)
    assert len(fake.requests) == 5


def test_an_answer_out_of_time_is_tried_again(inbox):
    def answer(request: Request) -> Reply:
        return {**by_text(request), "delay": 2.5 if request.number == 1 else 0.0}

    with serving(answer) as fake:
        report = inbox.judge(fake, make_sets(1), timeout_seconds=1.0, **PRICES)
        assert (report.ranked, report.failed, report.tally.calls) == (1, 0, 3)
        # The lost answer may have been billed: it is charged as the worst case.
        assert report.tally.cost > 2 * 0.14 + 0.2
        fake.answer = lambda it: {**by_text(it), "delay": 1.0}
        report = inbox.judge(fake, make_sets(2), timeout_seconds=0.2, max_tries=2, **PRICES)
    assert (report.ranked, report.failed) == (0, 1)
    assert "1 got no answer (no answer within 0.2 s)" in report.notice


def test_tries_end(inbox):
    def answer(request: Request) -> Reply:
        is_bad = "lamp 1" in request.body["messages"][1]["content"]
        return {"status": 502, "body": {"error": "bad gateway"}} if is_bad else by_text(request)

    with serving(answer) as fake:
        report = inbox.judge(fake, make_sets(3), max_tries=3, concurrency=1)
        assert (report.ranked, report.failed, report.left, report.tally.calls) == (2, 1, 0, 7)
        assert (
            f"1 got no answer ({fake.url}/chat/completions answers 502: bad gateway)"
            in report.notice
        )
        fake.answer = by_text
        report = inbox.judge(fake, make_sets(3))
    assert (report.known, report.ranked, report.failed) == (2, 1, 0)
    assert report.tally.calls == 9


def test_retry_after_is_honoured(inbox):
    def answer(request: Request) -> Reply:
        busy = {"status": 429, "headers": {"Retry-After": "1"}}
        return busy if request.number == 1 else by_text(request)

    with serving(answer) as fake:
        assert inbox.judge(fake, make_sets(1)).ranked == 1
    assert fake.requests[1].at - fake.requests[0].at >= 1.0


def test_a_wait_of_hours_is_not_waited(inbox):
    with serving(lambda _: {"status": 429, "headers": {"Retry-After": "7200"}}) as fake:
        report = inbox.judge(fake, make_sets(1))
    assert (report.failed, len(fake.requests)) == (1, 1)


def test_waits_double_and_differ(monkeypatch):
    monkeypatch.setattr(judge_calls, "FIRST_WAIT", 1.0)
    for tries, most in ((1, 1.0), (2, 2.0), (3, 4.0), (10, 60.0)):
        waits = {wait_before_retry(tries, retry_after=0.0, key=str(n)) for n in range(50)}
        assert len(waits) == 50
        assert most / 2 <= min(waits) < 0.6 * most < 0.9 * most < max(waits) <= most
    assert wait_before_retry(1, retry_after=7.0, key="a") == 7.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0.0),
        ("3", 3.0),
        ("soon", 0.0),
        ("-3", 0.0),
        ("9" * 400, 0.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert _retry_after(value, datetime(2026, 11, 22, 12, 0, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({"status": 401}, r"answers 401; set judge\.api_key_env"),
        ({"status": 403}, "answers 403"),
        (
            {"status": 404, "raw": b"no\nsuch"},
            r"answers 404: no such; check judge\.url and judge\.model",
        ),
        ({"status": 402}, "answers 402; pay there"),
        (
            {"status": 308, "headers": {"Location": "https://other.example/v1"}},
            "leads to https://other",
        ),
    ],
)
def test_a_wrong_setting_ends_the_run(inbox, reply, message):
    with serving(lambda _: reply) as fake, pytest.raises(InputError, match=message):
        inbox.judge(fake, make_sets(9), concurrency=1)
    assert len(fake.requests) == 1


def test_a_refused_request_is_not_sent_again(inbox):
    refusal = {"status": 400, "body": {"error": {"message": "max_tokens is not supported"}}}
    with serving(lambda _: refusal) as fake:
        with pytest.raises(InputError, match=r"none of \d+ sets: .*400: max_tokens is not"):
            inbox.judge(fake, make_sets(9), concurrency=1)
        assert len(fake.requests) <= 7  # the two behind the fifth may be under way


def test_refused_sets_do_not_keep_others_from_being_asked(inbox):
    """Ten too long ones in a row, and still the last is asked: else no later run would reach it."""
    sets = sorted(make_sets(12), key=lambda it: it.set_id)
    last = {it.text for it in sets[-1].responses}
    with serving() as fake:
        inbox.judge(fake, sets[:1])
        fake.answer = lambda it: (
            by_text(it) if last == set(it.replies.values()) else {"status": 400}
        )
        report = inbox.judge(fake, sets)
    assert (report.known, report.failed, report.ranked, report.left) == (1, 10, 1, 0)


def test_failures_in_a_row_are_counted_in_a_row(inbox):
    sets = sorted(make_sets(16), key=lambda it: it.set_id)
    bad = {it.text for one in sets if sets.index(one) % 2 for it in one.responses}
    with serving(
        lambda it: {"status": 500} if bad & set(it.replies.values()) else by_text(it)
    ) as fake:
        report = inbox.judge(fake, sets, max_tries=1)
    assert (report.ranked, report.failed, report.left) == (8, 8, 0)


def test_an_endpoint_that_is_down_ends_the_run(inbox):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = Fake(by_text, url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        with pytest.raises(InputError, match=r"answered none of \d+ sets: no connection"):
            inbox.judge(nobody, make_sets(30), max_tries=2)


def test_an_endpoint_that_goes_down_leaves_the_rest(inbox):
    def answer(request: Request) -> Reply:
        return by_text(request) if request.number <= 4 else {"status": 500}

    with serving(answer) as fake:
        report = inbox.judge(fake, make_sets(30), max_tries=2, concurrency=1)
    assert (report.ranked, report.failed, report.stopped) == (2, 5, "failures")
    assert report.left == 23
    assert len(fake.requests) <= 4 + 5 * 2 + 2
    assert "23 are left: 5 in a row got no answer" in report.notice


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_cost_cap_is_never_passed(inbox, concurrency):
    """What the endpoint has billed, never more than the cap, whatever runs at once."""
    sets = make_sets(12)
    with serving(lambda it: {**by_text(it), "delay": 0.01}) as fake:
        report = inbox.judge(fake, sets, max_cost=6.0, concurrency=concurrency, **PRICES)
        billed = 0.14 * len(fake.requests)
        assert report.tally.cost == pytest.approx(billed)
        # As many sets as fit, each begun only if its two worst cases do.
        worst = (
            0.2 + (sum(len(it["content"]) for it in fake.requests[0].body["messages"]) + 48) / 1e3
        )
        assert 0.28 * (report.ranked - 1) + 2 * worst <= 6.0 < 0.28 * report.ranked + 2 * worst
        assert 1 < report.ranked < 12
        assert billed <= 6.0
        assert len(fake.requests) == 2 * report.ranked  # no answer was paid for in vain
        assert (report.stopped, report.left) == ("cost", 12 - report.ranked)
        assert f"{report.left} are left: {billed:.4g} is spent" in report.notice
        assert "judge.max_cost = 6; raise it" in report.notice
        # The next run counts what was spent, and needs a higher cap.
        sent = len(fake.requests)
        report = inbox.judge(fake, sets, max_cost=billed, concurrency=concurrency, **PRICES)
        assert (len(fake.requests), report.ranked) == (sent, 0)
        report = inbox.judge(fake, sets, max_cost=20.0, concurrency=concurrency, **PRICES)
    assert (report.left, report.known + report.ranked) == (0, 12)
    assert report.tally.cost == pytest.approx(0.14 * 24)
    assert len(fake.requests) == 24


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": True, "completion_tokens": 5},
        {"prompt_tokens": 5},
        "many",
    ],
)
def test_a_call_without_a_count_costs_its_worst_case(inbox, usage):
    def answer(request: Request) -> Reply:
        reply = by_text(request)
        reply["body"]["usage"] = usage
        return reply

    with serving(answer) as fake:
        report = inbox.judge(fake, make_sets(1), **PRICES)
    texts = [it["content"] for it in fake.requests[0].body["messages"]]
    read = sum(len(it.encode()) for it in texts) + 16 * 3
    assert report.tally.input_tokens == 2 * read
    assert report.tally.cost == pytest.approx(2 * (read * 1000.0 + 100 * 2000.0) / 1e6)


@pytest.mark.parametrize("status", [408, 502, 504, 524])
def test_an_answer_that_a_gateway_lost_costs_its_worst_case(inbox, status):
    with serving(lambda _: {"status": 503}) as fake:
        assert inbox.judge(fake, make_sets(1), max_tries=1, **PRICES).tally.cost == 0.0
        fake.answer = lambda _: {"status": status}
        # The longest answer alone costs 0.2.
        assert inbox.judge(fake, make_sets(1), max_tries=1, **PRICES).tally.cost > 0.2


def test_the_cap_on_calls_holds_with_retries_and_repairs(inbox):
    with serving() as fake:
        report = inbox.judge(fake, make_sets(12), max_calls=7)
        assert (len(fake.requests), report.ranked, report.stopped) == (6, 3, "calls")
        fake.answer = lambda _: {"status": 500}
        report = inbox.judge(fake, make_sets(12), max_calls=10, concurrency=1)
        # A retry leaves the place of the second question alone.
        assert (len(fake.requests), report.tally.calls, report.stopped) == (9, 9, "calls")
        fake.answer = lambda _: completion("no")
        report = inbox.judge(fake, make_sets(12), max_calls=11, concurrency=1)
    # The second question keeps its place, so a repair would be the twelfth: the set is left.
    assert (len(fake.requests), report.tally.calls, report.skipped) == (10, 10, {})
    assert report.known == 3


class KilledError(Exception):
    pass


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("kill_after", [0, 1, 5])
def test_a_broken_run_pays_nothing_twice(inbox, kill_after, concurrency):
    """Killed after some answers, in the middle of the others; what was kept is not asked again."""
    sets = make_sets(8)

    def take(judged: Judged) -> None:
        if judged.row is not None and len(inbox.rows) == kill_after:
            raise KilledError
        inbox.take(judged)

    with serving() as fake:
        with pytest.raises(KilledError):
            inbox.judge(fake, sets, emit=take, concurrency=concurrency)
        kept = list(inbox.rows)
        assert len(kept) == kill_after
        sent = len(fake.requests)
        report = inbox.judge(fake, sets, concurrency=concurrency)
        assert len(fake.requests) - sent == 2 * (8 - kill_after)
        assert (report.known, report.ranked) == (kill_after, 8 - kill_after)
        assert inbox.rows[:kill_after] == kept
        assert len(inbox.known) == len(inbox.rows) == 8
        report = inbox.judge(fake, sets)
    assert (report.known, report.ranked) == (8, 0)
    assert len(fake.requests) - sent == 2 * (8 - kill_after)


def test_paid_answers_are_kept_when_the_run_ends(inbox):
    """The first set is refused while the second is being answered: the second is kept."""
    both = Barrier(2, timeout=10)
    first = min(it.set_id for it in make_sets(2))

    def answer(request: Request) -> Reply:
        is_first = request.replies.keys() and any(
            it.text in request.replies.values()
            for one in make_sets(2)
            if one.set_id == first
            for it in one.responses
        )
        if request.number <= 2:
            both.wait()
        return {"status": 401} if is_first else {**by_text(request), "delay": 0.2}

    with serving(answer) as fake, pytest.raises(InputError, match="401"):
        inbox.judge(fake, make_sets(2), concurrency=2, swaps=False)
    assert [row["outcome"] for row in inbox.rows] == ["ranked"]
    assert inbox.rows[0]["set_id"] != first


def test_a_slow_answer_keeps_no_other_from_being_kept(inbox):
    # Guards: answers that are paid, wait for an earlier one, and are lost by a kill.
    sets = make_sets(6)
    slow = min(sets, key=lambda it: it.set_id)
    question = slow.messages[-1]["content"]

    def answer(request: Any) -> Any:
        is_slow = question in request.body["messages"][1]["content"]
        return {**by_text(request), "delay": 0.5 * is_slow}

    with serving(answer) as fake:
        inbox.judge(fake, sets, concurrency=2)
    assert [row["set_id"] for row in inbox.rows].index(slow.set_id) == len(sets) - 1


def test_refusals_that_come_before_the_first_answer_end_nothing(inbox):
    # Guards: a few sets that the endpoint refuses at once, while it thinks about the others.
    sets = make_sets(12)
    refused = {it.messages[-1]["content"] for it in sets[:6]}

    def answer(request: Any) -> Any:
        if any(question in request.body["messages"][1]["content"] for question in refused):
            return {"status": 400, "body": {"error": {"message": "too long"}}}
        return {**by_text(request), "delay": 0.5}

    with serving(answer) as fake:
        report = inbox.judge(fake, sets, concurrency=6)
    assert (report.ranked, report.failed, report.left) == (6, 6, 0)


def test_concurrency_changes_no_answer(inbox):
    def stable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        times = ("started_at", "submitted_at", "active_ms")
        return [
            {name: row[name] for name in row if name not in times}
            for row in sorted(rows, key=lambda row: row["set_id"])
        ]

    with serving(lambda it: {**by_text(it), "delay": 0.02 * (it.number % 3)}) as fake:
        one, many = Inbox(), Inbox()
        first = one.judge(fake, make_sets(12), concurrency=1)
        assert fake.most_at_once == 1
        second = many.judge(fake, make_sets(12)[::-1], concurrency=6)
    assert 1 < fake.most_at_once <= 6
    assert stable(one.rows) == stable(many.rows)
    assert first == second
