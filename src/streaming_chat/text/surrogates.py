"""JSON text with surrogates → text of whole characters.

JSON writes a character outside the basic plane as two `\\uXXXX` escapes, and a server may cut between them: each half is
then a lone surrogate, which UTF-8 cannot express. Halves that belong together are joined; what stays alone is U+FFFD.
"""

from __future__ import annotations

import codecs


class SurrogateJoiner:
    """Joins halves across the pieces of one text. At most one character is held back."""

    def __init__(self) -> None:
        # UTF-16 is the one encoding in which two surrogates next to each other *are* the character.
        self._decoder = codecs.getincrementaldecoder("utf-16-le")("replace")
        self._holds = False

    def feed(self, text: str) -> str:
        """The characters of `text` that are complete."""
        if not self._holds and not has_surrogate(text):
            return text
        joined = self._decoder.decode(text.encode("utf-16-le", "surrogatepass"))
        self._holds = bool(self._decoder.getstate()[0])
        return joined

    def finish(self) -> str:
        """U+FFFD when the text ended on a half, else nothing."""
        self._holds = False
        return self._decoder.decode(b"", final=True)


def has_surrogate(text: str) -> bool:
    """Whether `text` has a code point that no UTF-8 file can hold."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
