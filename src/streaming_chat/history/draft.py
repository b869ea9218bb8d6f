"""A running turn on its way into the file: what has come, what is saved, and what is left to save."""

from __future__ import annotations

import sqlite3
from threading import Lock
from typing import Any

from streaming_chat.core.arrivals import to_bytes
from streaming_chat.core.collector import Collector
from streaming_chat.core.events import Event, Started
from streaming_chat.core.kinds import as_json
from streaming_chat.core.record import StoredTurn
from streaming_chat.core.turn import Turn
from streaming_chat.history.rows import (
    DELETE_PIECES,
    INSERT_CONVERSATION,
    INSERT_PIECE,
    INSERT_TURN,
    SELECT_PARENT,
    UPDATE_STARTED,
    UPDATE_TURN,
    bindable,
    ended_row,
    row_of,
)


class Draft:
    """A running turn. The streaming thread notes what comes, the writer thread takes it; all else needs History's lock.

    What has been saved is kept, so that the turn can be begun again in another file. `secret` is kept in no text.
    """

    def __init__(self, begun: StoredTurn, secret: str | None) -> None:
        self.number: int | None = None
        self._secret = secret
        self._begun = begun
        self._row = row_of(begun, secret)
        self._started: Started | None = None
        self._pieces: list[dict[str, Any]] = []
        self._saved = 0
        self._lock = Lock()  # Held for no longer than an event, or a change of the piece, takes.
        self._collector = Collector(with_texts=True)

    def note(self, event: Event) -> None:
        """Something happened."""
        with self._lock:
            self._collector.handle(event)

    def take(self) -> bool:
        """Let what came since the last time be what is saved next; whether there is anything."""
        with self._lock:
            piece = self._collector.take()
        if piece.started is not None:
            self._started = piece.started
        if piece.arrivals:
            texts = {kind: text.getvalue() for kind, text in piece.texts.items()}
            calls, arrivals = as_json(piece.calls), to_bytes(piece.arrivals)
            self._pieces.append(bindable({**texts, "tool_calls": calls, "arrivals": arrivals}))
        return piece.started is not None or bool(piece.arrivals)

    def write(self, connection: sqlite3.Connection, turn: Turn | None) -> int | None:
        """Write what has been taken and is not in the file yet, or the whole `turn`; the turn's number in this file."""
        number = self._begin(connection) if self.number is None else self.number
        if turn is not None:
            arrivals = b"".join(piece["arrivals"] for piece in self._pieces)
            # The turn has all texts. A long answer takes as much memory as it must, not twice as much.
            self._pieces = [{"arrivals": arrivals}]
            connection.execute(UPDATE_TURN, {"id": number, **ended_row(self._begun, turn, arrivals, self._secret)})
            connection.execute(DELETE_PIECES, (number,))
            return number
        if self._started is not None:
            values = {"id": number, "served_model": self._started.model, "request_id": self._started.request_id}
            connection.execute(UPDATE_STARTED, bindable(values))
        for seq, piece in enumerate(self._pieces[self._saved :], self._saved + 1):
            connection.execute(INSERT_PIECE, {"turn_id": number, "seq": seq, **piece})
        return number

    def _begin(self, connection: sqlite3.Connection) -> int | None:
        """Write the row of the turn, and of its conversation if this is the first one; the turn's number."""
        row = dict(self._row)
        connection.execute(INSERT_CONVERSATION, row)
        if row["parent"] is not None and connection.execute(SELECT_PARENT, row).fetchone() is None:
            row["parent"] = None
        return connection.execute(INSERT_TURN, row).lastrowid

    def written(self, number: int | None) -> None:
        """What `write` did is committed."""
        self.number, self._saved = number, len(self._pieces)

    def leave(self) -> None:
        """The file is not the history's any more: nothing of the turn is in the next one yet."""
        self.number, self._saved = None, 0
