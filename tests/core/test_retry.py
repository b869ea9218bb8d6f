import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_chat.core.errors import (
    ChatError,
    ConnectionCut,
    ConnectionFailed,
    CredentialsError,
    NotAStream,
    OutputClosed,
    OutputFailed,
    QuotaError,
    RateLimitError,
    RequestRejected,
    ServerError,
    TimedOut,
    UsageError,
)
from streaming_chat.core.retry import LONGEST_WAIT, retry_after, retry_delay

NOW = 1_765_388_072.0  # Wed, 10 Dec 2025 17:34:32 GMT


def failure(kind: type[ChatError], wish: float | None = None) -> ChatError:
    error = kind("it failed", "do something")
    if isinstance(error, (RateLimitError, ServerError)):
        error.retry_after = wish
    return error


@pytest.mark.parametrize("kind", [RateLimitError, ServerError, ConnectionFailed, ConnectionCut])
def test_what_may_pass_is_tried_again(kind: type[ChatError]) -> None:
    assert retry_delay(failure(kind), 1) == 0.5


@pytest.mark.parametrize(
    "kind", [ChatError, UsageError, CredentialsError, NotAStream, RequestRejected, TimedOut, QuotaError]
)
def test_what_stays_as_it_is_is_not_tried_again(kind: type[ChatError]) -> None:
    assert retry_delay(failure(kind, 1.0), 1) is None


def test_nothing_is_tried_again_when_nobody_reads() -> None:
    assert [retry_delay(error, 1) for error in (OutputClosed(), OutputFailed("disk full"))] == [None, None]


def test_the_wait_doubles_up_to_eight_seconds() -> None:
    assert [retry_delay(failure(ServerError), attempt) for attempt in range(1, 8)] == [0.5, 1, 2, 4, 8, 8, 8]


def test_the_wait_stays_finite_whatever_the_number_of_attempts() -> None:
    assert retry_delay(failure(ServerError), 1000) == 8.0


@pytest.mark.parametrize(
    ("wish", "delay"), [(0.0, 0.0), (0.2, 0.2), (30.0, 30.0), (LONGEST_WAIT, LONGEST_WAIT), (60.1, None), (1e9, None)]
)
@pytest.mark.parametrize("kind", [RateLimitError, ServerError])
def test_the_servers_wish_rules_up_to_the_longest_wait(kind: type[ChatError], wish: float, delay: float | None) -> None:
    assert retry_delay(failure(kind, wish), 3) == delay


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 10 Dec 2025 17:35:02 GMT"}, 30.0),
        ({"retry-after": "Wed, 10 Dec 2025 17:00:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 99 Dec 2025 17:00:00 GMT"}, None),
        ({"retry-after": "Wed, 10 Dec 99999 17:00:00 GMT"}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms"]), st.text()))
def test_no_retry_after_raises_or_goes_back_in_time(headers: dict[str, str]) -> None:
    seconds = retry_after(headers, NOW)
    assert seconds is None or seconds >= 0
