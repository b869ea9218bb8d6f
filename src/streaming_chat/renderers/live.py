"""The answer on a terminal as formatted text, while it arrives: harmless first, Markdown then."""

from __future__ import annotations

from collections.abc import Callable

from streaming_chat.core.events import TextDelta
from streaming_chat.core.markdown import MarkdownStream
from streaming_chat.renderers.plain import TerminalRenderer
from streaming_chat.renderers.stall import StallHint, terminal_columns
from streaming_chat.terminal import Output

#: The width of a terminal that does not tell its own.
_USUAL_WIDTH = 80


class LiveRenderer(TerminalRenderer):
    """Formats the answer. What is beside it (reasoning, tool calls, a refusal) is shown as it comes."""

    def __init__(
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
        super().__init__(output, aside, reasoning=reasoning, hint=hint)
        self._columns = columns
        self._theme, self._color, self._hyperlinks = theme, color, hyperlinks
        self._markdown: MarkdownStream | None = None

    def _formatted(self, text: str, *, is_last: bool = False) -> str:
        if self._section is not TextDelta:
            return text
        # It is out of reach while it works: one that a Ctrl-C stopped in the middle is not to be used again.
        markdown, self._markdown = self._markdown, None
        if markdown is None:
            if is_last:
                return text
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
