"""A session: settings, a provider, the records, and `ask()`, which makes one prompt into one turn."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Protocol

from streaming_chat.adaptations import Adaptations
from streaming_chat.core.adaptation import adapt
from streaming_chat.core.conversation import ChatRequest, Conversation
from streaming_chat.core.errors import UsageError
from streaming_chat.core.events import Outcome
from streaming_chat.core.reply import Turn
from streaming_chat.history import History
from streaming_chat.notices import Notices
from streaming_chat.renderers.ndjson import NDJSONRenderer
from streaming_chat.renderers.plain import PlainRenderer, TerminalRenderer
from streaming_chat.renderers.stall import StallHint
from streaming_chat.renderers.status import StatusRenderer
from streaming_chat.session_log import SessionLog
from streaming_chat.settings import Settings, parse
from streaming_chat.signals import one_interrupt
from streaming_chat.terminal import Keyboard, Output
from streaming_chat.turn import Provider, Renderer, run_turn


class SessionProvider(Provider, Protocol):
    """A provider as a session needs it."""

    def preload(self) -> None:
        """Get ready while the user types. May run in any thread; a failure is told by the first request."""

    def get_ready(self) -> None:
        """A request is likely to come soon. Returns at once."""

    def models(self) -> list[str]:
        """The models to choose from."""

    def close(self) -> None:
        """Let go of connections and processes."""


class Session:
    """One run of the program. `history` and `log` are None when nothing is to be kept."""

    def __init__(
        self,
        settings: Settings,
        provider: SessionProvider,
        *,
        endpoint: str,
        output: Output,
        notices: Notices,
        history: History | None,
        log: SessionLog | None,
        adaptations: Adaptations,
        model_is_fixed: bool,
        in_chat: bool,
    ) -> None:
        self.settings = settings
        self.provider = provider
        self.endpoint = endpoint
        self.output = output
        self.notices = notices
        self.log = log
        self.adaptations = adaptations
        self.keyboard = Keyboard()
        self.last_turn: Turn | None = None
        self.last_prompt: str | None = None
        self._history = history
        self._in_chat = in_chat
        self._model_is_fixed = model_is_fixed
        self._conversation = Conversation(stateful=settings.stateful)
        self._name = os.urandom(16).hex()

    def change(self, name: str, text: str | None) -> None:
        """Give the setting `name` the value that `text` stands for, or the built-in one. UsageError when it has none."""
        if name == "model" and self._model_is_fixed:
            raise UsageError("the embedded model is the only one here", "leave, and start with a key or with --base-url")
        origin = "the chat"
        value = None if text is None else parse(name, text, origin)
        self.settings = self.settings.changed(name, value, origin)

    def take_back(self) -> str | None:
        """The last prompt, to be asked again: its answer does not go along. None when there is none."""
        if self.last_prompt is not None:
            self._conversation.take_back(self.last_prompt)
        return self.last_prompt

    def ask(self, prompt: str) -> Turn:
        """Send `prompt`, show the answer, keep the record."""
        # Switched off since the start (__main__.py). What is there by now is no garbage, and is not looked at any more.
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        request = self._request(prompt)
        self.last_prompt = prompt
        if self.log:
            self.log.user(prompt)
        hint = StallHint(self.output, self.notices.output)
        renderers = self._renderers(request, hint)
        with one_interrupt(), self.keyboard.kept_silent(), closing(hint):
            turn = run_turn(request, self.provider, renderers, retries=self.settings.retries)
        self.last_turn = turn
        if turn.outcome is Outcome.COMPLETE:
            self._conversation.add(prompt, turn.text)
        return turn

    def close(self) -> None:
        """End everything that the session began."""
        self.provider.close()
        if self._history:
            self._history.close()
        if self.log:
            self.log.close()

    def _request(self, prompt: str) -> ChatRequest:
        settings = self.settings
        request = ChatRequest(
            model=settings.model,
            messages=self._conversation.next_messages(prompt, settings.system),
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            extra=settings.param,
        )
        return adapt(request, self.adaptations.known(settings.model))

    def _renderers(self, request: ChatRequest, hint: StallHint) -> Sequence[Renderer]:
        settings = self.settings
        answer: Renderer
        hints: list[Renderer] = []
        if settings.json:
            answer = NDJSONRenderer(self.output)
        elif self.output.is_terminal:
            is_same = self.output.is_same_terminal(self.notices.output)
            if is_same and not settings.quiet and os.environ.get("TERM") != "dumb":
                hints.append(hint)
            answer = self._terminal_renderer(hint if hints else None)
        else:
            answer = PlainRenderer(self.output)
        # The record comes first: whatever happens to the others, the turn is kept.
        renderers: list[Renderer] = []
        if self._history:
            renderers.append(self._history.recorder(request, endpoint=self.endpoint, session=self._name))
        renderers += [answer, *hints, self.adaptations]
        if self.log:
            renderers.append(self.log)
        renderers.append(
            StatusRenderer(
                self.notices,
                in_chat=self._in_chat,
                latency=not settings.json,
                # A terminal shows them as they come, and so does JSON.
                calls_are_shown=settings.json or self.output.is_terminal,
            )
        )
        return renderers

    def _terminal_renderer(self, hint: StallHint | None) -> Renderer:
        settings, aside = self.settings, self.notices.output
        reasoning = settings.reasoning == "show"
        if not settings.raw:
            # What it needs is not there where only the SDK is installed: then the answer is shown as it comes.
            with suppress(ImportError):
                from streaming_chat.renderers.live import LiveRenderer

                return LiveRenderer(
                    self.output,
                    aside,
                    reasoning=reasoning,
                    hint=hint,
                    theme=settings.theme,
                    color=self.output.has_color,
                    hyperlinks=settings.hyperlinks,
                )
        return TerminalRenderer(self.output, aside, reasoning=reasoning, hint=hint)
