"""What is said about an answer beside it, on standard error: retries, how it ended, the latency line."""

from __future__ import annotations

from collections.abc import Mapping

from streaming_chat.core.adaptation import ADAPTATIONS
from streaming_chat.core.errors import OutputClosed
from streaming_chat.core.events import Adapted, Event, NotStreamed, Outcome, ReasoningUnmarked, Retrying, Skipped
from streaming_chat.core.prices import NO_PRICES, Prices
from streaming_chat.core.turn import Turn
from streaming_chat.engine.protocols import TurnObserver
from streaming_chat.terminal.notices import Notices
from streaming_chat.text.figures import latency_line
from streaming_chat.text.lines import one_line
from streaming_chat.wire.reply import OUTCOME_OF_FINISH_REASON

#: Outcome → what happened. `complete` needs no words, and `error` brings its own.
EXPLANATIONS: Mapping[Outcome, str] = {
    Outcome.LENGTH: "the answer is cut: it reached the most tokens allowed",
    Outcome.FILTERED: "the answer is cut: the server's content filter stopped it",
    Outcome.REFUSED: "the model refused to answer",
    Outcome.TOOL_CALLS: "the model asked for a tool instead of answering",
    Outcome.EMPTY: "the answer is empty",
    Outcome.TRUNCATED: "the answer is cut: the stream ended before the model had finished",
    Outcome.INTERRUPTED: "interrupted: the text above is not the whole answer",
}

#: How much of the events that were skipped is told: characters of each, and how many.
_LONGEST_SKIPPED = 60
_MOST_SKIPPED = 3


class StatusRenderer(TurnObserver):
    """Tells how a turn went. In a chat, an answer that is not whole is a notice; alone, it is the program's error."""

    def __init__(
        self, notices: Notices, *, in_chat: bool, latency: bool, calls_are_shown: bool, prices: Prices = NO_PRICES
    ) -> None:
        self._notices = notices
        self._prices = prices
        self._in_chat = in_chat
        self._latency = latency
        self._calls_are_shown = calls_are_shown
        self._remarks: list[str] = []
        self._skipped: list[str] = []
        self._skipped_count = 0

    def handle(self, event: Event) -> None:
        """Announce a further attempt before it is waited for; keep for the end what would stand in the text's way."""
        if isinstance(event, Adapted):
            self._notices.notice(f"the model does not take the request as it is: {ADAPTATIONS[event.adaptation].says}")
        elif isinstance(event, NotStreamed):
            self._remarks.append("the server did not stream: the answer came in one piece")
        elif isinstance(event, ReasoningUnmarked):
            self._remarks.append("what stands before </think> was the model's reasoning")
        elif isinstance(event, Skipped):
            self._skipped_count += 1
            if len(self._skipped) < _MOST_SKIPPED:
                self._skipped.append(one_line(event.data, _LONGEST_SKIPPED))
        elif isinstance(event, Retrying):
            self._notices.notice(
                f"{event.reason}; attempt {event.attempt} of {event.attempts} in {event.delay:.1f} s (Ctrl-C stops)"
            )

    def end(self, turn: Turn) -> None:
        """How it ended, then how long it took. Nothing when nobody reads the answer: that is for the caller to tell."""
        if isinstance(turn.error, OutputClosed):
            return
        if self._skipped:
            count = self._skipped_count
            what = "an event that is no chunk was" if count == 1 else f"{count} events that are no chunks were"
            examples = " · ".join(dict.fromkeys(self._skipped))
            self._remarks.append(f"{what} skipped: {examples}")
        for remark in self._remarks:
            self._notices.notice(remark)
        if not self._calls_are_shown:
            for call in turn.tool_calls:
                arguments = " ".join(call.arguments.splitlines())
                self._notices.line(f"[the model calls {one_line(call.name)}] {arguments}", style="dim")
        self._tell_outcome(turn)
        if self._latency and turn.timing.headers is not None:
            cost = self._prices.shown_cost(turn.request.model, turn.model, turn.usage)
            self._notices.line(latency_line(turn.timing, cost), style="dim")

    def _tell_outcome(self, turn: Turn) -> None:
        if turn.error is not None:
            self._notices.error(turn.error)
        elif turn.outcome in EXPLANATIONS:
            message, hint = EXPLANATIONS[turn.outcome], self._notices.advice.hint_of(turn.outcome)
            if turn.outcome is Outcome.INTERRUPTED and not turn.text:
                message = "interrupted before the answer began"
            if turn.finish_reason and turn.finish_reason != "stop":
                message += f" (finish_reason: {turn.finish_reason})"
            if self._in_chat:
                self._notices.notice(f"{message}; {hint}")
            else:
                self._notices.problem(message, hint)
        elif turn.finish_reason not in (None, "stop", *OUTCOME_OF_FINISH_REASON):
            self._notices.notice(f"finish_reason: {turn.finish_reason}")
