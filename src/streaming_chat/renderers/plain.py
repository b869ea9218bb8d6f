"""The answer as it came: byte for byte into a pipe or a file, as harmless text onto a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from streaming_chat.core.events import Event, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from streaming_chat.core.turn import Turn
from streaming_chat.engine.protocols import Display
from streaming_chat.renderers.stall import StallHint
from streaming_chat.terminal.output import Output
from streaming_chat.text.lines import one_line
from streaming_chat.text.sanitize import Sanitizer


class PlainRenderer(Display):
    """For an output that is not a terminal: the text exactly, and a newline at its end when it has none."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last = ""

    @property
    def is_cut(self) -> bool:
        """Whether something was not written in the end."""
        return self._output.is_cut

    def patient(self) -> AbstractContextManager[None]:
        """Do not wait for a slow reader inside."""
        return self._output.patient()

    def take_up(self, source: int) -> None:
        """Write what waits, for as long as nothing is to be read from the file number `source`."""
        self._output.take_up(source)

    def handle(self, event: Event) -> None:
        """Write text and refusal; nothing else belongs to the answer."""
        if isinstance(event, (TextDelta, RefusalDelta)):
            # First, because Ctrl-C may come while the text is being written.
            self._last = event.text
            self._output.write(event.text)

    def end(self, turn: Turn) -> None:  # noqa: ARG002 # an observer's method
        """Finish the last line."""
        if self._last and not self._last.endswith("\n"):
            self._output.write("\n")
        self._last = ""


class TerminalRenderer(Display):
    """For a terminal: no byte of the server's can do more than show a character.

    Reasoning, and the calls that a model asks for, are not the answer: they are dimmed, and go to `aside`.
    The `hint` of a stall, a renderer of its own behind this one, makes way for what is written.
    """

    def __init__(self, output: Output, aside: Output, *, reasoning: bool = True, hint: StallHint | None = None) -> None:
        self._output = output
        # On one terminal, all has to come in its order, and nothing is waited for.
        self._aside = output if output.is_same_terminal(aside) else aside
        self._reasoning = reasoning
        self._hint = hint
        self._sanitizer = Sanitizer()
        #: The class of the events that are being written, one section each.
        self._section: type[object] | None = None
        self._at_line_start = True

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Do not wait for a slow terminal inside."""
        with self._output.patient(), self._aside.patient() if self._aside is not self._output else nullcontext():
            yield

    def take_up(self, source: int) -> None:
        """Write what waits, for as long as nothing is to be read from the file number `source`."""
        self._output.take_up(source)
        if self._aside is not self._output:
            self._aside.take_up(source)

    @property
    def is_cut(self) -> bool:
        """Whether something was not written in the end."""
        return self._output.is_cut or self._aside.is_cut

    def handle(self, event: Event) -> None:
        """Show what has a text."""
        if isinstance(event, (TextDelta, RefusalDelta)):
            self._show(type(event), event.text)
        elif isinstance(event, ReasoningDelta):
            if self._reasoning:
                self._show(ReasoningDelta, event.text)
        elif isinstance(event, ToolCallDelta):
            call = f"\n[the model calls {one_line(event.name)}] " if event.name else ""
            self._show(ToolCallDelta, call.lstrip("\n") if self._at_line_start else call)
            self._show(ToolCallDelta, event.arguments)

    def end(self, turn: Turn) -> None:  # noqa: ARG002 # an observer's method
        """Finish the last line."""
        if self._hint:
            self._hint.close()
        self._close_section()

    def _show(self, section: type[object], text: str) -> None:
        if section is not self._section:
            self._close_section()
            self._section = section
        self._write(self._formatted(self._sanitizer.feed(text)))

    def _close_section(self) -> None:
        self._write(self._formatted(self._sanitizer.finish(), is_last=True))
        self._sanitizer = Sanitizer()
        if not self._at_line_start:
            self._write("\n")
        self._section = None

    def _formatted(self, text: str, *, is_last: bool = False) -> str:  # noqa: ARG002 # for renderers that format
        """What to write for harmless text of the present section; `is_last` ends the section."""
        return text

    def _row(self) -> str | None:
        """The text on the row of the cursor, once all is written; None where it is what stands behind the last line end."""
        return None

    def _write(self, text: str) -> None:
        if not text:
            return
        self._at_line_start = text.endswith("\n")
        if self._hint:
            self._hint.make_way(text, self._row())
        if self._section in (ReasoningDelta, ToolCallDelta):
            self._aside.write(self._aside.styled("dim", text))
        else:
            self._output.write(text)
