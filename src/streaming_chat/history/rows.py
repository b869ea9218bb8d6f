"""Turns ↔ rows: the statements, made of the columns of a turn (core/record.py), and how a row is read.

The names of columns are the program's own, so they may stand in a statement; values never do.
"""

from __future__ import annotations

import json
import re
import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from streaming_chat.core.arrivals import decode_arrivals
from streaming_chat.core.errors import ChatError
from streaming_chat.core.record import (
    COLUMNS,
    ENDED_COLUMNS,
    SUMMARY_COLUMNS,
    Column,
    RowReader,
    StoredTurn,
    TurnSummary,
    cells_of,
)
from streaming_chat.core.turn import ToolCall, Turn
from streaming_chat.text.secret import without_secret
from streaming_chat.text.surrogates import has_surrogate

#: Columns that the figures do without: prompts may be whole files, and what a later version added stands after the texts.
_NOT_IN_FIGURES: Final = {"prompt": "''", "conversation": "NULL", "parent": "NULL"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _listed(columns: Sequence[Column], instead: Mapping[str, str]) -> str:
    """Columns in a SELECT; `instead` has SQL for those that are not read."""
    parts = [f"{instead[one.name]} AS {one.name}" if one.name in instead else f"turns.{one.name}" for one in columns]
    return ", ".join(["turns.id", *parts])


INSERT_TURN: Final = f"""
    INSERT INTO turns ({", ".join(one.name for one in COLUMNS)}) VALUES ({", ".join(f":{one.name}" for one in COLUMNS)})
"""  # noqa: S608 # our own names
#: A conversation is there from its first turn on.
INSERT_CONVERSATION: Final = "INSERT OR IGNORE INTO conversations (id, created_at) VALUES (:conversation, :started_at)"
#: A parent is a turn of the same conversation in the same file; that which was deleted, or is in a file set aside, is none.
SELECT_PARENT: Final = "SELECT id FROM turns WHERE id = :parent AND coalesce(conversation, session) = :conversation"
UPDATE_STARTED: Final = "UPDATE turns SET served_model = :served_model, request_id = :request_id WHERE id = :id"
#: A turn that was deleted while it runs gets no more pieces.
INSERT_PIECE: Final = """
    INSERT INTO pieces (turn_id, seq, text, reasoning, refusal, tool_calls, arrivals)
    SELECT :turn_id, :seq, :text, :reasoning, :refusal, :tool_calls, :arrivals
    WHERE EXISTS (SELECT 1 FROM turns WHERE id = :turn_id)
"""
UPDATE_TURN: Final = f"""
    UPDATE turns SET {", ".join(f"{one.name} = :{one.name}" for one in ENDED_COLUMNS)}, arrivals = :arrivals WHERE id = :id
"""  # noqa: S608 # our own names
DELETE_PIECES: Final = "DELETE FROM pieces WHERE turn_id = ?"
_SUMMARY: Final = _listed(SUMMARY_COLUMNS, {})
#: With the conditions of a `Selection`; then its values, and the limit.
SELECT_SUMMARIES = f"SELECT {_SUMMARY} FROM turns WHERE {{}} ORDER BY id DESC LIMIT ?"  # noqa: S608 # a constant
#: Likewise of all turns, with what figures are made of.
SELECT_FIGURES: Final = f"""
    SELECT {_listed(SUMMARY_COLUMNS, _NOT_IN_FIGURES)} FROM turns WHERE {{}} ORDER BY id
"""  # noqa: S608 # a constant
#: Likewise of the turns in an index (search.py); what is asked of the index stands before the other values.
SELECT_FOUND: Final = f"""
    SELECT {_SUMMARY}, snippet({{index}}, -1, char(1), char(2), '…', 16) AS found
    FROM {{index}} JOIN turns ON turns.id = {{index}}.rowid
    WHERE {{index}} MATCH ? AND {{where}} ORDER BY {{index}}.rowid DESC LIMIT ?
"""  # noqa: S608 # constants
#: What stands before and after a word that was looked for.
MARKS: Final = ("\x01", "\x02")
SELECT_NUMBERS: Final = "SELECT id FROM turns WHERE {} ORDER BY id"
SELECT_NUMBERS_FOUND: Final = (
    "SELECT turns.id FROM {index} JOIN turns ON turns.id = {index}.rowid WHERE {index} MATCH ? AND {where}"
)
#: The last one first, which is not the one of the highest number: turns from elsewhere may be older.
SELECT_LATEST: Final = "SELECT id FROM turns ORDER BY started_at DESC, id DESC"
#: A turn and those before it, the first one last. UNION, so that a circle in a damaged file ends.
SELECT_PATH: Final = """
    WITH RECURSIVE path (id) AS (
        VALUES (?) UNION SELECT turns.parent FROM turns JOIN path ON turns.id = path.id WHERE turns.parent IS NOT NULL
    )
    SELECT path.id FROM path JOIN turns ON turns.id = path.id
"""
DELETE_TURNS: Final = "DELETE FROM turns WHERE id IN (SELECT value FROM json_each(?))"
DELETE_PIECES_OF: Final = "DELETE FROM pieces WHERE turn_id IN (SELECT value FROM json_each(?))"
#: A conversation is deleted, with its name, when its last turn is.
DELETE_EMPTY_CONVERSATIONS: Final = (
    "DELETE FROM conversations WHERE id NOT IN (SELECT coalesce(conversation, session) FROM turns)"
)
_SELECT_TURN: Final = f"SELECT {_listed(COLUMNS, {})} FROM turns WHERE id = ?"  # noqa: S608 # our own names
_SELECT_PIECES: Final = "SELECT * FROM pieces WHERE turn_id = ? ORDER BY seq"


@dataclass(frozen=True)
class FoundTurn(TurnSummary):
    """A turn that was looked for: `found` is where the words stand, each between the two `MARKS`."""

    found: str


def row_of(turn: StoredTurn, secret: str | None = None) -> dict[str, Any]:
    """The row of `turn`, with `secret` in no text of it."""
    return bindable(without(secret, cells_of(turn)))


def ended_row(begun: StoredTurn, turn: Turn, arrivals: bytes, secret: str | None) -> dict[str, Any]:
    """What the row of a turn gains when it is over. `arrivals` are as the row holds them."""
    row = row_of(begun.ended(turn), secret)
    return {**{one.name: row[one.name] for one in ENDED_COLUMNS}, "arrivals": arrivals}


def without(secret: str | None, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with `secret` masked in its texts."""
    return {name: without_secret(value, secret) if isinstance(value, str) else value for name, value in row.items()}


def bindable(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without surrogates, which SQLite cannot hold."""
    return {name: _bindable_value(value) for name, value in values.items()}


def _bindable_value(value: Any) -> Any:
    if isinstance(value, str) and has_surrogate(value):
        return _LONE_SURROGATE.sub("\ufffd", value)
    return value


class DamagedTurn(ChatError):
    """The row of turn `number` is not one that this program writes: SQLite does not see that its content is damaged."""

    def __init__(self, number: int) -> None:
        super().__init__(f"turn {number} of the history is damaged", f"`streaming-chat history delete {number}` removes it")
        self.number = number


@contextmanager
def _understood(row: sqlite3.Row) -> Iterator[None]:
    try:
        yield
    # LookupError: a kind of arrival, or a setting, that there is not. OverflowError: a time before or after all times.
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, struct.error) as error:
        raise DamagedTurn(row["id"]) from error


_SUMMARY_NAMES: Final = [column.name for column in SUMMARY_COLUMNS]
_summaries: Final = RowReader(TurnSummary, _SUMMARY_NAMES)
_found: Final = RowReader(FoundTurn, [*_SUMMARY_NAMES, "found"])
_whole: Final = RowReader(StoredTurn, [column.name for column in COLUMNS])


def turn_summary(row: sqlite3.Row) -> TurnSummary:
    """The turn in a row of `SELECT_SUMMARIES`. Raises `DamagedTurn`."""
    with _understood(row):
        summary: TurnSummary = _summaries.read(tuple(row))
        return summary


def found_turn(row: sqlite3.Row) -> FoundTurn:
    """The turn in a row of `SELECT_FOUND`. Raises `DamagedTurn`."""
    with _understood(row):
        found: FoundTurn = _found.read(tuple(row))
        return found


def stored_turn(connection: sqlite3.Connection, number: int) -> StoredTurn | None:
    """Turn `number`, with what was saved of it so far when it never ended; None when there is none. Raises `DamagedTurn`."""
    row = connection.execute(_SELECT_TURN, (number,)).fetchone()
    if row is None:
        return None
    pieces = connection.execute(_SELECT_PIECES, (number,)).fetchall()  # none, once the turn has an outcome
    with _understood(row):
        turn: StoredTurn = _whole.read(tuple(row))
        return _with_pieces(turn, pieces) if pieces else turn


def _with_pieces(turn: StoredTurn, pieces: Sequence[sqlite3.Row]) -> StoredTurn:
    def joined(name: str, so_far: str) -> str:
        return "".join([so_far, *(piece[name] for piece in pieces)])

    arrivals = b"".join(piece["arrivals"] for piece in pieces)
    return replace(
        turn,
        text=joined("text", turn.text),
        reasoning=joined("reasoning", turn.reasoning),
        refusal=joined("refusal", turn.refusal),
        tool_calls=(*turn.tool_calls, *_joined_calls(pieces)),
        arrivals=(*turn.arrivals, *decode_arrivals(arrivals)),
    )


def _joined_calls(pieces: Sequence[sqlite3.Row]) -> list[ToolCall]:
    calls: dict[int, tuple[str, str]] = {}
    for piece in pieces:
        for index, name, arguments in json.loads(piece["tool_calls"]):
            known = calls.get(index, ("", ""))
            calls[index] = known[0] + name, known[1] + arguments
    return [ToolCall(*call) for _, call in sorted(calls.items())]
