"""Bytes of a response body → server-sent events.

Strategy: cut the bytes into lines, let each line change the event that is being
collected, and decode to text once per event. UTF-8 never uses the bytes of CR,
LF or ":" inside a character, so nothing has to be decoded to find them, and a
character that is cut between two feeds is whole again once its line is.

Rule: every byte is looked at a fixed number of times, whatever the cut. An
unfinished line grows in a bytearray and is not searched again.

The algorithm is the standard's: https://html.spec.whatwg.org/multipage/server-sent-events.html
("Parsing an event stream" and "Interpreting an event stream"). There are two
deviations, on purpose. `SSEDecoder.finish` dispatches a last event whose blank
line is missing, which the standard discards: servers do end like that, and the
last words of an answer would be lost. A field `error`, which the standard
ignores, is an event of that type: llama.cpp reports its failures so.

Limit: a line is kept until it ends, and the data of an event until its blank
line. One that grows beyond `longest` bytes ends the decoding (`is_too_long`);
the events before it are given out, wherever the bytes were cut.
"""

from __future__ import annotations

from typing import NamedTuple

from streaming_chat.core.limits import LONGEST_EVENT

__all__ = ["SSEDecoder", "ServerSentEvent"]

_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = (b"\n", b"\r")
_LONGEST_RETRY = 18  # Digits. int() raises on more than 4300, and 10**18 ms is beyond any clock.


class ServerSentEvent(NamedTuple):
    """One dispatched event.

    A named tuple, because one is made for every chunk of an answer and a frozen
    dataclass takes twice as long to build.
    """

    event: str
    """The event's type; "message" where the stream names none."""
    data: str
    """The `data` lines joined by LF. It is "" for a lone empty `data:`, which the standard dispatches."""
    id: str
    """The last event id: the stream's latest `id:`, also from an earlier event; "" before the first."""
    retry: int | None
    """The stream's latest `retry:` in milliseconds, also from an earlier event; None before the first."""


class SSEDecoder:
    """Decode one response body; make a new decoder for every body.

    No input raises: invalid UTF-8 becomes U+FFFD, unknown fields and malformed
    values are ignored, as the standard says. `longest` is in bytes, of a line
    without its end, and of an event's data with a byte for each line end.
    """

    __slots__ = (
        *("_at_start", "_data", "_event", "_id", "_line", "_longest", "_more", "_retry", "_swallow_lf"),
        *("is_too_long", "saw_event_stream"),
    )

    def __init__(self, longest: int = LONGEST_EVENT) -> None:
        self.saw_event_stream = False
        """True once a comment or a field of the standard was seen; an HTML page or a JSON answer has neither."""
        self.is_too_long = False
        """True once a line or an event was longer than `longest`: nothing behind it is an event any more."""
        self._longest = longest
        self._line = bytearray()  # The unfinished line.
        self._swallow_lf = False  # The last byte was a CR, which has ended its line already.
        self._at_start = True  # A BOM may come.
        self._data: bytes | None = None  # The first line of the event's data.
        self._more = bytearray()  # The others, each behind its line end.
        self._event = b""
        self._id = ""
        self._retry: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Return the events that `data` completes, in order; any cut of the stream gives the same events.

        An event is returned by the feed that brings the end of its blank line. A
        CR ends a line at once: an LF that follows it, even in the next feed, is
        the second half of the same line end.
        """
        if self.is_too_long:
            return []
        if self._swallow_lf and data:
            self._swallow_lf = False
            data = data.removeprefix(b"\n")
        lines = data.splitlines()  # On bytes: at LF, CR and CR LF only, which are the standard's line ends.
        if data.endswith(_LINE_ENDS):
            rest = b""
            self._swallow_lf = data.endswith(b"\r")
        else:
            rest = lines.pop() if lines else b""
        events: list[ServerSentEvent] = []
        is_cut = False
        may_be_too_long = len(self._line) + len(data) > self._longest
        if lines:
            if self._line:
                self._line += lines[0]
                lines[0] = bytes(self._line)
                self._line.clear()
            is_cut = may_be_too_long and self._cut(lines)
            self._take(lines, events)
        self._line += rest
        if is_cut or self.is_too_long or len(self._line) > self._longest:
            self._give_up()
        return events

    def finish(self) -> list[ServerSentEvent]:
        """Return the event that the end of the body leaves unfinished: a list of none or one.

        The unfinished line counts as a line, so the data of a body that was cut
        may be cut as well; JSON tells the two apart, this module cannot.
        """
        events: list[ServerSentEvent] = []
        if not self.is_too_long:
            self._take([bytes(self._line), b""] if self._line else [b""], events)
            self._line.clear()
        return events

    def _cut(self, lines: list[bytes]) -> bool:
        """Leave the lines before the first that is too long, whose events count; whether there is one."""
        for number, line in enumerate(lines):
            if len(line) > self._longest:
                del lines[number:]
                return True
        return False

    def _take(self, lines: list[bytes], events: list[ServerSentEvent]) -> None:
        """Interpret whole lines."""
        if self._at_start and lines:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            # What nearly every line of a chat is; _field would do the same.
            if self._data is None and line.startswith(b"data: "):
                self._data = line[6:]
                self.saw_event_stream = True
            elif line:
                self._field(line)
                if self.is_too_long:
                    return
            else:
                if self._data is not None:
                    text = (self._data + self._more if self._more else self._data).decode("utf-8", "replace")
                    name = self._event.decode("utf-8", "replace") if self._event else "message"
                    events.append(ServerSentEvent(name, text, self._id, self._retry))
                    self._data = None
                    self._more.clear()
                self._event = b""

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._event = value
        elif name == b"error":
            self._event = name
            self._add(value)
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry":
            if value.isdigit() and len(value) <= _LONGEST_RETRY:
                self._retry = int(value)
        elif name:  # Not a field of the standard; an empty name is a comment.
            return
        self.saw_event_stream = True

    def _add(self, value: bytes) -> None:
        """One more line of data."""
        if self._data is None:
            self._data = value
            return
        # In one piece, however many lines there are: a list of empty ones would take eight times as much memory.
        self._more += b"\n"
        self._more += value
        if len(self._data) + len(self._more) > self._longest:
            self._give_up()

    def _give_up(self) -> None:
        self.is_too_long = True
        self._data = None
        self._more = bytearray()
        self._line = bytearray()
