"""One request to an endpoint that speaks OpenAI's chat completions, and what came of it.

The key goes into one header of requests to the configured address: redirects are not followed, and
no message of ours holds it, not even where the endpoint repeats it. An answer is bounded in time
and size.

Omitted on purpose: trying again (judge_calls.py), streaming of tokens, tools.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx

from data.errors import InputError
from data.messages import Message
from data.rankers.judge_config import JudgeConfig

_MAX_BYTES = 4_194_304
_SHOWN_CHARACTERS = 200
# The fault of the whole configuration: the next set would fare no better.
_WRONG_KEY, _WRONG_ADDRESS = (401, 403), (404, 405)
_PAYMENT_REQUIRED, _TOO_MANY = 402, 429
# A gateway lost the answer, or gave up waiting for it: the model behind it may have worked.
_LOST_ON_THE_WAY = (408, 502, 504, 520, 524)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What the model said.

    Attributes:
        text: Its words, perhaps none.
        is_refused: Whether model or endpoint declined to answer.
        is_cut: Whether the answer ended at max_tokens.
        usage: Input and output tokens by the endpoint's count; None where it does not say.
    """

    text: str
    is_refused: bool
    is_cut: bool
    usage: tuple[int, int] | None


class CallFailedError(Exception):
    """A request without an answer.

    Attributes:
        can_retry: Whether the same request may fare better later.
        may_be_billed: Whether the endpoint may have worked for it.
        retry_after: Seconds that the endpoint asks to wait, 0 where it does not.
    """

    def __init__(
        self,
        message: str,
        *,
        can_retry: bool,
        may_be_billed: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.can_retry = can_retry
        self.may_be_billed = may_be_billed
        self.retry_after = retry_after


class Endpoint:
    """A connection to the endpoint of a judge, for several threads."""

    def __init__(self, config: JudgeConfig) -> None:
        """Reads the key; sends nothing yet.

        Raises:
            InputError: The key is not in the environment, or is no key.
        """
        self._config = config
        self._key = _read_key(config.api_key_env)
        headers = {"Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._client = httpx.Client(
            headers=headers,
            timeout=config.timeout_seconds,
            follow_redirects=False,
            # A proxy of the environment is for other machines, not for this one.
            trust_env=not config.is_local,
        )

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes all connections."""
        self._client.close()

    def post(self, messages: Sequence[Message]) -> Completion:
        """Send one request.

        Args:
            messages: The question.

        Returns:
            The answer.

        Raises:
            CallFailedError: There is none.
            InputError: The endpoint refuses the key, the address or the model.
        """
        try:
            status, headers, body = self._exchange(self._body(messages))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise CallFailedError(
                f"no connection ({self._clean(str(error))})", can_retry=True
            ) from None
        except (httpx.TimeoutException, TimeoutError):
            message = f"no answer within {self._config.timeout_seconds:g} s"
            raise CallFailedError(message, can_retry=True, may_be_billed=True) from None
        except httpx.HTTPError as error:
            message = f"the connection broke ({self._clean(str(error)) or type(error).__name__})"
            raise CallFailedError(message, can_retry=True, may_be_billed=True) from None
        if not 200 <= status < 300:
            raise self._refusal(status, headers, body)
        return _completion(body)

    def _body(self, messages: Sequence[Message]) -> dict[str, Any]:
        config = self._config
        body: dict[str, Any] = {
            "model": config.model,
            "messages": list(messages),
            config.tokens_field: config.max_tokens,
        }
        if config.temperature >= 0.0:
            body["temperature"] = config.temperature
        if config.json_mode:
            body["response_format"] = {"type": "json_object"}
        return body

    def _exchange(self, body: dict[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body, the last bounded: httpx's own timeout is one of each read."""
        deadline = time.monotonic() + self._config.timeout_seconds
        received = bytearray()
        with self._client.stream("POST", self._config.endpoint, json=body) as response:
            for part in response.iter_bytes():
                received += part
                if len(received) > _MAX_BYTES:
                    message = f"the answer is larger than {_MAX_BYTES} bytes"
                    raise CallFailedError(message, can_retry=False, may_be_billed=True)
                if time.monotonic() > deadline:
                    raise TimeoutError
            return response.status_code, response.headers, bytes(received)

    def _refusal(self, status: int, headers: httpx.Headers, body: bytes) -> Exception:
        """What a status other than success means."""
        config = self._config
        said = self._clean(_error_text(body))
        answer = f"{config.endpoint} answers {status}" + (f": {said}" if said else "")
        if status < 400:
            to = self._clean(headers.get("location", ""))
            return InputError(
                f"{answer}; it leads to {to or 'another address'}, set judge.url to that"
            )
        if status in _WRONG_KEY:
            name = config.api_key_env
            mend = f"check the key in {name}" if name else "set judge.api_key_env to the key's name"
            return InputError(f"{answer}; {mend}")
        if status in _WRONG_ADDRESS:
            return InputError(f"{answer}; check judge.url and judge.model ({config.model})")
        if status == _PAYMENT_REQUIRED:
            return InputError(f"{answer}; pay there, or choose another judge.url")
        return CallFailedError(
            answer,
            can_retry=status == _TOO_MANY or status >= 500,
            may_be_billed=status in _LOST_ON_THE_WAY,
            retry_after=_retry_after(headers.get("retry-after", ""), datetime.now(UTC)),
        )

    def _clean(self, text: str) -> str:
        """Another's words on one short line, without the key."""
        text = " ".join(text.split())
        text = "".join(character if character.isprintable() else "?" for character in text)
        if self._key:
            text = text.replace(self._key, "***")
        return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _read_key(name: str) -> str:
    """The key that an environment variable holds; empty without a name."""
    if not name:
        return ""
    key = os.environ.get(name, "").strip()
    if not key:
        raise InputError(f"judge.api_key_env: {name} is not set; put the key into it and run again")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise InputError(
            f"judge.api_key_env: what {name} holds is no key; look for stray characters"
        )
    return key


def _retry_after(value: str, now: datetime) -> float:
    """Seconds to wait, from a number or a date; 0 where it is neither."""
    if value.strip().isdecimal() and len(value) < 10:
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def _error_text(body: bytes) -> str:
    """What an error says, in the form of OpenAI or in any other."""
    text = body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace")
    try:
        error = json.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, RecursionError, LookupError, TypeError):
        return text


def _completion(body: bytes) -> Completion:
    """The first choice of a response.

    Raises:
        CallFailedError: It is no chat completion.
    """
    try:
        row = json.loads(body)
        choice = row["choices"][0]
        message = choice["message"]
        text, reason = message.get("content"), choice.get("finish_reason")
        is_refused = bool(message.get("refusal")) or reason == "content_filter"
        usage = _usage(row.get("usage"))
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        said = "the answer is no chat completion; check judge.url"
        raise CallFailedError(said, can_retry=True, may_be_billed=True) from None
    return Completion(
        text=text if isinstance(text, str) else "",
        is_refused=is_refused,
        is_cut=reason == "length",
        usage=usage,
    )


def _usage(value: Any) -> tuple[int, int] | None:
    """The endpoint's count of tokens, if it is one."""
    if not isinstance(value, dict):
        return None
    counts = value.get("prompt_tokens"), value.get("completion_tokens")
    read, written = counts
    if type(read) is int and type(written) is int and min(read, written) >= 0:
        return read, written
    return None
