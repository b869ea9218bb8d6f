"""Turns → a recording of a terminal, in asciinema's format, version 2 (docs.asciinema.org/manual/asciicast/v2/).

What is recorded is what the program writes to a terminal for these turns, made by the renderers that wrote it, at the times
at which the answer came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from io import BytesIO

from streaming_chat.core.events import UsageReported
from streaming_chat.documents.facts import title
from streaming_chat.history import StoredTurn
from streaming_chat.history.playback import as_turn, events_of
from streaming_chat.renderers.plain import TerminalRenderer
from streaming_chat.renderers.status import StatusRenderer
from streaming_chat.terminal.notices import NO_ADVICE, Advice, Notices
from streaming_chat.terminal.output import Output
from streaming_chat.text.sanitize import sanitize

COLUMNS, ROWS = 80, 24
#: Seconds between the end of an answer and the next prompt.
_PAUSE = 1.0


def cast(turns: Sequence[StoredTurn], advice: Advice = NO_ADVICE) -> str:
    """The recording: a header, then a line for each piece of output."""
    header = {
        "version": 2,
        "width": COLUMNS,
        "height": ROWS,
        "timestamp": int(turns[0].started_at.timestamp()),
        "title": sanitize(title(turns)),
        "env": {"TERM": "xterm-256color"},
    }
    lines = [json.dumps(header, ensure_ascii=False)]
    start = 0.0
    for turn in turns:
        at = 0.0
        for at, text in shown(turn, columns=COLUMNS, advice=advice):
            lines.append(json.dumps([round(start + at, 6), "o", text.replace("\n", "\r\n")], ensure_ascii=False))
        start += at + _PAUSE
    return "\n".join(lines) + "\n"


def shown(turn: StoredTurn, *, columns: int, advice: Advice = NO_ADVICE) -> Iterator[tuple[float, str]]:
    """What a terminal is sent for one turn of a chat, and when, in seconds after the request."""
    written = BytesIO()
    output = Output(written, is_terminal=True, color=True)

    def taken() -> str:
        text = written.getvalue().decode()
        written.seek(0)
        written.truncate()
        return text

    renderer = _renderer(output, columns)
    status = StatusRenderer(Notices(output, advice=advice), in_chat=False, latency=True, calls_are_shown=True)
    output.write(output.styled("you", "You: ") + sanitize(turn.prompt) + "\n")
    output.write(output.styled("assistant", "Assistant (streaming...):") + "\n")
    at = 0.0
    yield at, taken()
    for event in events_of(turn):
        at = max(at, at if isinstance(event, UsageReported) else event.at)
        renderer.handle(event)
        status.handle(event)
        if text := taken():
            yield at, text
    ended = as_turn(turn)
    renderer.end(ended)
    status.end(ended)
    output.write("\n")
    yield max(at, ended.timing.total), taken()


def _renderer(output: Output, columns: int) -> TerminalRenderer:
    try:
        from streaming_chat.renderers.live import LiveRenderer

        return LiveRenderer(output, output, theme="dark", color=True, hyperlinks=False, columns=lambda: columns)
    except ImportError:
        # Where only the SDK is installed, answers are shown as they come.
        return TerminalRenderer(output, output)
