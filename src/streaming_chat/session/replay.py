"""An answer out of the history, shown again at the speed at which it came, through the renderers that showed it first."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from streaming_chat.config.options import Settings
from streaming_chat.core.events import Outcome, TextDelta, UsageReported
from streaming_chat.core.exit_status import ExitStatus
from streaming_chat.engine.protocols import Display, TurnObserver
from streaming_chat.history import StoredTurn
from streaming_chat.history.playback import as_turn, events_of
from streaming_chat.renderers.ndjson import NDJSONRenderer
from streaming_chat.renderers.on_terminal import terminal_renderer
from streaming_chat.renderers.plain import PlainRenderer
from streaming_chat.renderers.status import StatusRenderer
from streaming_chat.terminal.keyboard import Keyboard
from streaming_chat.terminal.notices import Notices
from streaming_chat.terminal.output import Output
from streaming_chat.terminal.signals import one_interrupt


def replay(  # noqa: PLR0913 # how an answer is shown again, each by its name
    turn: StoredTurn,
    settings: Settings,
    output: Output,
    notices: Notices,
    *,
    speed: float = 1.0,
    max_pause: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Show `turn` as it was shown, `speed` times as fast, no pause longer than `max_pause` seconds; the exit status.

    The latency line, and what is said of an answer that is not whole, are those of the turn. OutputClosed as everywhere.
    """
    answer, status = _renderers(settings, output, notices)
    before = 0.0
    text = ""
    with one_interrupt(), Keyboard(output).silent():
        try:
            for event in events_of(turn):
                at = before if isinstance(event, UsageReported) else event.at
                pause = max(0.0, at - before) / speed
                before = at
                if pause:
                    sleep(pause if max_pause is None else min(pause, max_pause))
                # First, as Ctrl-C may come as soon as it is shown.
                if isinstance(event, TextDelta):
                    text += event.text
                answer.handle(event)
                status.handle(event)
        except KeyboardInterrupt:
            answer.end(replace(as_turn(turn), outcome=Outcome.INTERRUPTED, finish_reason=None, text=text))
            notices.notice("stopped: the text above is not the whole answer")
            return ExitStatus.INTERRUPTED
        answer.end(as_turn(turn))
        status.end(as_turn(turn))
    return ExitStatus.COMPLETE


def _renderers(settings: Settings, output: Output, notices: Notices) -> tuple[Display, TurnObserver]:
    answer: Display
    if settings.json:
        answer = NDJSONRenderer(output, settings.prices)
    elif output.is_terminal:
        answer = terminal_renderer(settings, output, notices.output)
    else:
        answer = PlainRenderer(output)
    are_shown = settings.json or output.is_terminal
    status = StatusRenderer(
        notices, in_chat=False, latency=not settings.json, calls_are_shown=are_shown, prices=settings.prices
    )
    return answer, status
