"""After how long a failed attempt may be followed by another one; engine/loop.py decides whether it is."""

from __future__ import annotations

import math
from collections.abc import Mapping

from streaming_chat.core.errors import ChatError

#: A longer wait than this is for the user to decide on, seconds.
LONGEST_WAIT = 60.0
_FIRST_DELAY = 0.5
_LONGEST_DELAY = 8.0
#: "Wednesday, 09-Nov-94 08:49:37 GMT" and then some, characters.
_LONGEST_DATE = 100


def retry_delay(error: ChatError, attempt: int) -> float | None:
    """Seconds until the attempt after number `attempt`, or None when there should be none.

    The server's Retry-After rules where it gave one; otherwise the wait doubles from half a second to eight.
    """
    if not error.transient:
        return None
    wish = error.retry_after
    if wish is not None:
        return wish if wish <= LONGEST_WAIT else None
    return min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** (attempt - 1))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The server's wish in seconds: `retry-after-ms`, or Retry-After as seconds or as a date (RFC 9110, 10.2.3).

    `now` is the time of day in seconds since 1970. Header names are looked up in lower case.
    """
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    # The parser of dates takes the square of a text's length.
    text = headers.get("retry-after", "")[:_LONGEST_DATE]
    wait = _seconds(text)
    if wait is not None or not text:
        return wait
    from email.utils import parsedate_to_datetime  # A hundredth of a second that few answers need.

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _seconds(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
