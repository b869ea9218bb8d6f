"""Text → the value of a setting. Each parser raises ValueError with a sentence that goes on from the setting's name:
"must be between 0 and 2, not 3".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

#: Characters. Whatever cannot be seen at once can hide where it leads.
_LONGEST_URL = 2000
#: Digits. None of the settings has a use for more, and a message would show them all.
_MOST_DIGITS = 50

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


def words(text: str) -> str:
    """Text that is not blank."""
    if "\0" in text:
        raise ValueError("must not hold NUL characters")
    return _not_blank(text)


def unparsed(text: str) -> str:
    """For what is never given as text."""
    return text


def currency_sign(text: str) -> str:
    """A few characters on one line: €, kr, USD."""
    sign = text.strip()
    if not 0 < len(sign) <= 8 or not sign.isprintable():
        raise ValueError(f"must be a sign or a short name, such as € or EUR, not {sign!r}")
    return sign


def on_or_off(text: str) -> bool:
    """A switch in words; nothing at all is off."""
    lowered = text.strip().lower()
    if lowered not in _TRUE | _FALSE:
        raise ValueError(f"must be on or off, not {text!r}")
    return lowered in _TRUE


def present(text: str) -> bool:
    """On whatever the text says, unless it is empty: the rule of NO_COLOR (no-color.org)."""
    return bool(text)


def one_of(*choices: str) -> Callable[[str], str]:
    """A parser for one of a few words."""

    def parse(text: str) -> str:
        if text.strip() not in choices:
            raise ValueError(f"must be {' or '.join(choices)}, not {text.strip()!r}")
        return text.strip()

    return parse


def some_of(*choices: str) -> Callable[[str], tuple[str, ...]]:
    """A parser for some of a few words, with commas between them, or `all`."""

    def parse(text: str) -> tuple[str, ...]:
        given = [word.strip() for word in text.split(",")]
        if "all" in given:
            given = [*choices, *(word for word in given if word != "all")]
        wrong = [word for word in given if word not in choices]
        if wrong:
            raise ValueError(f"must be of {', '.join(choices)}, or all, not {wrong[0]!r}")
        return tuple(dict.fromkeys(given))

    return parse


def number_between(low: float, high: float) -> Callable[[str], float]:
    """A parser for a finite number from `low` to `high`."""

    def parse(text: str) -> float:
        number = _number(text, f"a number from {low:g} to {high:g}")
        if not low <= number <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}, not {text.strip()}")
        return number

    return parse


fraction = number_between(0, 1)


def seconds(text: str) -> float:
    """A time of more than nothing and at most a day."""
    number = _number(text, "a number of seconds")
    if not 0 < number <= 86_400:
        raise ValueError(f"must be more than 0 and at most 86400 seconds, not {text.strip()}")
    return number


def count(text: str) -> int:
    """A whole number from 0 on."""
    return _whole(text, 0)


def one_or_more(text: str) -> int:
    """A whole number from 1 on."""
    return _whole(text, 1)


def thread_count(text: str) -> int:
    """A number of threads that a machine could have."""
    number = _whole(text, 1)
    if number > 512:
        raise ValueError(f"must be at most 512, not {number}")
    return number


def http_url(text: str) -> str:
    """An http or https address without a slash at its end."""
    url = text.strip()
    # What is no address at all may be the key, put into the wrong variable.
    given = f", not {url[:200]!r}" if set(url) & set("/:.") else ""
    problem = ValueError(f"must be an address such as https://api.openai.com/v1{given}")
    try:
        parts = urlsplit(url)
        # Reading `port` is what checks it.
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise problem from None
    if not url.isascii():
        # A letter that looks like another leads to another host, and a blank of another script hides what follows.
        raise ValueError("must be ASCII: write another script's host as xn--…, and another character as %XX")
    if not usable or not url.isprintable() or " " in url or len(url) > _LONGEST_URL:
        raise problem
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password: it would be shown; use the key's variable")
    url = url.rstrip("/")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise ValueError(f"must end before /chat/completions: {url.removesuffix('/chat/completions')}")
    if parts.query or parts.fragment:
        # Not repeated: a key may stand there.
        raise ValueError("must not have a part behind ? or #")
    return url


def environment_variable(text: str) -> str:
    """The name of an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text.strip()):
        # Not repeated: somebody who takes this for the place of the key would see it on the screen.
        raise ValueError("must be the name of an environment variable, such as OPENAI_API_KEY (not the key itself)")
    return text.strip()


def file_path(text: str) -> Path:
    """A path, with `~` for the home folder."""
    try:
        return Path(_not_blank(text)).expanduser()
    except RuntimeError:
        raise ValueError(f"must not begin with ~ where there is no such home folder: {text!r}") from None


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def parameters(text: str) -> dict[str, Any]:
    """KEY=VALUE, several of them separated by NUL, which no argument can hold; a VALUE that is not JSON is text."""
    found: dict[str, Any] = {}
    for pair in text.split("\0"):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"must be KEY=VALUE, not {pair!r}")
        if key.strip() in ("messages", "stream"):
            raise ValueError(f"cannot change {key.strip()!r}: that is what this program is for")
        try:
            found[key.strip()] = json.loads(value, parse_constant=_no_constant, parse_float=_finite)
        except ValueError:
            found[key.strip()] = value
    return found


def _finite(text: str) -> float:
    """A number of JSON that a float can hold."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _no_constant(name: str) -> None:
    """NaN and Infinity: Python's JSON has them, JSON has not."""
    raise ValueError(name)


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"must be {what}, not {text.strip()!r}")
    return number


def _whole(text: str, low: int) -> int:
    if len(text.strip()) > _MOST_DIGITS:
        raise ValueError(f"must be a whole number of at most {_MOST_DIGITS} digits")
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"must be a whole number from {low} on, not {text.strip()!r}") from None
    if number < low:
        raise ValueError(f"must be a whole number from {low} on, not {number}")
    return number
