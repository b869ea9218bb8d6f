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
from functools import lru_cache
from typing import Any, Final

_SURE_LENGTH: Final = 16
_SHORTEST: Final = 6
#: A shorter key is shown without its end, which would be most of it.
_SHORTEST_WITH_END: Final = 8
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
    return re.compile(escapes), re.compile("".join(map(_spellings, re.findall(r"\\+|[^\\]", key))))


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
    """Masks a key in one text that comes in pieces. The text is no JSON; placeholders and "" are not looked for."""

    def __init__(self, key: str) -> None:
        self._key = key if is_secret(key) else ""
        # Of a short key, half is as sure as anything can be.
        self._sure = min(_SURE, max(1, len(self._key) // 2))
        self._shown = ""  # The last characters that went out, where the key may have begun.
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be shown of the text so far and was not yet."""
        key = self._key
        if not key:
            return text
        seen = self._shown + self._held + text
        done = len(self._shown)
        out = ""
        while (place := seen.find(key)) >= 0:
            out += seen[done:place] + masked(key)
            seen, done = seen[place + len(key) :], 0
        beginning = self._beginning(seen)
        kept = max(done, beginning)
        out += seen[done:kept]
        self._shown, self._held = seen[max(0, kept - self._sure + 1) : kept], seen[kept:]
        return out

    def finish(self) -> str:
        """What was held back: it was not the key."""
        held, self._held, self._shown = self._held, "", ""
        return held

    def _beginning(self, seen: str) -> int:
        """Where the key may have begun at the end of `seen`; its length when it has not."""
        start = self._key[: self._sure]
        place = seen.find(start, max(0, len(seen) - len(self._key) + 1))
        while place >= 0 and not self._key.startswith(seen[place:]):
            place = seen.find(start, place + 1)
        return len(seen) if place < 0 else place
