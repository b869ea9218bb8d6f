"""What the program itself has to say: errors, hints, notices. One line each, on standard error, sanitised always."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from shutil import get_terminal_size
from textwrap import fill
from typing import Final

from streaming_chat.core.errors import ChatError, OutputClosed
from streaming_chat.core.events import Outcome
from streaming_chat.terminal.output import Output
from streaming_chat.text.sanitize import sanitize
from streaming_chat.text.secret import without_secret


class Advice:
    """What to do about an error, which depends on where the user is (cli/hints.py). This one adds nothing to the error."""

    def complete(self, error: ChatError) -> None:
        """Give `error` the hint with which it is kept, and name what limited it, where that is not known yet."""

    def hint_of(self, what: ChatError | Outcome) -> str:
        """Return what to do about an error, or an outcome, in the words that fit where the user is."""
        return what.hint if isinstance(what, ChatError) else ""


#: For outputs whose errors bring their hints.
NO_ADVICE: Final = Advice()


class Notices:
    """Standard error, in the program's own words. `quiet` leaves errors and hints; `keys` are masked wherever they stand."""

    def __init__(
        self, output: Output, *, quiet: bool = False, keys: Iterable[str | None] = (), advice: Advice = NO_ADVICE
    ) -> None:
        self.advice = advice
        self.output = output
        self._quiet = quiet
        self._keys = tuple(keys)

    def error(self, error: ChatError) -> None:
        """`error:` and `hint:`, with the server's request id where there is one."""
        self.advice.complete(error)
        request = f" (request id {error.request_id})" if error.request_id else ""
        self.problem(error.message + request, self.advice.hint_of(error))

    def problem(self, message: str, hint: str) -> None:
        """`error:` and `hint:` of something that is not an exception."""
        self._write(self._labelled("error", message) + self._labelled("hint", hint))

    def notice(self, text: str) -> None:
        """`notice:`, unless the user wants quiet."""
        if not self._quiet:
            self.warning(text)

    def warning(self, text: str) -> None:
        """A notice that is not to be missed, also where the user wants quiet: the request is not the one that was meant."""
        self._write(self._labelled("notice", text, in_lines=self.output.is_terminal))

    def line(self, text: str, *, style: str | None = None) -> None:
        """A line without a label, unless the user wants quiet. `text` may have several lines."""
        if not self._quiet:
            self.always(text, style=style)

    def always(self, text: str, *, style: str | None = None) -> None:
        """A line that the user asked for."""
        safe = self._safe(text)
        self._write((self.output.styled(style, safe) if style else safe) + "\n")

    def question(self, text: str) -> None:
        """A question, after which the user types on the same line."""
        self._write(self._safe(text))

    def _safe(self, text: str) -> str:
        """`text` as it may be shown: a user may have put the key where another value belongs."""
        for key in self._keys:
            text = without_secret(text, key)
        return sanitize(text)

    def _labelled(self, label: str, text: str, *, in_lines: bool = False) -> str:
        # One line, whatever a server put into its message. Errors stay one on a terminal too, to be copied.
        line = f"{label}: " + " ".join(self._safe(text).split())
        if in_lines:
            # Indented, so that no word of a server's stands where the label of a line of its own would.
            line = fill(
                line,
                get_terminal_size().columns,
                subsequent_indent="  ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        return self.output.styled(label, f"{label}:") + line.removeprefix(f"{label}:") + "\n"

    def _write(self, text: str) -> None:
        # That nobody reads what the program says of itself is no reason to stop the answer.
        with suppress(OutputClosed):
            self.output.write(text)
