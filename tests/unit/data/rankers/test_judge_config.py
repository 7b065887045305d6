"""The judge's config: what it refuses, and that it never repeats a key."""

import math

import pytest

from data.rankers.judge_config import JudgeConfig

REMOTE = "https://api.example.com/v1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "api.example.com/v1"}, "url must be like"),
        ({"url": "ftp://api.example.com"}, "url must be like"),
        ({"url": "https://"}, "url must be like"),
        (
            {"url": "http://api.example.com/v1"},
            r"url is http on another machine \(api.example.com\)",
        ),
        ({"url": "http://192.168.1.7:8000/v1"}, "use https"),
        ({"url": "http://127.0.0.1.example.com/v1"}, "use https"),
        ({"url": "http://[::ffff:8.8.8.8]/v1"}, "use https"),
        ({"url": "https://me:secret@api.example.com/v1"}, "without user, password"),
        ({"url": REMOTE + "?key=secret"}, "without user, password"),
        ({"url": "https://h:notaport/v1"}, "url is no address"),
        ({"api_key_env": "sk-abcdef"}, "name of an environment variable"),
        ({"api_key_env": "gsk_abcdef0123"}, "name of an environment variable"),
        ({"tokens_field": "tokens"}, "tokens_field is 'tokens'"),
        ({"temperature": 3.0}, "temperature is 3.0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"max_tries": 0}, "max_tries is 0"),
        ({"max_calls": -1}, "max_calls is -1"),
        ({"max_cost": -1.0}, "max_cost is -1.0"),
        ({"max_cost": math.inf}, "max_cost is inf"),
        ({"input_price": math.nan}, "input_price is nan"),
        ({"output_price": -0.1}, "output_price is -0.1"),
        ({"timeout_seconds": 0.0}, "timeout_seconds is 0.0"),
    ],
)
def test_config_names_the_field(change, message):
    with pytest.raises(ValueError, match=message) as error:
        JudgeConfig(**change)
    assert not any(word in str(error.value) for word in ("secret", "abcdef"))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/v1", "http://localhost:11434/v1/", "http://[::1]:1/v1", REMOTE]
)
def test_good_addresses(url):
    config = JudgeConfig(url=url, model="m")
    assert config.endpoint == url.rstrip("/") + "/chat/completions"
    assert JudgeConfig(url=config.endpoint).endpoint == config.endpoint
    assert config.is_local is (url != REMOTE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "judge.url is empty"),
        ({"url": REMOTE}, "judge.model is empty"),
        ({"url": REMOTE, "model": "m"}, "judge.max_cost limits nothing without prices"),
    ],
)
def test_a_run_asks_for_more(change, message):
    with pytest.raises(ValueError, match=message):
        JudgeConfig(**change).check_ready()


@pytest.mark.parametrize("limit", [{"max_calls": 10}, {"input_price": 0.1}, {"output_price": 0.1}])
def test_any_limit_will_do(limit):
    JudgeConfig(url=REMOTE, model="m", **limit).check_ready()


def test_limits_are_no_part_of_the_identity():
    config = JudgeConfig(url=REMOTE, model="m")
    limits = {
        "max_cost": 9.0,
        "input_price": 1.0,
        "output_price": 1.0,
        "max_calls": 9,
        "concurrency": 9,
        "max_tries": 9,
        "timeout_seconds": 9.0,
        "api_key_env": "OTHER",
        "tokens_field": "max_completion_tokens",
    }
    assert JudgeConfig(url=REMOTE + "/", model="m", **limits).identity() == config.identity()
    for change in ({"temperature": 1.0}, {"max_tokens": 99}, {"swaps": False}, {"json_mode": True}):
        assert JudgeConfig(url=REMOTE, model="m", **change).identity() != config.identity()
    assert JudgeConfig(url=REMOTE, model="n").identity() != config.identity()
