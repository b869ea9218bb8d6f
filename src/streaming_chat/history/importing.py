"""Turns from elsewhere → rows of their own: whole, under new numbers, and none of them twice.

Two turns are one when the same session asked the same at the same time, and got as much of an answer. That is compared by
a digest of these four, so that a turn costs the same however many of its session and its time there are.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b

from streaming_chat.core.kinds import as_json, stamp
from streaming_chat.core.record import StoredTurn, kept_endpoint
from streaming_chat.history.rows import INSERT_CONVERSATION, INSERT_TURN, bindable, row_of
from streaming_chat.history.selection import PIECES_OF_TURN

_SELECT_PLACES = "SELECT id, session, started_at FROM turns"
_SELECT_CONTENT = f"SELECT messages, text || {PIECES_OF_TURN} AS text FROM turns WHERE id = ?"  # noqa: S608 # a constant


def import_turns(
    connection: sqlite3.Connection, turns: Sequence[StoredTurn], progress: Callable[[int], None]
) -> list[int | None]:
    """The number that each turn has got; None for one that is there already. `progress` is told how many are done."""
    known = _known(connection, {_place(turn) for turn in turns})
    parents = _Parents(connection)
    numbers: list[int | None] = []
    for turn in turns:
        progress(len(numbers))
        row = row_of(replace(turn, endpoint=kept_endpoint(turn.endpoint)))
        digest = _digest(row["session"], row["started_at"], row["messages"], row["text"])
        number = known.get(digest)
        if number is None:
            connection.execute(INSERT_CONVERSATION, row)
            known[digest] = added = connection.execute(INSERT_TURN, {**row, "parent": parents.of(turn)}).lastrowid or 0
            numbers.append(added)
            parents.add(turn, added)
        else:
            numbers.append(None)
            parents.add(turn, number, is_new=False)
    parents.finish()
    return numbers


class _Parents:
    """Numbers of elsewhere → numbers of this file, for the turns that are parents.

    A number means something only in one file, and turns of several may come at once. So a parent is a turn of the same
    conversation; where two have the number, the one that came last before the turn, as in the file that both come from.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[tuple[str, int], int] = {}
        self._waiting: list[tuple[tuple[str, int], int]] = []

    def of(self, turn: StoredTurn) -> int | None:
        """The parent of `turn` here, as far as it has come already."""
        return None if turn.parent is None else self._numbers.get((turn.conversation, turn.parent))

    def add(self, turn: StoredTurn, number: int, *, is_new: bool = True) -> None:
        """`turn` has `number` here."""
        if is_new and turn.parent is not None and self.of(turn) is None:
            self._waiting.append(((turn.conversation, turn.parent), number))
        self._numbers[turn.conversation, turn.number] = number

    def finish(self) -> None:
        """Write the parents that came after their turns."""
        for parent, number in self._waiting:
            # A turn that is its own parent is none.
            if (found := self._numbers.get(parent)) is not None and found != number:
                self._connection.execute("UPDATE turns SET parent = ? WHERE id = ?", (found, number))


def _known(connection: sqlite3.Connection, places: set[tuple[str, str]]) -> dict[bytes, int]:
    """The digests and numbers of the turns in the file that have one of these sessions and times."""
    found = [tuple(row) for row in connection.execute(_SELECT_PLACES) if (row["session"], row["started_at"]) in places]
    known = {}
    for number, session, started_at in found:
        content = connection.execute(_SELECT_CONTENT, (number,)).fetchone()
        known[_digest(session, started_at, _as_written(content["messages"]), content["text"])] = number
    return known


def _place(turn: StoredTurn) -> tuple[str, str]:
    """Session and time as a row has them."""
    return bindable({"session": turn.session})["session"], stamp(turn.started_at)


def _as_written(messages: object) -> object:
    """Messages as `_row` writes them, whoever wrote them; what are none stay as they are."""
    try:
        return as_json(json.loads(messages)) if isinstance(messages, str) else messages
    except (ValueError, RecursionError):
        return messages


def _digest(*parts: object) -> bytes:
    digest = blake2b(digest_size=32)
    for part in parts:
        content = repr(part).encode()
        digest.update(b"%d:" % len(content))
        digest.update(content)
    return digest.digest()
