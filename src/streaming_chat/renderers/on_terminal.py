"""Which renderer shows an answer on a terminal."""

from __future__ import annotations

from contextlib import suppress

from streaming_chat.config.options import Settings
from streaming_chat.renderers.plain import TerminalRenderer
from streaming_chat.renderers.stall import StallHint
from streaming_chat.terminal.output import Output


def terminal_renderer(settings: Settings, output: Output, aside: Output, hint: StallHint | None = None) -> TerminalRenderer:
    """One that formats Markdown, unless the user wants it raw, or what it needs is not installed."""
    reasoning = settings.reasoning == "show"
    if not settings.raw:
        # Where only the SDK is installed, the answer is shown as it comes.
        with suppress(ImportError):
            from streaming_chat.renderers.live import LiveRenderer

            return LiveRenderer(
                output,
                aside,
                reasoning=reasoning,
                hint=hint,
                theme=settings.theme,
                color=output.has_color,
                hyperlinks=settings.hyperlinks,
            )
    return TerminalRenderer(output, aside, reasoning=reasoning, hint=hint)
