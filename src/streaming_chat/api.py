"""The Python API: `stream()`, the events of one answer and its turn (docs/api.md).

It is the engine with the provider of the SDK, and no more: no settings, no `.env`, no history, no terminal, no signals. The
SDK is imported as usual, so that the host program finds it whole in `sys.modules`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ChatError, CredentialsError, UsageError
from streaming_chat.core.events import Event
from streaming_chat.core.turn import Turn
from streaming_chat.engine import deadline
from streaming_chat.engine.loop import TurnRun
from streaming_chat.providers.endpoint import Endpoint
from streaming_chat.providers.openai_sdk import OpenAISDK

_OPENAI: Final = "https://api.openai.com/v1"
_KEY_VARIABLE: Final = "OPENAI_API_KEY"
_BASE_URL_VARIABLE: Final = "OPENAI_BASE_URL"

#: Fields of the request that `stream` fills in.
_OWN_FIELDS: Final = frozenset({"messages", "stream"})

#: What stands for a message of a conversation.
MessageLike = Message | Mapping[str, str]


def stream(  # noqa: PLR0913 # the fields of a request, each by its name
    prompt_or_messages: str | Sequence[MessageLike],
    *,
    model: str,
    base_url: str | None = None,
    api_key: str | None = None,
    system: str | None = None,
    timeout: float = 600.0,
    max_time: float | None = None,
    retries: int = 2,
    insecure_http: bool = False,
    **fields: Any,
) -> AnswerStream:
    """Ask a model, and return the stream of its answer's events.

    The request is sent when the first event is asked for. Use it as a context manager: leaving it early closes the
    connection.

        with stream("Why is the sky blue?", model="gpt-4o-mini") as answer:
            for event in answer:
                if isinstance(event, TextDelta):
                    print(event.text, end="", flush=True)
        print(answer.turn.timing.first_token)

    Args:
        prompt_or_messages: the prompt, or the messages of a conversation: `Message`, or mappings with `role` and `content`.
        model: name of the model.
        base_url: address of the endpoint, up to and with `/v1`. None: OPENAI_BASE_URL from the environment, or OpenAI's.
        api_key: the key. None: OPENAI_API_KEY from the environment, but only to OPENAI_BASE_URL or to OpenAI, so that this
            key does not follow another address; else no key is sent.
        system: a system message, sent before the others.
        timeout: seconds that the server may be silent.
        max_time: seconds that the whole turn may take, retries and their waits included; None: no limit.
        retries: attempts after one that failed for a passing reason; never after the first text.
        insecure_http: whether a key may be sent over `http://` to another network, where others can read it.
        **fields: further fields of the request (`temperature`, `top_p`, `max_tokens`, `seed` …). None is not sent.

    Returns:
        An iterator of events, `Finished` last, that is a context manager. Its `turn` is there when it is over.

    Raises:
        UsageError: an address, a message or a number that cannot be used.
        CredentialsError: OpenAI is to be asked, and there is no key.
        ChatError: from the iterator, after the events that came before the failure.
    """
    _check_types(
        model=(model, str),
        base_url=(base_url, str, type(None)),
        api_key=(api_key, str, type(None)),
        system=(system, str, type(None)),
        timeout=(timeout, int, float),
        max_time=(max_time, int, float, type(None)),
        retries=(retries, int),
    )
    _check_numbers(timeout=timeout, max_time=max_time, retries=retries)
    of_environment = os.environ.get(_BASE_URL_VARIABLE) or _OPENAI
    address = base_url or of_environment
    # The key of the environment does not follow an address in the code, unless it is OpenAI's or the environment's own.
    is_users = address in (of_environment, _OPENAI)
    key = os.environ.get(_KEY_VARIABLE) if api_key is None and is_users else api_key
    if base_url == "" or not model.strip():
        raise _invalid("base_url" if base_url == "" else "model", "must not be empty")
    endpoint = Endpoint(address, key or "", _KEY_VARIABLE, timeout)
    _check(endpoint, insecure_http=insecure_http)
    _check_fields(fields)
    known = {name: fields.pop(name, None) for name in ("temperature", "top_p", "max_tokens")}
    extra = {name: value for name, value in fields.items() if value is not None}
    request = ChatRequest(
        model=model,
        messages=_messages(prompt_or_messages, system),
        extra=extra,
        include_usage="stream_options" not in extra,
        **known,
    )
    provider = OpenAISDK(address, key, timeout)
    return AnswerStream(request, provider, retries=retries, max_time=max_time)


class AnswerStream(Iterator[Event]):
    """The events of one answer. `stream()` makes it.

    To be used by one thread at a time; any number of streams can run at once.
    """

    def __init__(self, request: ChatRequest, provider: OpenAISDK, *, retries: int, max_time: float | None) -> None:
        self._provider = provider
        self._run = TurnRun(request, provider, retries=retries)
        self._max_time = max_time
        self._end: deadline.End | None = None
        self._batches: Generator[list[Event], None, None] | None = None
        self._waiting: list[Event] = []
        self._error: ChatError | None = None
        self._turn: Turn | None = None

    @property
    def turn(self) -> Turn:
        """The turn: `outcome`, `text`, `timing`, `usage`, `error` … RuntimeError while the answer is not over."""
        if self._turn is None:
            raise RuntimeError("the answer is not over: read the events to the end, or close the stream")
        return self._turn

    def __enter__(self) -> AnswerStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> Event:
        """Return the next event. Raises the ChatError that ended the answer after the last one."""
        while not self._waiting:
            if self._turn is not None:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                raise StopIteration
            self._read()
        return self._waiting.pop(0)

    def close(self) -> None:
        """Close the connection. An answer that is not over ends as interrupted; no event and no error follows."""
        if self._turn is None:
            self._finish(interrupted=True)
        self._waiting.clear()
        self._error = None

    def __del__(self) -> None:
        """Close the connection of a stream that was dropped."""
        with suppress(Exception):
            self.close()

    def _read(self) -> None:
        """Wait for what comes next."""
        if self._batches is None:
            self._batches = self._run.batches()
            self._end = deadline.end_of(self._max_time)
        try:
            # For each step alone: between two of them, the time and the thread are the caller's.
            with deadline.until(self._end):
                self._waiting += next(self._batches)
        except StopIteration:
            self._finish()
        except ChatError as failure:
            self._finish(failure)
        except Exception as failure:  # noqa: BLE001 # a fault of the program's own leaves a turn too
            self._finish(ChatError.unexpected(failure))
        except BaseException:
            self._finish(interrupted=True)
            raise

    def _finish(self, error: ChatError | None = None, *, interrupted: bool = False) -> None:
        if self._batches is not None:
            self._batches.close()
        events, self._turn = self._run.finish(error=error, interrupted=interrupted)
        self._error = self._turn.error
        if self._error is not None:
            # What it was made of can hold the request's headers, and with them the key.
            self._error.__cause__ = self._error.__context__ = None
        self._waiting += events
        self._provider.close()


def _check(endpoint: Endpoint, *, insecure_http: bool) -> None:
    """UsageError or CredentialsError where the address, or the key for it, cannot be used."""
    try:
        host, _ = endpoint.address
    except ValueError:  # A port that is no number.
        host = ""
    if not host or not endpoint.base_url.startswith(("https://", "http://")):
        raise UsageError(f"base_url must be an http or https URL, not {endpoint.base_url!r}", kind=Kind.BASE_URL)
    if not (endpoint.api_key.isascii() and endpoint.api_key.isprintable() and " " not in endpoint.api_key):
        raise CredentialsError(
            "the key has a character that no key has", kind=Kind.KEY_DAMAGED, key_variable=endpoint.key_variable
        )
    if endpoint.api_key and endpoint.is_exposed and not insecure_http:
        raise UsageError(
            f"the key would travel to {endpoint.host} over http://, where others can read it", kind=Kind.KEY_EXPOSED
        )
    if endpoint.is_openai and not endpoint.api_key:
        raise CredentialsError(
            f"no key: {endpoint.key_variable} is not set",
            kind=Kind.KEY_MISSING,
            host=endpoint.host,
            key_variable=_KEY_VARIABLE,
        )


def _check_types(**given: tuple[Any, ...]) -> None:
    """UsageError for an argument whose value, the first of its tuple, is of none of the types after it."""
    for name, (value, *types) in given.items():
        if not isinstance(value, tuple(types)) or isinstance(value, bool):
            expected = " or ".join("None" if one is type(None) else one.__name__ for one in types)
            raise _invalid(name, f"must be {expected}, not {value!r}")


def _check_numbers(*, timeout: float, max_time: float | None, retries: int) -> None:
    """UsageError for a time that is not positive and finite, or a negative number of retries."""
    for name, seconds in (("timeout", timeout), ("max_time", max_time)):
        if seconds is not None and not (0 < seconds < math.inf):
            raise _invalid(name, f"must be more than 0 seconds, not {seconds!r}")
    if retries < 0:
        raise _invalid("retries", f"must be 0 or more, not {retries!r}")


def _check_fields(fields: Mapping[str, Any]) -> None:
    """UsageError for a field that `stream` sets itself, and for one that is no JSON."""
    for name in _OWN_FIELDS & set(fields):
        raise _invalid(name, "cannot be set: it is what the call is about")
    try:
        json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise _invalid("a field of the request", f"is no JSON: {problem}") from None


def _invalid(name: str, problem: str) -> UsageError:
    return UsageError(f"{name} {problem}", kind=Kind.INVALID_SETTING, setting=name, meaning=problem)


def _messages(given: str | Sequence[MessageLike], system: str | None) -> tuple[Message, ...]:
    """Return the messages of a request. UsageError for what is none."""
    if not isinstance(given, (str, Sequence)):
        raise UsageError(f"a prompt is text, or a sequence of messages, not {given!r}", kind=Kind.INVALID_MESSAGES)
    messages = [Message("user", given)] if isinstance(given, str) else [_message(one) for one in given]
    if not any(message.content.strip() for message in messages):
        raise UsageError("there is nothing to ask", kind=Kind.INVALID_MESSAGES)
    all_messages = (*([Message("system", system)] if system else []), *messages)
    for message in all_messages:
        try:
            message.content.encode()
        except UnicodeEncodeError:
            raise UsageError("a message holds half a character (a lone surrogate)", kind=Kind.INVALID_MESSAGES) from None
    return all_messages


def _message(one: MessageLike) -> Message:
    if isinstance(one, Message):
        return one
    role, content = (one.get("role"), one.get("content")) if isinstance(one, Mapping) else (None, None)
    if not isinstance(role, str) or not isinstance(content, str):
        raise UsageError(f"a message has a role and a content, both text, not {one!r}", kind=Kind.INVALID_MESSAGES)
    return Message(role, content)
