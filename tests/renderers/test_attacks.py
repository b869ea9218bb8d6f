"""No byte from outside moves anything on a terminal, by whichever way it comes: on a screen, and byte by byte."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from screen import Terminal
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ServerError
from streaming_chat.core.events import Outcome, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from streaming_chat.core.timing import Timing
from streaming_chat.core.turn import Turn
from streaming_chat.renderers.live import LiveRenderer
from streaming_chat.renderers.plain import TerminalRenderer
from streaming_chat.renderers.status import StatusRenderer
from streaming_chat.terminal.notices import Notices
from streaming_chat.terminal.output import STYLES, Output
from streaming_chat.text.sanitize import sanitize

sys.path.append(str(Path(__file__).parents[1] / "text"))
from test_sanitize import ATTACKS

#: All that this program itself sends to a terminal here.
OWN = re.compile("|".join(re.escape(f"\x1b[{style}m") for style in (*STYLES.values(), "0")))
#: And what the renderer of Markdown sends besides.
OWN_OF_MARKDOWN = re.compile(r"\x1b\[(?:[0-9;]*m|K|[1-9][0-9]*D)|\r")
TIMING = Timing(total=1.0, headers=0.1)
REQUEST = ChatRequest("m", (Message("user", "U"),))


def shown_by(kind: type, attack: str, output: Output, cut: int) -> None:
    renderer = TerminalRenderer(output, output)
    for piece in (attack[:cut], attack[cut:]):
        if piece:
            renderer.handle(ToolCallDelta(1.0, 0, piece, piece) if kind is ToolCallDelta else kind(1.0, piece))
    renderer.end(Turn(REQUEST, "", "", Outcome.COMPLETE, "stop", None, TIMING))


def told_of(attack: str, output: Output) -> None:
    error = ServerError(attack, attack, request_id=attack)
    notices = Notices(output)
    status = StatusRenderer(notices, in_chat=True, latency=True, calls_are_shown=True)
    status.end(Turn(REQUEST, "x", "", Outcome.ERROR, attack, None, TIMING, error))
    status.end(Turn(REQUEST, "x", "", Outcome.COMPLETE, attack, None, TIMING))
    notices.always(attack, style="dim")


def check(raw: bytes) -> None:
    text = OWN.sub("", raw.decode())
    assert sanitize(text) == text
    terminal = Terminal(200, 60)
    terminal.feed(raw.replace(b"\n", b"\r\n"))
    assert not terminal.title
    assert not terminal.icon_name
    plain = Terminal(200, 60)
    plain.feed(text.replace("\n", "\r\n").encode())
    assert terminal.rows_text() == plain.rows_text()
    assert (terminal.cursor.x, terminal.cursor.y) == (plain.cursor.x, plain.cursor.y)


@pytest.mark.parametrize("color", [True, False], ids=["colour", "no colour"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_moves_nothing_whichever_way_it_comes(attack: str, color: bool) -> None:
    for kind in (TextDelta, ReasoningDelta, RefusalDelta, ToolCallDelta):
        for cut in range(len(attack)):
            stream = io.BytesIO()
            output = Output(stream, is_terminal=True, color=color)
            shown_by(kind, attack, output, cut)
            if cut in (0, len(attack) // 2):  # The bytes are enough for the others.
                check(stream.getvalue())
            else:
                text = OWN.sub("", stream.getvalue().decode())
                assert sanitize(text) == text
            assert color or b"\x1b" not in stream.getvalue()
    stream = io.BytesIO()
    told_of(attack, Output(stream, is_terminal=True, color=color))
    check(stream.getvalue())


@pytest.mark.parametrize("color", [True, False], ids=["colour", "no colour"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_moves_nothing_through_markdown_either(attack: str, color: bool) -> None:
    for frame in (
        "{}",
        "**a** {} *b*",
        "- `{}`",
        "[{0}]({0})",
        "```{0}\n{0}\n```",
        "# {}",
        "| {} |\n|-|\n| {} |".replace("{}", "{0}"),
    ):
        text = frame.format(attack)
        for cut in (0, len(text) // 3, len(text) // 2, len(text) - 1):
            stream = io.BytesIO()
            output = Output(stream, is_terminal=True, color=color)
            renderer = LiveRenderer(output, output, theme="dark", color=color, hyperlinks=True, columns=lambda: 60)
            for piece in filter(None, (text[:cut], text[cut:])):
                renderer.handle(TextDelta(1.0, piece))
            renderer.end(Turn(REQUEST, "", "", Outcome.COMPLETE, "stop", None, TIMING))
            raw = stream.getvalue().decode()
            assert color or "\x1b" not in raw
            left = OWN_OF_MARKDOWN.sub("", raw)
            assert sanitize(left) == left
            terminal = Terminal(60, 100)
            terminal.feed(raw.replace("\n", "\r\n").encode())
            assert not terminal.title
            assert not terminal.icon_name
