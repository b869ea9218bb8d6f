"""Content with a `<think>` block in it → reasoning and answer.

Models that were trained to think aloud write `<think>…</think>` before the answer, and servers that do not know the model
pass it on as content. Strategy: a block counts where it opens the content; anywhere else the tags are text about tags.

Some chat templates end in `<think>`, so that the model's own text begins inside the block and only `</think>` arrives. That
cannot be known before: what came so far has been shown. A `</think>` alone on a line says so afterwards (`unopened`), unless
it is quoted: inside a code fence, or behind a `<think>` in the same text.

Held back is only what may be the beginning of a tag: up to six characters at the start of the content, up to seven inside
the block.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

#: White space in the narrow sense, as the pattern below has it: a wider one would tell one cut from another.
_BLANKS: Final = " \t\r\n"
_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"
#: Four blanks before it would make code of it.
_ALONE: Final = re.compile(r" {0,3}</think>[ \t]*")
#: At any depth: it may stand in a list.
_FENCE: Final = re.compile(r"[ \t]*(```+|~~~+)(.*)")
#: What is kept of a line: enough to know a lone tag or a fence.
_LONGEST_LINE: Final = 80


class Part(Enum):
    """What a piece of content belongs to."""

    REASONING = "reasoning"
    ANSWER = "answer"


class _State(Enum):
    BEFORE = 1  # nothing but white space yet
    INSIDE = 2
    BEHIND = 3  # only line ends since `</think>`: they set the block off, and are no answer
    ANSWER = 4


class ThinkSplitter:
    """Splits the content of one answer."""

    def __init__(self) -> None:
        self._state = _State.BEFORE
        self._held = ""
        #: The answer's current line, for as long as a lone `</think>` may come.
        self._line: str | None = ""
        #: The fence of the code block that the answer is in; "" outside.
        self._fence = ""
        self._behind_close: list[str] | None = None

    @property
    def is_unopened(self) -> bool:
        """Whether there was a `</think>` that nothing had opened."""
        return self._behind_close is not None

    @property
    def unopened(self) -> str | None:
        """The answer behind a `</think>` that nothing had opened; None when there was none."""
        return None if self._behind_close is None else "".join(self._behind_close).lstrip("\r\n")

    def feed(self, text: str) -> list[tuple[Part, str]]:
        """The pieces of `text`, none of them empty."""
        pieces: list[tuple[Part, str]] = []
        text = self._held + text
        self._held = ""
        while text:
            text = self._step(text, pieces)
        return pieces

    def finish(self) -> list[tuple[Part, str]]:
        """What was held back, once nothing more can come."""
        held, self._held = self._held, ""
        if not held:
            return []
        return [(Part.REASONING if self._state is _State.INSIDE else Part.ANSWER, held)]

    def _step(self, text: str, pieces: list[tuple[Part, str]]) -> str:
        """Take the beginning of `text`; the rest."""
        if self._state is _State.BEFORE:
            content = text.lstrip(_BLANKS)
            if content and not content.startswith(_OPEN) and not _OPEN.startswith(content):
                self._state = _State.ANSWER
                return text
            if content != text:
                pieces.append((Part.ANSWER, text[: len(text) - len(content)]))
            if content.startswith(_OPEN):
                self._state = _State.INSIDE
                return content[len(_OPEN) :]
            self._held = content
            return ""
        if self._state is _State.INSIDE:
            reasoning, close, rest = text.partition(_CLOSE)
            if close:
                self._state = _State.BEHIND
            else:
                kept = _overlap(reasoning, _CLOSE)
                reasoning, self._held = reasoning[: len(reasoning) - kept], reasoning[len(reasoning) - kept :]
            if reasoning:
                pieces.append((Part.REASONING, reasoning))
            self._line = None
            return rest
        if self._state is _State.BEHIND:
            rest = text.lstrip("\r\n")
            if rest:
                self._state = _State.ANSWER
            return rest
        pieces.append((Part.ANSWER, text))
        self._look_for_lone_close(text)
        return ""

    def _look_for_lone_close(self, text: str) -> None:
        if self._behind_close is not None:
            self._behind_close.append(text)
            return
        if self._line is None:
            return
        first, *rest = text.split("\n")
        line = (self._line + first)[:_LONGEST_LINE]
        for place, following in enumerate(rest):
            if not self._fence and len(line) < _LONGEST_LINE and _ALONE.fullmatch(line.removesuffix("\r")):
                self._behind_close = ["\n".join(rest[place:])]
                return
            if self._is_about_tags(line):
                self._line = None
                return
            line = following[:_LONGEST_LINE]
        self._line = line

    def _is_about_tags(self, line: str) -> bool:
        """Look at a whole line that is no lone `</think>`: a fence, or a quoted `<think>`; then `</think>` is quoted too."""
        if found := _FENCE.match(line):
            if not self._fence:
                self._fence = found[1]
            elif found[1].startswith(self._fence) and not found[2].strip():
                self._fence = ""
        return not self._fence and _OPEN in line


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)
