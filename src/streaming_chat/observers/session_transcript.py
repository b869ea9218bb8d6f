"""The transcript of a session (`--export-dir`): written by itself when the session ends, in every format that is wanted.

It has all turns of one run of the program, whether the history keeps them or not, and is for the user alone (0600).
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from streaming_chat.config.folders import SESSION_NAME, create_private
from streaming_chat.core.arrivals import KIND_OF_EVENT, arrival_words, decode_arrivals, to_bytes
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ChatError, UsageError
from streaming_chat.core.events import Event, ReasoningDelta, RefusalDelta, Sent, TextDelta, ToolCallDelta
from streaming_chat.core.turn import Turn
from streaming_chat.documents import written
from streaming_chat.engine.protocols import TurnObserver
from streaming_chat.history import StoredTurn
from streaming_chat.history.rows import as_json, kept_endpoint, settings_of, stored_error
from streaming_chat.terminal.notices import Advice
from streaming_chat.text.secret import without_secret


class SessionTranscript(TurnObserver):
    """A transcript in the making. It takes turns as a renderer does."""

    def __init__(
        self,
        folder: Path,
        formats: Sequence[str],
        *,
        endpoint: str,
        session: str,
        secret: str | None,
        notice: Callable[[str], None],
        advice: Advice,
    ) -> None:
        self._folder = folder
        self._formats = formats
        self._endpoint = kept_endpoint(endpoint)
        self._session = session
        self._secret = secret
        self._notice = notice
        self._advice = advice
        self._name = datetime.now().strftime(SESSION_NAME)
        self._turns: list[StoredTurn] = []
        self._begin(0.0)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise UsageError(
                f"no transcript can be written into {folder}: {problem.strerror}", kind=Kind.TRANSCRIPT_UNWRITABLE
            ) from None

    def _begin(self, start: float) -> None:
        self._start = start
        self._started_at = datetime.now(timezone.utc)
        self._arrivals = array("Q")

    def handle(self, event: Event) -> None:
        """Note when it came."""
        if isinstance(event, Sent):
            self._begin(event.at)
        elif isinstance(event, ToolCallDelta):
            self._arrived(event.at, "tool_call", len(event.name) + len(event.arguments))
        elif isinstance(event, (TextDelta, ReasoningDelta, RefusalDelta)):
            self._arrived(event.at, KIND_OF_EVENT[type(event)], len(event.text))

    def _arrived(self, at: float, kind: str, length: int) -> None:
        self._arrivals.extend(arrival_words(at - self._start, kind, length))

    def end(self, turn: Turn) -> None:
        """Keep the turn."""
        request = turn.request
        self._turns.append(
            StoredTurn(
                number=len(self._turns) + 1,
                session=self._session,
                started_at=self._started_at,
                endpoint=self._endpoint,
                model=self._safe(request.model),
                served_model=turn.model,
                request_id=turn.request_id or (turn.error.request_id if turn.error else None),
                outcome=turn.outcome,
                finish_reason=turn.finish_reason,
                usage=turn.usage,
                timing=turn.timing,
                prompt=self._safe(request.prompt),
                settings=json.loads(self._safe(as_json(settings_of(request)))),
                messages=tuple(replace(one, content=self._safe(one.content)) for one in request.messages),
                text=turn.text,
                reasoning=turn.reasoning,
                refusal=turn.refusal,
                tool_calls=turn.tool_calls,
                error=stored_error(turn.error) if turn.error else None,
                arrivals=tuple(decode_arrivals(to_bytes(self._arrivals))),
            )
        )

    def _safe(self, text: str) -> str:
        """What the user wrote, or a setting: should the key stand in it, it is not kept."""
        return without_secret(text, self._secret)

    def close(self) -> None:
        """Write it, unless nothing was asked. What cannot be written is told by a notice."""
        turns, self._turns = self._turns, []
        for format in self._formats if turns else ():  # noqa: A001 # the word of the option
            try:
                document = written(turns, format, self._advice)
                self._write(document.encode(errors="replace"), f".{format}")
            except OSError as problem:
                self._notice(f"no transcript is written as {format} into {self._folder}: {problem.strerror}")
            except ChatError as problem:
                self._notice(f"no transcript is written as {format}: {problem.message}; {self._advice.hint_of(problem)}")

    def _write(self, document: bytes, ending: str) -> None:
        path, number = create_private(self._folder, self._name, ending)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(document)
        except OSError:
            path.unlink()  # Half a document would look like a whole one.
            raise
