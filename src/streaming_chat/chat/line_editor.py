"""The prompt of the chat on `prompt_toolkit`: editing, history, completion, messages of several lines."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, redirect_stderr, suppress
from io import StringIO
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import is_searching
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle

from streaming_chat.chat.commands import COMMANDS
from streaming_chat.chat.line_reader import LineCleared
from streaming_chat.config.folders import make_private
from streaming_chat.config.options import OPTIONS
from streaming_chat.terminal.keyboard import Keyboard
from streaming_chat.terminal.output import text_stream
from streaming_chat.text.secret import without_secret

if sys.platform != "win32":
    from prompt_toolkit.input.vt100 import Vt100Input

_HISTORY_FILE = "typed"


class LineEditor:
    """Reads messages. `models` names the models to choose from; the prompt stands still for as long as it takes.

    `when_drawn` is called when the first prompt is there, `when_typing` at the first key of each message.
    """

    def __init__(  # noqa: PLR0913 # what the editor is wired with, each by its name
        self,
        keyboard: Keyboard,
        *,
        state_folder: Path | None,
        models: Callable[[], list[str]],
        color: bool,
        when_drawn: Callable[[], None],
        when_typing: Callable[[], None],
        secret: str | None,
        notice: Callable[[str], None],
    ) -> None:
        # Without this the terminal is asked where its cursor is, and one that does not answer gets a warning. Nothing
        # below the prompt is drawn, so there is no need to know.
        os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")
        # A signal that ends the program may come when the library is about to wait: nobody wants to hear that it did not.
        warnings.filterwarnings("ignore", "coroutine 'Application.run_async' was never awaited", RuntimeWarning)
        # A terminal that was closed a moment ago is the end of the input, about which the library has a warning to print.
        with redirect_stderr(StringIO()):
            self._session: PromptSession[str] = PromptSession(
                input=_keys(keyboard),
                output=_Terminal.from_pty(
                    text_stream("stdout"), term=os.environ.get("TERM"), default_color_depth=ColorDepth.from_env()
                ),
                history=_history(state_folder, secret, notice),
                completer=_ChatCompleter(models),
                complete_while_typing=False,
                complete_in_thread=True,
                complete_style=CompleteStyle.READLINE_LIKE,
                enable_open_in_editor=True,
                enable_suspend=True,
                tempfile_suffix=".md",
                key_bindings=_bindings(),
                multiline=True,
                prompt_continuation=lambda _width, _number, _wrapped: "...  ",
                color_depth=None if color else ColorDepth.MONOCHROME,
            )
        self._prompt = FormattedText([("bold fg:ansigreen" if color else "", "You: ")])

        def drawn(_application: object) -> None:
            self._session.app.after_render -= drawn
            when_drawn()

        self._session.app.after_render += drawn
        self._is_typing = False

        def typed(_buffer: object) -> None:
            if not self._is_typing:
                self._is_typing = True
                when_typing()

        self._session.default_buffer.on_text_insert += typed

    def read(self) -> str:
        """One message. EOFError for Ctrl-D on an empty line, KeyboardInterrupt for Ctrl-C (LineCleared on a typed one)."""
        self._is_typing = False
        try:
            line = self._session.prompt(self._prompt)
            # What is pasted while an answer streams stays one paste until the next prompt reads it.
            self._session.output.enable_bracketed_paste()
            self._session.output.flush()
            return line
        except BaseException as ending:
            # A signal right behind the first drawing comes before the library's own clean-up is in force, and the shell
            # would be left with bracketed paste switched on.
            self._session.app.renderer.reset()
            if isinstance(ending, KeyboardInterrupt) and self._session.default_buffer.text:
                raise LineCleared from None
            raise

    def close(self) -> None:
        """Leave the terminal as it was found."""
        self._session.output.disable_bracketed_paste()
        self._session.output.flush()


class _Terminal(Vt100_Output):
    """The terminal, also when it has been closed: the chat ends by SIGHUP or the end of its input, not by a failed drawing.

    The library draws once more on its way out, and would take the failure for the reason.
    """

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


if sys.platform != "win32":

    class _Keys(Vt100Input):
        """The keys. What the terminal does with them is changed in one place, which knows when that may be done."""

        def __init__(self, keyboard: Keyboard) -> None:
            super().__init__(sys.stdin)
            self._keyboard = keyboard

        def raw_mode(self) -> AbstractContextManager[None]:
            return self._keyboard.raw()

        def cooked_mode(self) -> AbstractContextManager[None]:
            return self._keyboard.as_found()


def _keys(keyboard: Keyboard) -> Input | None:
    """None is the library's own."""
    return None if sys.platform == "win32" else _Keys(keyboard)


class _TypedLines(FileHistory):
    """The lines of all chats, less the key."""

    def __init__(self, path: Path, secret: str | None) -> None:
        super().__init__(path)
        self._secret = secret

    def store_string(self, string: str) -> None:
        super().store_string(without_secret(string, self._secret))


def _history(state_folder: Path | None, secret: str | None, notice: Callable[[str], None]) -> History:
    if state_folder is None:
        return InMemoryHistory()
    path = state_folder / _HISTORY_FILE
    try:
        make_private(state_folder)
        # Made here, because the library would make it readable for everybody.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as problem:
        notice(f"typed lines are not kept: {path}: {problem.strerror}")
        return InMemoryHistory()
    return _TypedLines(path, secret)


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    # In a search, Enter takes what was found, as everywhere where this library is.
    @bindings.add("enter", filter=~is_searching)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.char_before_cursor == "\\" and buffer.document.is_cursor_at_the_end:
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    # The library switches the terminal's signals off, and would ignore the key.
    @bindings.add("c-\\")
    def _(_event: KeyPressEvent) -> None:
        signal.raise_signal(signal.SIGQUIT)

    @bindings.add("escape", "enter", filter=~is_searching)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


class _ChatCompleter(Completer):
    """Commands, the keys of `/set`, and model names behind `/model`."""

    def __init__(self, models: Callable[[], list[str]]) -> None:
        self._models = models

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002 # the library's face
        before = document.text_before_cursor
        command, blank, argument = before.partition(" ")
        for candidate in self._candidates(command, blank, argument):
            word = argument if blank else command
            if candidate.startswith(word):
                yield Completion(candidate, start_position=-len(word))

    def _candidates(self, command: str, blank: str, argument: str) -> Iterable[str]:
        if not command.startswith("/") or "\n" in command or " " in argument:
            return ()
        if not blank:
            return COMMANDS
        if command == "/model":
            return self._models()
        if command == "/set":
            return [name for name, option in OPTIONS.items() if option.is_settable]
        return ()
