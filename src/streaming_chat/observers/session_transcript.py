"""The transcript of a session (`--export-dir`): written by itself when the session ends, in every format that is wanted.

It has all turns of one run of the program, whether the history keeps them or not, and is for the user alone (0600).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from streaming_chat.config.folders import SESSION_NAME, create_private
from streaming_chat.core.arrivals import decode_arrivals, to_bytes
from streaming_chat.core.collector import Collector
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ChatError, UsageError
from streaming_chat.core.events import Event, Sent
from streaming_chat.core.kinds import as_json
from streaming_chat.core.record import StoredTurn, begun
from streaming_chat.core.turn import Turn
from streaming_chat.documents import written
from streaming_chat.engine.protocols import TurnObserver
from streaming_chat.terminal.notices import Advice
from streaming_chat.text.secret import without_secret


class SessionTranscript(TurnObserver):
    """A transcript in the making. It takes turns as a renderer does."""

    def __init__(  # noqa: PLR0913 # what a transcript is about and where it goes, each by its name
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
        self._endpoint = endpoint
        self._session = session
        self._secret = secret
        self._notice = notice
        self._advice = advice
        self._name = datetime.now().strftime(SESSION_NAME)
        self._turns: list[StoredTurn] = []
        # The session's number of a turn → its number here.
        self._numbers: dict[int, int] = {}
        self._conversation = ""
        self._parent: int | None = None
        self._started_at = datetime.now(timezone.utc)
        self._collector = Collector(with_texts=False)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise UsageError(
                f"no transcript can be written into {folder}: {problem.strerror}", kind=Kind.TRANSCRIPT_UNWRITABLE
            ) from None

    def begin(self, number: int | None, conversation: str, parent: int | None) -> None:
        """A turn is about to be sent: its number and that of the turn before it, as the session counts them."""
        self._conversation = conversation
        self._parent = None if parent is None else self._numbers.get(parent)
        if number is not None:
            self._numbers[number] = len(self._turns) + 1

    def handle(self, event: Event) -> None:
        """Note when it came."""
        if isinstance(event, Sent):
            self._started_at = datetime.now(timezone.utc)
            self._collector = Collector(with_texts=False)
        self._collector.handle(event)

    def end(self, turn: Turn) -> None:
        """Keep the turn."""
        number = len(self._turns) + 1
        kept = begun(
            turn.request,
            number=number,
            session=self._session,
            conversation=self._conversation,
            parent=self._parent,
            started_at=self._started_at,
            endpoint=self._endpoint,
        ).ended(turn)
        self._turns.append(
            replace(
                kept,
                model=self._safe(kept.model),
                prompt=self._safe(kept.prompt),
                settings=json.loads(self._safe(as_json(kept.settings))),
                messages=tuple(replace(one, content=self._safe(one.content)) for one in kept.messages),
                arrivals=tuple(decode_arrivals(to_bytes(self._collector.take().arrivals))),
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
