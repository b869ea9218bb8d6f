"""A secret in a text that comes in pieces → the text without it.

A server that repeats the key may cut it anywhere, and in `--json`, a log or the history the pieces are together again.

Strategy: what may be the beginning of the secret is held back, once it is too long to be a coincidence. Held back earlier, a
text would wait for its next piece whenever it ends in "s", as keys begin with "sk-". So up to seven characters of a secret
that was cut stay; they are the ones that tell its kind.
"""

from __future__ import annotations

import json
from typing import Final

#: Placeholders such as `dummy` or `EMPTY` are shorter, and may stand in an answer.
SHORTEST_SECRET: Final = 16
#: As many characters of the secret are no coincidence.
_SURE: Final = 8


def masked(secret: str) -> str:
    """How a secret is shown: by its last four characters."""
    return f"…{secret[-4:]}"


def without_secret(text: str, secret: str | None) -> str:
    """A whole text, JSON or not, without the secret; one that is too short to be a key stays."""
    if not secret or len(secret) < SHORTEST_SECRET:
        return text
    for written in {secret, json.dumps(secret)[1:-1]}:
        text = text.replace(written, masked(secret))
    return text


class SecretMask:
    """Takes one secret out of one text; "" for none."""

    def __init__(self, secret: str) -> None:
        self._secret = secret if len(secret) > _SURE else ""
        self._shown = ""  # The last characters that went out, where the secret may have begun.
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be shown of the text so far and was not yet."""
        secret = self._secret
        if not secret:
            return text
        seen = self._shown + self._held + text
        done = len(self._shown)
        out = ""
        while (place := seen.find(secret)) >= 0:
            out += seen[done:place] + masked(secret)
            seen, done = seen[place + len(secret) :], 0
        beginning = self._beginning(seen)
        kept = max(done, beginning)
        out += seen[done:kept]
        self._shown, self._held = seen[max(0, kept - _SURE + 1) : kept], seen[kept:]
        return out

    def finish(self) -> str:
        """What was held back: it was not the secret."""
        held, self._held, self._shown = self._held, "", ""
        return held

    def _beginning(self, seen: str) -> int:
        """Where the secret may have begun at the end of `seen`; its length when it has not."""
        start = self._secret[:_SURE]
        place = seen.find(start, max(0, len(seen) - len(self._secret) + 1))
        while place >= 0 and not self._secret.startswith(seen[place:]):
            place = seen.find(start, place + 1)
        return len(seen) if place < 0 else place
