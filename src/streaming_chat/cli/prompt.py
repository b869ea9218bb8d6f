"""The words of the command line and standard input → what to ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streaming_chat.cli import PROGRAM
from streaming_chat.core.errors import UsageError
from streaming_chat.terminal.standard_input import StandardInput

#: The word of a prompt that stands for standard input.
_STANDARD_INPUT: Final = "-"


def prompt_of(words: Sequence[str], standard_input: StandardInput) -> str | None:
    """Return what to ask, or None for a chat. UsageError where there is nothing to ask."""
    if not words and standard_input.is_terminal:
        return None
    place = list(words).index(_STANDARD_INPUT) if _STANDARD_INPUT in words else None
    # It can be read once, and is at its end when it is named again: as with `cat - -`.
    words = [word if word != _STANDARD_INPUT else "" for word in words]
    if place is None:
        parts = [_joined(words), standard_input.piped()]
    else:
        parts = [_joined(words[:place]), standard_input.text(), _joined(words[place:])]
    prompt = "\n\n".join(part for part in (part.strip("\r\n") for part in parts) if part.strip())
    if not prompt:
        raise UsageError(
            "there is nothing to ask", f'{PROGRAM} "question", or pipe a text in; alone, in a terminal, it chats'
        )
    return prompt


def _joined(words: Sequence[str]) -> str:
    """Return the words of a prompt as one text."""
    return " ".join(word for word in words if word).strip()
