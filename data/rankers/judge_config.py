"""Which language model judges, how it is asked, and what that may cost.

Omitted on purpose: the words of the question (judge_prompt.py) and the API key, which stands in the
environment and nowhere else.
"""

import math
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from data.identity import canonical_json

# Capitals alone: a key that was written here by mistake does not pass for a name.
_ENVIRONMENT_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig:
    """An endpoint that speaks OpenAI's chat completions, and the limits of its use.

    Attributes:
        url: Base address such as https://api.openai.com/v1; http on this machine only.
        model: Name of the model, as the endpoint knows it.
        api_key_env: Name of the environment variable that holds the key; empty sends none.
        temperature: Of sampling; a negative one is not sent, since some models refuse any.
        max_tokens: Most tokens of one answer, a model's hidden reasoning counted.
        tokens_field: Name under which max_tokens is sent; OpenAI's newer models want the second.
        json_mode: Asks for JSON by response_format, which not every endpoint knows.
        swaps: Asks twice, in an order and in its reverse; what the answers contradict is a tie.
        concurrency: Calls at a time.
        max_cost: Most that a batch may cost, in the currency of the prices.
        input_price: Price of a million input tokens.
        output_price: Price of a million output tokens.
        max_calls: Most requests of a batch, 0 for any number.
        max_tries: Requests for one answer, when the endpoint is busy or does not answer.
        timeout_seconds: Longest wait for one answer.
    """

    url: str = ""
    model: str = ""
    api_key_env: str = ""
    temperature: float = 0.0
    max_tokens: int = 1024
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    json_mode: bool = False
    swaps: bool = True
    concurrency: int = 4
    max_cost: float = 1.0
    input_price: float = 0.0
    output_price: float = 0.0
    max_calls: int = 0
    max_tries: int = 5
    timeout_seconds: float = 120.0

    def __post_init__(self) -> None:
        """Refuses what no endpoint can be asked with; an empty url or model may stand.

        Raises:
            ValueError: A field is out of range; the message names it and the mend, never a key.
        """
        if self.url:
            _check_url(self.url)
        if self.api_key_env and not _ENVIRONMENT_NAME.fullmatch(self.api_key_env):
            raise ValueError(
                "api_key_env must be the name of an environment variable in capitals, such as "
                "OPENAI_API_KEY; the key itself never stands in a config"
            )
        if self.tokens_field not in ("max_tokens", "max_completion_tokens"):
            raise ValueError(
                f"tokens_field is {self.tokens_field!r}; write max_tokens or max_completion_tokens"
            )
        if not self.temperature <= 2.0:
            raise ValueError(f"temperature is {self.temperature}; give 0 to 2, or -1 to send none")
        self._check_counts()

    def _check_counts(self) -> None:
        """Refuses counts, prices and times out of range."""
        for name, low, high in (
            ("max_tokens", 16, 1_000_000),
            ("concurrency", 1, 64),
            ("max_tries", 1, 20),
            ("max_calls", 0, 1_000_000_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}; give {low} to {high}")
        for name in ("max_cost", "input_price", "output_price"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"{name} is {value}; give 0 or more")
        if not (math.isfinite(self.timeout_seconds) and self.timeout_seconds > 0.0):
            raise ValueError(f"timeout_seconds is {self.timeout_seconds}; give more than 0")

    def check_ready(self) -> None:
        """Asks for what a run with this judge needs.

        Raises:
            ValueError: There is no url or model, or nothing limits what a remote endpoint costs.
        """
        for name, example in (("url", "https://api.openai.com/v1"), ("model", "gpt-4o-mini")):
            if not getattr(self, name):
                raise ValueError(f"judge.{name} is empty; name it, for example {example}")
        has_limit = self.input_price > 0.0 or self.output_price > 0.0 or self.max_calls > 0
        if not (has_limit or self.is_local):
            raise ValueError(
                "judge.max_cost limits nothing without prices; give judge.input_price and "
                "judge.output_price per million tokens, or judge.max_calls"
            )

    @property
    def endpoint(self) -> str:
        """The address that answers chat completions."""
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else base + "/chat/completions"

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is this machine."""
        return _is_loopback(urlsplit(self.url).hostname or "")

    def identity(self) -> str:
        """What decides an answer, as canonical JSON: limits, prices and keys do not."""
        names = ("endpoint", "model", "temperature", "max_tokens", "json_mode", "swaps")
        return canonical_json({name: getattr(self, name) for name in names})


def _check_url(url: str) -> None:
    """Refuses addresses that would send texts or a key in the open, or that hold a secret."""
    parts = _split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            "url must be like https://host/v1 or, on this machine, http://127.0.0.1:8000/v1"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(
            "url must be a bare address without user, password or ?; a key stands in the "
            "environment variable that api_key_env names"
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError(
            f"url is http on another machine ({parts.hostname}), where anyone between reads along; "
            "use https"
        )


def _split(url: str) -> SplitResult:
    """The parts of an address, its port looked at."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("url is no address; give one like https://host/v1") from None
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
