"""Lines with nothing but the standard library: where `prompt_toolkit` is not installed, or the terminal cannot do it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

from streaming_chat.terminal.keyboard import Keyboard
from streaming_chat.terminal.output import Output


class LineCleared(KeyboardInterrupt):
    """Ctrl-C on a line on which something had been typed."""


class LineReader:
    """Reads messages with `input()`. A backslash at the end of a line goes on to the next.

    The prompt is written to `output`, unless `shown` is the keyboard's own terminal, which `input()` draws on by itself.
    `before_first` is called once, right before the first prompt.
    """

    def __init__(self, output: Output, keyboard: Keyboard, *, shown: Output, before_first: Callable[[], None]) -> None:
        self._output = output
        self._shown = shown
        self._keyboard = keyboard
        self._before_first: Callable[[], None] | None = before_first

    def read(self) -> str:
        """One message. EOFError for Ctrl-D, KeyboardInterrupt for Ctrl-C (LineCleared, if something had been typed)."""
        if self._before_first is not None:
            if self._keyboard.is_ours:
                _use_readline()
            self._before_first()
            self._before_first = None
        lines: list[str] = []
        try:
            with self._keyboard.lines():
                lines.append(self._line("You: "))
                while lines[-1].endswith("\\"):
                    lines[-1] = lines[-1][:-1]
                    lines.append(self._line("...  "))
        except EOFError:
            self._output.write("\n")
            raise
        except KeyboardInterrupt:
            self._output.write("\n")
            if lines or _typed():
                raise LineCleared from None
            raise
        return "\n".join(lines)

    def close(self) -> None:
        """Nothing is to be put back."""

    def _line(self, prompt: str) -> str:
        if self._shown.is_terminal:
            return input(prompt)
        # `input()` would write the prompt among the answers.
        self._output.write(prompt)
        return input()


def _use_readline() -> None:
    """Give `input()` the arrow keys and the lines typed before, where the interpreter has it."""
    with suppress(ImportError):
        import readline  # noqa: F401 # importing it is what switches it on


def _typed() -> str:
    """What stood on the line when it was interrupted. Only readline knows; without it a Ctrl-C always counts."""
    readline = sys.modules.get("readline")
    return readline.get_line_buffer() if readline is not None else ""
