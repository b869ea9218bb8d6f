"""The one rule for the key in a text that is shown, sent on or kept: it is replaced by its last four characters.

Rule: a key is masked when no text has it by chance. That is so from 16 characters on, and from 6 on when there is a digit
among them (`sk-1234`, the default of LiteLLM). Shorter keys, and words such as `ollama`, `EMPTY` or `not-needed`, are
placeholders for servers that need none: they stay, because answers have words.

A whole text may hold JSON, in which a character of the key can be written as an escape (`\\/`, `\\u002d`); inside JSON in
JSON the backslash is doubled. All these spellings are found (RFC 8259, section 7).

In a text that comes in pieces, a server may cut the key anywhere, and in `--json`, a log or the history the pieces are
together again. So what may be the beginning of the key is held back, once it is too long to be a coincidence. Held back
earlier, a text would wait for its next piece whenever it ends in "s", as keys begin with "sk-". So up to seven characters of
a key that was cut stay; they are the ones that tell its kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

_SURE_LENGTH: Final = 16
_SHORTEST: Final = 6
#: A shorter key is shown without its end, which would be most of it.
_SHORTEST_WITH_END: Final = 8
#: Characters of one of the key's, as an escape with as many backslashes as are looked for.
_LONGEST_SPELLING: Final = 13
#: What an escape begins with, cut anywhere.
_CUT_ESCAPE: Final = re.compile(r"\\+(?:u[0-9a-fA-F]{0,3})?")
_API_NAME: Final = re.compile("[a-z_]+")
#: As many characters of the key are no coincidence.
_SURE: Final = 8


def is_secret(key: str | None) -> bool:
    """Whether `key` is masked; None and placeholders are not."""
    if not key:
        return False
    return len(key) >= _SURE_LENGTH or (len(key) >= _SHORTEST and any(char.isdigit() for char in key))


def masked(key: str) -> str:
    """How a key is shown."""
    return f"…{key[-4:]}" if len(key) >= _SHORTEST_WITH_END else "…"


def without_secret(text: str, key: str | None) -> str:
    """A whole text, JSON or not, with `key` masked in every spelling; unchanged where `key` is no secret."""
    if not key or not is_secret(key):
        return text
    escapes, spellings = _patterns(key)
    # Searching the spellings takes a hundred times as long as searching the key itself.
    return spellings.sub(masked(key), text) if escapes.search(text) else text.replace(key, masked(key))


def holds_secret(text: str, key: str | None) -> bool:
    """Whether `key`, if it is one that is masked, stands in `text` in any spelling."""
    if not key or not is_secret(key):
        return False
    escapes, spellings = _patterns(key)
    return key in text or bool(escapes.search(text) and spellings.search(text))


def values_without_secret(value: Any, key: str) -> Any:
    """A value of JSON with `key` masked in its texts. Names of fields stay where the key looks like one of the API's."""
    if isinstance(value, str):
        return without_secret(value, key)
    if isinstance(value, list):
        return [values_without_secret(one, key) for one in value]
    if isinstance(value, dict):
        is_name = _API_NAME.fullmatch(key)
        return {
            name if is_name else without_secret(name, key): values_without_secret(one, key) for name, one in value.items()
        }
    return value


@lru_cache(maxsize=8)
def _patterns(key: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What a text has in which a character of `key` is escaped, and `key` in all spellings."""
    special = "".join({char for char in key if char in '"\\/'})
    escapes = r"\\(?:u00[2-7]" + (f"|[{re.escape(special)}]" if special else "") + ")"
    # A run of backslashes as one: one by one, a run in a text could be shared out among them in too many ways.
    return re.compile(escapes), re.compile("".join(map(_spellings, _runs(key))))


def _runs(key: str) -> list[str]:
    """The characters of a key, with a run of backslashes as one."""
    return re.findall(r"\\+|[^\\]", key)


def _spellings(run: str) -> str:
    """The spellings of a character, or of a run of backslashes, with a bounded number of backslashes before each."""
    number = f"{ord(run[0]):04x}"
    digits = "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in number)
    by_number = rf"(?:\\{{1,8}}u{digits}){{{len(run)}}}"
    if run[0] == "\\":
        return rf"(?:\\{{{len(run)},{8 * len(run)}}}|{by_number})"
    backslashes = r"\\{0,8}" if run in '"/' else ""
    return rf"(?:{backslashes}{re.escape(run)}|{by_number})"


class SecretMask:
    """Masks a key, in every spelling, in one text that comes in pieces. Placeholders and "" are not looked for."""

    def __init__(self, key: str) -> None:
        self._key = key if is_secret(key) else ""
        # Of a short key nothing can be shown: its end is most of it already.
        self._sure = min(_SURE, max(1, (len(self._key) - _SHORTEST_WITH_END) // 2))
        self._shown = ""  # The last characters that went out, where the key may have begun.
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be shown of the text so far and was not yet."""
        if not self._key:
            return text
        seen = self._shown + self._held + text
        is_escaped = "\\" in seen
        done, start = len(self._shown), 0
        out: list[str] = []
        for place, end in self._found(seen, is_escaped=is_escaped):
            out += (seen[done:place], masked(self._key))
            done = start = end
        kept = max(done, self._beginning(seen, start, is_escaped=is_escaped))
        out.append(seen[done:kept])
        tail = (self._sure - 1) * (_LONGEST_SPELLING if is_escaped else 1)
        self._shown, self._held = seen[max(start, kept - tail) : kept], seen[kept:]
        return "".join(out)

    def finish(self) -> str:
        """What was held back: it was not the key."""
        held, self._held, self._shown = self._held, "", ""
        return held

    def _found(self, seen: str, *, is_escaped: bool) -> Iterator[tuple[int, int]]:
        """Where the whole key stands."""
        if is_escaped:
            yield from (found.span() for found in _patterns(self._key)[1].finditer(seen))
            return
        place = seen.find(self._key)
        while place >= 0:
            yield place, place + len(self._key)
            place = seen.find(self._key, place + len(self._key))

    def _beginning(self, seen: str, start: int, *, is_escaped: bool) -> int:
        """Where, from `start` on, the key may have begun at the end of `seen`; its length when it has not."""
        if is_escaped:
            first = max(start, len(seen) - _LONGEST_SPELLING * len(self._key))
            places = (place for place in range(first, len(seen)) if seen[place] in ("\\", self._key[0]))
            return next((place for place in places if self._may_begin(seen, place)), len(seen))
        head = self._key[: self._sure]
        place = seen.find(head, max(start, len(seen) - len(self._key) + 1))
        while place >= 0 and not self._key.startswith(seen[place:]):
            place = seen.find(head, place + 1)
        return len(seen) if place < 0 else place

    def _may_begin(self, seen: str, place: int) -> bool:
        """Whether the end of `seen` from `place` on is the beginning of the key in some spelling, and no coincidence."""
        if "\\" in self._key:
            return True  # Where one of its own ends and an escape begins is not told without the rest.
        for known, char in enumerate(self._key):
            if place == len(seen):
                return known >= self._sure
            found = re.compile(_spellings(char)).match(seen, place)
            if found is None:
                # It may be cut in the middle of an escape, whose first character is a backslash.
                return known >= self._sure - 1 and _CUT_ESCAPE.fullmatch(seen, place) is not None
            place = found.end()
        return False
