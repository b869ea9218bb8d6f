"""When each delta of an answer came, in eight bytes: so that it can be replayed at its own speed.

One unsigned little-endian number a delta, in the order in which they came:

    bits 24–63  microseconds from the recorder's start to the arrival, at most 12.7 days (later ones count as that)
    bits  4–23  characters (code points) of the delta; a delta of more than 1,048,575 takes several entries
    bits  0–3   kind: 0 text, 1 reasoning, 2 refusal, 3 tool call (its characters are those of name and arguments)

The lengths of a kind add up to the stored text of that kind, so cutting the text by them gives the deltas again. Weak
spot: pieces of several tool calls that came interleaved have lost which call each belonged to.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from streaming_chat.core.events import ReasoningDelta, RefusalDelta, TextDelta

KINDS: Final = ("text", "reasoning", "refusal", "tool_call")
_LATEST = 2**40 - 1
#: Characters of one entry, at most.
LONGEST: Final = 2**20 - 1
_IS_LITTLE_ENDIAN = array("H", [1]).tobytes() == b"\x01\x00"


#: The kind of each event that brings a text.
KIND_OF_EVENT: Final[Mapping[type, str]] = {TextDelta: "text", ReasoningDelta: "reasoning", RefusalDelta: "refusal"}


class Arrival(NamedTuple):
    """One delta: `at` seconds after the recorder's start, `length` characters of `kind` (one of `KINDS`) came."""

    at: float
    kind: str
    length: int


def encode_arrivals(arrivals: Iterable[Arrival]) -> bytes:
    """The bytes for `arrivals`. Times are rounded to the microsecond."""
    return to_bytes([word for at, kind, length in arrivals for word in arrival_words(at, kind, length)])


def decode_arrivals(encoded: bytes) -> list[Arrival]:
    """The inverse of `encode_arrivals`."""
    return [
        Arrival((word >> 24) / 1e6, KINDS[word & 0xF], word >> 4 & LONGEST) for (word,) in struct.iter_unpack("<Q", encoded)
    ]


def arrival_words(at: float, kind: str, length: int) -> list[int]:
    """The numbers for one delta: one, unless it is very long."""
    microseconds = min(max(round(at * 1e6), 0), _LATEST)
    word = microseconds << 24 | KINDS.index(kind)
    if length <= LONGEST:
        return [word | length << 4]
    whole, rest = divmod(length, LONGEST)
    return [word | LONGEST << 4] * whole + ([word | rest << 4] if rest else [])


def to_bytes(words: Iterable[int]) -> bytes:
    """The bytes for `words`."""
    numbers = words if isinstance(words, array) else array("Q", words)
    if not _IS_LITTLE_ENDIAN:
        numbers = array("Q", numbers)
        numbers.byteswap()
    return numbers.tobytes()
