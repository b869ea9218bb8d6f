"""What models turned out not to take (core/adaptation.py), remembered for each endpoint and model.

A JSON file, `{endpoint: {model: [name, …]}}`, for the user alone. Not to be able to read or write it costs a request, and is
no failure.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from streaming_chat.config.folders import replace_private
from streaming_chat.core.events import Adapted, Event
from streaming_chat.core.turn import Turn
from streaming_chat.engine.protocols import TurnObserver


class Adaptations(TurnObserver):
    """What is known of the models of `endpoint`. It learns as a renderer does; without a `path` only for this session."""

    def __init__(self, path: Path | None, endpoint: str) -> None:
        self._path = path
        self._endpoint = endpoint
        self._known: dict[str, list[str]] = self._read().get(endpoint, {})
        self._new: list[str] = []

    def known(self, model: str) -> list[str]:
        """The names of the adaptations for `model`."""
        return list(self._known.get(model, []))

    def handle(self, event: Event) -> None:
        """Take note of an adaptation."""
        if isinstance(event, Adapted):
            self._new.append(event.adaptation)

    def end(self, turn: Turn) -> None:
        """Remember what the answer to this turn took. A request that failed all the same teaches nothing."""
        new, self._new = self._new, []
        if not new or turn.error is not None:
            return
        names = self.known(turn.request.model)
        self._known[turn.request.model] = names + [name for name in new if name not in names]
        self._write()

    def _read(self) -> dict[str, dict[str, list[str]]]:
        if self._path is None:
            return {}
        try:
            content: Any = json.loads(self._path.read_bytes())
            return {
                str(endpoint): {str(model): [str(name) for name in names] for model, names in models.items()}
                for endpoint, models in content.items()
            }
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _write(self) -> None:
        if self._path is None:
            return
        # Read again: another session may have learnt something about another endpoint meanwhile.
        content = self._read() | {self._endpoint: self._known}
        with suppress(OSError):
            replace_private(self._path, json.dumps(content, indent=1))
