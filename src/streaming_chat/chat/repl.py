"""The chat: read a line → a command or a turn, until the user leaves. An error never ends it.

Ctrl-C ends the answer that streams, or clears the line that is being typed; pressed twice at the prompt it leaves, as Ctrl-D
does at once.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
from typing import Protocol

from streaming_chat import __version__
from streaming_chat.chat.commands import COMMANDS, Chat, Leave, run_command
from streaming_chat.chat.line_reader import LineCleared, LineReader
from streaming_chat.chat.usage_lines import summary
from streaming_chat.config.describe import shown
from streaming_chat.config.dotenv_lines import origin_line, shown_url
from streaming_chat.config.options import OPTIONS, Settings
from streaming_chat.core.errors import ChatError, OutputClosed
from streaming_chat.engine.protocols import Provider
from streaming_chat.renderers.live import prepare
from streaming_chat.terminal.signals import ended_at_once, interruptible, no_interrupt
from streaming_chat.text.sanitize import sanitize

#: A slash and a word: a path (`/etc/hosts`) or a line that begins with a blank is a message.
_COMMAND = re.compile(r"/[^\s/]*(\s|$)")

#: Settings that say how to run, not what to ask: the header leaves them to `/config`.
_NOT_IN_HEADER = {
    *("model", "base_url", "local", "local_model", "stateful", "continue_last", "resume"),
    *("currency", "prices", "private"),
}

#: Seconds that the prompt may stand still for the names of models. What comes later is there for the next Tab.
_LONGEST_COMPLETION = 1.0


class Reader(Protocol):
    """Where lines come from."""

    def read(self) -> str:
        """One message. EOFError for Ctrl-D, KeyboardInterrupt for Ctrl-C (LineCleared, if something had been typed)."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


class _EarlyPrompt:
    """A prompt that is there before the editor behind it, whose import takes a tenth of a second: nothing typed is lost.

    `make` is given what to call when the editor has drawn its own prompt over this one.
    """

    def __init__(self, chat: Chat, make: Callable[[Callable[[], None]], Reader]) -> None:
        self._chat = chat
        self._make = make
        self._reader: Reader | None = None

    def read(self) -> str:
        """One message, as the editor reads it."""
        if self._reader is not None:
            return self._reader.read()
        session = self._chat.session
        # Until the editor waits, an exception from a signal may get lost: in an import, or where an event loop is made.
        with ExitStack() as until_drawn:
            until_drawn.enter_context(ended_at_once())
            with session.keyboard.queued():
                session.keyboard.is_drawn_on = True
                self._draw(session.output.styled("you", "You: "))
                self._reader = self._make(until_drawn.close)
                self._draw("\r")
            return self._reader.read()

    def close(self) -> None:
        """Leave the terminal as it was found."""
        if self._reader is not None:
            self._reader.close()
        self._chat.session.keyboard.is_drawn_on = False

    def _draw(self, text: str) -> None:
        # That the terminal has been closed is told by the end of what is read from it.
        with suppress(OutputClosed):
            self._chat.session.output.write(text)


def run_chat(chat: Chat, *, state_folder: Path | None, color: bool) -> None:
    """Talk until the user leaves. `state_folder` keeps the typed lines; None keeps none."""
    notices = chat.session.notices
    try:
        chat.session.keyboard.wait_for_foreground()
    except EOFError:
        return
    for line in header(chat.session.settings, chat.session.provider):
        # Between words, where the terminal would break inside one.
        notices.line(fill(line, get_terminal_size().columns, break_long_words=False, break_on_hyphens=False), style="dim")
    reader = _reader(chat, state_folder, color)
    # Between two lines nothing may be hurt by a Ctrl-C more than was needed to end an answer, and keys wait for the prompt.
    with closing(reader), no_interrupt(), chat.session.keyboard.silent():
        _read_and_respond(chat, reader)
    _sum_up(chat)


def _sum_up(chat: Chat) -> None:
    """What the session came to. Of a single turn, the latency line has told."""
    session = chat.session
    line = summary(session.usage_sums, session.settings.currency)
    if line is not None and session.usage_sums.turns > 1 and not session.settings.json:
        session.notices.line(line, style="dim")


def _read_and_respond(chat: Chat, reader: Reader) -> None:
    notices = chat.session.notices
    interrupts = 0
    while True:
        notices.line("")
        try:
            with interruptible():
                line = _utf8(reader.read())
        except EOFError:
            return
        except KeyboardInterrupt as interrupt:
            # "Twice" means twice in a row: whoever has typed in between wants to stay.
            interrupts = 1 if isinstance(interrupt, LineCleared) else interrupts + 1
            if interrupts == 2:
                return
            notices.line("(Ctrl-C again, or Ctrl-D, leaves)", style="dim")
            continue
        interrupts = 0
        if not line.strip():
            continue
        if not _answered(chat, line):
            return


def _answered(chat: Chat, line: str) -> bool:
    """Respond to a line. Return False when the user leaves; a failure is told, and does not end the chat."""
    try:
        with interruptible():
            _respond(chat, line)
    except Leave:
        return False
    except KeyboardInterrupt:
        chat.session.notices.notice("interrupted")
    except OutputClosed:
        raise
    except ChatError as error:
        _tell(chat, error)
    except Exception as failure:  # noqa: BLE001 # a fault of the program's own must not end the chat either
        _tell(chat, ChatError.unexpected(failure))
    return True


def _utf8(line: str) -> str:
    """What was typed, as UTF-8, also where the locale says that the terminal speaks ASCII."""
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _respond(chat: Chat, line: str) -> None:
    session = chat.session
    prompt: str | None = line.rstrip()
    if _COMMAND.match(line):
        if session.log:
            session.log.command(line.strip())
        prompt = run_command(chat, line)
    elif line.startswith(" /"):
        prompt = line.strip()
    if prompt is not None:
        if not session.settings.json:
            label = session.notices.output.styled("assistant", "Assistant (streaming...):")
            session.notices.output.write(label + "\n")
        session.ask(prompt)
        if session.conversation.aside is not None:
            session.notices.notice("this answer does not go along with the next message; /keep lets it")


def _tell(chat: Chat, error: ChatError) -> None:
    chat.session.notices.error(error)
    if chat.session.log:
        chat.session.log.error(error.message)


def _reader(chat: Chat, state_folder: Path | None, color: bool) -> Reader:
    # The SDK is imported, and the connection opened, while the user reads the header and types.
    preload = threading.Thread(target=_preload, args=(chat,), daemon=True)
    notices = chat.session.notices
    keyboard = chat.session.keyboard
    simple = LineReader(notices.output, keyboard, shown=chat.session.output, before_first=preload.start)
    if not keyboard.is_ours or os.environ.get("TERM") == "dumb":
        return simple

    def make(when_drawn: Callable[[], None]) -> Reader:
        try:
            from streaming_chat.chat.line_editor import LineEditor
        except ImportError:
            return simple
        if not os.isatty(0):
            raise EOFError  # The terminal has been closed meanwhile.

        def drawn() -> None:
            when_drawn()
            preload.start()

        return LineEditor(
            keyboard,
            state_folder=state_folder,
            models=lambda: _model_names(chat),
            color=color,
            when_drawn=drawn,
            when_typing=chat.session.provider.get_ready,
            secret=chat.session.settings.api_key,
            notice=notices.notice,
        )

    return _EarlyPrompt(chat, make)


def _preload(chat: Chat) -> None:
    # The first request meets the same failure, and tells it where it belongs.
    with suppress(ChatError):
        chat.session.provider.preload()
    if chat.session.output.is_terminal and not chat.session.settings.raw:
        prepare()


def _model_names(chat: Chat) -> list[str]:
    """The endpoint's models, as far as they can be had at once: whoever pressed Tab cannot type while this waits."""

    def ask() -> None:
        with suppress(ChatError):
            chat.model_names[:] = chat.session.provider.models()

    if not chat.model_names:
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(_LONGEST_COMPLETION)
    # What cannot be shown as it is cannot be typed either.
    return [name for name in chat.model_names if name == sanitize(name)]


def header(settings: Settings, provider: Provider) -> list[str]:
    """What the chat says of itself when it opens, in lines."""
    lines = [f"streaming-chat {__version__} · {settings.model} · {shown_url(provider.endpoint)}"]
    if not provider.is_local and (line := origin_line(settings)):
        lines.append(line)
    default = Settings()
    # That a private chat has no history goes without saying.
    hidden = _NOT_IN_HEADER | ({"no_history"} if settings.private else set())
    given = [
        f"{name} {shown(getattr(settings, name))}"
        for name in OPTIONS
        if getattr(settings, name) != getattr(default, name) and name not in hidden
    ]
    if given:
        lines.append("settings: " + " · ".join(given))
    if settings.private:
        lines.append("private: nothing of this chat is kept")
    lines.append("stateful: earlier turns go along" if settings.stateful else "stateless: every message is asked on its own")
    lines.append("commands: " + " ".join(COMMANDS))
    return lines
