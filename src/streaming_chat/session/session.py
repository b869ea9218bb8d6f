"""A session: settings, a provider, the records, and `ask()`, which makes one prompt into one turn."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streaming_chat.config.options import Settings, parse
from streaming_chat.core.adaptation import adapt
from streaming_chat.core.conversation import ChatRequest, Conversation, Exchange, Message
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ChatError, UsageError, is_too_long
from streaming_chat.core.events import Outcome
from streaming_chat.core.turn import Turn
from streaming_chat.core.usage_sums import UsageSums
from streaming_chat.engine.loop import run_turn
from streaming_chat.engine.observers import IsolatedObserver
from streaming_chat.engine.protocols import Display, Provider, TurnObserver
from streaming_chat.history import History, Recorder, StoredTurn
from streaming_chat.observers.adaptations import Adaptations
from streaming_chat.observers.session_log import SessionLog
from streaming_chat.renderers.ndjson import NDJSONRenderer
from streaming_chat.renderers.on_terminal import terminal_renderer
from streaming_chat.renderers.plain import PlainRenderer
from streaming_chat.renderers.stall import StallHint
from streaming_chat.renderers.status import StatusRenderer
from streaming_chat.terminal.keyboard import Keyboard
from streaming_chat.terminal.notices import Notices
from streaming_chat.terminal.output import Output
from streaming_chat.terminal.signals import deferred, one_interrupt
from streaming_chat.terminal.standard_input import without_nul
from streaming_chat.text.figures import counted
from streaming_chat.text.lines import beginning

if TYPE_CHECKING:
    from streaming_chat.observers.session_transcript import SessionTranscript
    from streaming_chat.observers.telemetry import Telemetry


@dataclass(frozen=True)
class Records:
    """What is kept of a session, or told of it elsewhere; what is None is not."""

    adaptations: Adaptations
    history: History | None = None
    log: SessionLog | None = None
    transcript: SessionTranscript | None = None
    telemetry: Telemetry | None = None


class Session:
    """One run of the program."""

    def __init__(  # noqa: PLR0913 # what a session is wired with, each by its name
        self,
        settings: Settings,
        provider: Provider,
        *,
        name: str,
        output: Output,
        notices: Notices,
        records: Records,
        in_chat: bool,
        earlier: StoredTurn | None = None,
    ) -> None:
        """`name` is that of the session in the records; `earlier` the turn of the history to continue from."""
        self.settings = settings
        self.provider = provider
        self.output = output
        self.notices = notices
        self.log = records.log
        self.adaptations = records.adaptations
        self.keyboard = Keyboard(output)
        self.last_turn: Turn | None = None
        self.last_prompt: str | None = None
        self.usage_sums = UsageSums()
        self._history = records.history
        self._telemetry = records.telemetry
        self._in_chat = in_chat
        self.conversation = Conversation(stateful=settings.stateful)
        self._name = name
        # The first conversation of a session has its name; /clear begins another one.
        self._conversation_id = name if earlier is None else earlier.conversation
        self._recorder: Recorder | None = None
        self._asked = 0
        self._transcript = records.transcript
        if earlier is not None:
            self._resume(earlier)

    def change(self, name: str, text: str | None) -> None:
        """Give the setting `name` the value that `text` stands for, or the built-in one. UsageError when it has none."""
        if name == "model" and self.provider.is_local:
            raise UsageError("the embedded model is the only one here", kind=Kind.ONLY_MODEL)
        origin = "the chat"
        value = None if text is None else parse(name, text, origin)
        self.settings = self.settings.changed(name, value, origin)

    def take_back(self) -> str | None:
        """The last prompt, to be asked again: its answer does not go along. None when there is none."""
        self.conversation.take_back()
        return self.last_prompt

    def ask(self, prompt: str) -> Turn:
        """Send `prompt`, show the answer, keep the record. UsageError for one that is not text."""
        # Switched off since the start (__main__.py). What is there by now is no garbage, and is not looked at any more.
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        request = self._request(without_nul(prompt, "the message"))
        self.last_prompt = prompt
        if self.log:
            self.log.user(prompt)
        # In the background, the row of the cursor is somebody else's.
        hint = StallHint(self.output, self.notices.output, may_draw=lambda: self.output.is_in_foreground is not False)
        observers = self._observers(request, hint)
        with one_interrupt(), self.keyboard.silent(), closing(hint):
            turn = run_turn(
                request,
                self.provider,
                observers,
                retries=self.settings.retries,
                max_time=self.settings.max_time,
                notice=self.notices.notice,
                shorten=self._shortened,
                critical_section=deferred,
                advise=self.notices.advice.complete,
            )
        self.last_turn = turn
        if turn.usage and turn.usage.prompt_tokens:
            self.conversation.learn(turn.request.messages, turn.usage.prompt_tokens)
        number = self._recorder.number if self._recorder else self._asked
        if turn.outcome is Outcome.COMPLETE:
            self.conversation.add(prompt, turn.text, number)
        else:
            self.conversation.set_aside(prompt, turn.text, number)
        if turn.error is not None and is_too_long(turn.error) and (count := self.conversation.take_in_again()):
            self.notices.notice(f"leaving turns out did not help: {counted(count, 'turn goes', 'turns go')} along again")
        # What failed before the server began to answer has nothing to be counted.
        if turn.timing.headers is not None:
            self.usage_sums.add(turn.usage, self.cost(turn))
        return turn

    def cost(self, turn: Turn) -> float | None:
        """What a turn cost, where that can be told."""
        return self.settings.prices.cost_of_turn(turn.request.model, turn.model, turn.usage)

    def set_stateful(self, *, stateful: bool) -> None:
        """Let earlier turns go along from now on, or not."""
        self.settings = self.settings.changed("stateful", stateful, "the chat")
        self.conversation.stateful = stateful

    def clear(self) -> int:
        """Begin a new conversation; how many turns the one before had as context."""
        self._conversation_id = os.urandom(16).hex()
        return self.conversation.clear()

    def _resume(self, earlier: StoredTurn) -> None:
        """Continue from a turn of the history."""
        is_whole = earlier.outcome is Outcome.COMPLETE
        branch = self._history.branch(earlier.number) if self._history else []
        answers = [Message("assistant", earlier.text)] if is_whole else []
        # A turn without a complete answer comes before no other one.
        self.conversation.resume([*earlier.messages, *answers], branch if is_whole else branch[:-1])
        system = next((message.content for message in earlier.messages if message.role == "system"), None)
        if system and not self.settings.is_set("system"):
            self.settings = self.settings.changed("system", system, f"turn {earlier.number}")
        if not is_whole:
            self.conversation.set_aside(earlier.prompt, earlier.text, earlier.number)
            self.notices.notice(f"the answer of turn {earlier.number} is not whole and does not go along")
        going_along = counted(len(self.conversation.along), "turn goes along", "turns go along")
        self.notices.notice(f"going on behind turn {earlier.number} with {self.settings.model}: {going_along}")

    def _shortened(self, request: ChatRequest, error: ChatError) -> ChatRequest | None:
        """The request without the older half of the turns that go along, if that may help; None if not."""
        left_out = self.conversation.leave_out_half() if is_too_long(error) else []
        if not left_out:
            return None
        self._tell_left_out(left_out)
        shorter = replace(request, messages=self.conversation.next_messages(request.prompt, self.settings.system))
        return adapt(shorter, self.adaptations.known(request.model))

    def _tell_left_out(self, left_out: Sequence[Exchange]) -> None:
        if left_out:
            prompts = ", ".join(f"“{beginning(one.prompt, 40)}”" for one in left_out)
            what = "the oldest turn" if len(left_out) == 1 else f"the {len(left_out)} oldest turns"
            self.notices.warning(f"left out, to fit into what the model takes: {what} ({prompts})")

    def close(self) -> None:
        """End everything that the session began."""
        self.provider.close()
        if self._history:
            self._history.close()
        if self.log:
            self.log.close()
        if self._transcript:
            if self._telemetry:
                self._telemetry.wait_for_import()
            self._transcript.close()
        # Last, as it may take a while, and everything else is in order by now.
        if self._telemetry:
            self._telemetry.close()

    def _request(self, prompt: str) -> ChatRequest:
        settings = self.settings
        if settings.context_tokens is not None:
            # A quarter is left for the answer, unless it is known how long that may be.
            answer = settings.max_tokens or settings.context_tokens // 4
            self._tell_left_out(self.conversation.fit(prompt, settings.system, settings.context_tokens - answer))
        request = ChatRequest(
            model=settings.model,
            messages=self.conversation.next_messages(prompt, settings.system),
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            # `stream_options=null` is the way to ask for no token counts: a server may refuse the field without naming it.
            extra={name: value for name, value in settings.param.items() if (name, value) != ("stream_options", None)},
            include_usage="stream_options" not in settings.param,
        )
        return adapt(request, self.adaptations.known(settings.model))

    def _observers(self, request: ChatRequest, hint: StallHint) -> Sequence[TurnObserver]:
        settings = self.settings
        answer: Display
        hints: list[Display] = []
        if settings.json:
            answer = NDJSONRenderer(self.output, settings.prices)
        elif self.output.is_terminal:
            is_same = self.output.is_same_terminal(self.notices.output)
            if is_same and not settings.quiet and os.environ.get("TERM") != "dumb":
                hints.append(hint)
            answer = terminal_renderer(settings, self.output, self.notices.output, hint if hints else None)
        else:
            answer = PlainRenderer(self.output)
        # The history comes first: whatever happens to the others, the turn is kept.
        observers: list[TurnObserver] = []
        self._asked += 1
        if self._history:
            self._recorder = self._history.recorder(
                request,
                endpoint=self.provider.endpoint,
                session=self._name,
                conversation=self._conversation_id,
                parent=self.conversation.parent,
            )
            observers.append(IsolatedObserver("the history", self._recorder))
        observers += [answer, *hints, IsolatedObserver("what is known of the model", self.adaptations)]
        if self.log:
            observers.append(IsolatedObserver("the log", self.log))
        if self._transcript:
            number = self._recorder.number if self._recorder else self._asked
            self._transcript.begin(number, self._conversation_id, self.conversation.parent)
            observers.append(IsolatedObserver("the transcript", self._transcript))
        observers.append(
            StatusRenderer(
                self.notices,
                in_chat=self._in_chat,
                latency=not settings.json,
                # A terminal shows them as they come, and so does JSON.
                calls_are_shown=settings.json or self.output.is_terminal,
                prices=settings.prices,
            )
        )
        # Behind all that is shown: with the end of the turn, its work begins.
        if self._telemetry:
            observers.append(IsolatedObserver("the telemetry", self._telemetry.recorder(self._name)))
        return observers
