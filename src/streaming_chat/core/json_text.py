"""JSON that a server sent → values that this program can keep, write and send on.

Python's parser is stricter than JSON in one place and laxer in another: it refuses a number of more than 4,300 digits,
and reads NaN, Infinity and 1e999 as floats that no JSON can hold. Here each of them is `None`, as good as absent: the
number does not count, what stands beside it does.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from streaming_chat.core.limits import MOST_VALUES

#: Up to this length a text is parsed without a look at what is in it, characters.
_SHORT: Final = 1 << 20
#: Digits of the longest number that Python reads (sys.int_info.default_max_str_digits).
_MOST_DIGITS: Final = 4300


def from_json(text: str) -> Any:
    """What `text` stands for. ValueError when it is not JSON, RecursionError for brackets nested without a bottom.

    A text without blanks around it takes two thirds of the time that `json.loads` takes.
    """
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        end = -1
    except json.JSONDecodeError:
        raise
    except ValueError:  # A number that is too long. Only then every whole number goes through Python.
        return _with_long_numbers.decode(text)
    # What is wrong with it is said by the library.
    return value if end == len(text) else _usual.decode(text)


def has_too_many_values(text: str) -> bool:
    """Whether what `text` stands for could take many times its own memory."""
    if len(text) <= _SHORT:
        return False
    return text.count(",") + text.count("[") + text.count("{") > MOST_VALUES


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _nothing(_name: str) -> None:
    """NaN and Infinity."""


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else None


_usual: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_nothing)
_with_long_numbers: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_nothing, parse_int=_whole)
_scan: Final = _usual.scan_once  # type: ignore[attr-defined] # typeshed leaves it out
