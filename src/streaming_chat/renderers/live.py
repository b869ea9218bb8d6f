"""The answer on a terminal as formatted text, while it arrives: harmless first, Markdown then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from streaming_chat.core.events import Event, Sent, TextDelta
from streaming_chat.renderers.plain import TerminalRenderer
from streaming_chat.renderers.stall import StallHint, terminal_columns
from streaming_chat.terminal.output import Output

if TYPE_CHECKING:
    from streaming_chat.markdown import MarkdownStream

#: The width of a terminal that does not tell its own.
_USUAL_WIDTH = 80


def prepare(*, is_late: Callable[[], bool] = lambda: False) -> None:
    """Import what formats text and, unless `is_late`, what colours code: time that is there while nobody waits for it."""
    with suppress(ImportError):
        # The package first, as the main thread imports it: two threads that came from two sides would each wait for a module
        # that the other one is importing, and Python ends that with an error in one of them.
        import streaming_chat.markdown  # noqa: F401
        from streaming_chat.markdown.code import Highlighter

        if not is_late():
            Highlighter("python")


class LiveRenderer(TerminalRenderer):
    """Formats the answer. What is beside it (reasoning, tool calls, a refusal) is shown as it comes.

    ImportError where the libraries for it are not installed.
    """

    def __init__(  # noqa: PLR0913 # how an answer looks, each choice by its name
        self,
        output: Output,
        aside: Output,
        *,
        reasoning: bool = True,
        hint: StallHint | None = None,
        theme: str,
        color: bool,
        hyperlinks: bool,
        columns: Callable[[], int] = terminal_columns,
    ) -> None:
        if find_spec("wcwidth") is None:
            raise ImportError("wcwidth")
        super().__init__(output, aside, reasoning=reasoning, hint=hint)
        self._columns = columns
        self._theme, self._color, self._hyperlinks = theme, color, hyperlinks
        self._markdown: MarkdownStream | None = None

    def handle(self, event: Event) -> None:
        """Show what has a text."""
        if isinstance(event, Sent):
            # While the server thinks there is time. Once text comes, the import of a second library would be in its way.
            late = {"is_late": lambda: self._markdown is not None}
            threading.Thread(target=prepare, kwargs=late, name="live", daemon=True).start()
        super().handle(event)

    def _formatted(self, text: str, *, is_last: bool = False) -> str:
        if self._section is not TextDelta:
            return text
        # It is out of reach while it works: one that a Ctrl-C stopped in the middle is not to be used again.
        markdown, self._markdown = self._markdown, None
        if markdown is None:
            if is_last:
                return text
            from streaming_chat.markdown import MarkdownStream

            markdown = MarkdownStream(self._width(), self._color, theme=self._theme, hyperlinks=self._hyperlinks)
        # A terminal may have been made wider or narrower. Asking costs less than hearing of it would.
        markdown.width = self._width()
        formatted = markdown.feed(text)
        if is_last:
            return formatted + markdown.finish()
        self._markdown = markdown
        return formatted

    def _row(self) -> str | None:
        return None if self._markdown is None else self._markdown.row

    def _width(self) -> int:
        return self._columns() or _USUAL_WIDTH
