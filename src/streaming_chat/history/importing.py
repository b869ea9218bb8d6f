"""Turns from elsewhere → rows of their own: whole, under new numbers, and none of them twice.

Two turns are one when the same session asked the same at the same time, and got as much of an answer. That is compared by
a digest of these four, so that a turn costs the same however many of its session and its time there are.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict
from hashlib import blake2b
from typing import Any

from streaming_chat.core.arrivals import encode_arrivals
from streaming_chat.history.rows import StoredTurn, as_json, bindable, figures, kept_endpoint
from streaming_chat.history.selection import PIECES_OF_TURN, stamp

_SELECT_PLACES = "SELECT id, session, started_at FROM turns"
_SELECT_CONTENT = f"SELECT messages, text || {PIECES_OF_TURN} AS text FROM turns WHERE id = ?"  # noqa: S608 # a constant


def import_turns(
    connection: sqlite3.Connection, turns: Sequence[StoredTurn], progress: Callable[[int], None]
) -> list[int | None]:
    """The number that each turn has got; None for one that is there already. `progress` is told how many are done."""
    known = _known(connection, {_place(turn) for turn in turns})
    numbers: list[int | None] = []
    for turn in turns:
        progress(len(numbers))
        row = _row(turn)
        digest = _digest(row["session"], row["started_at"], row["messages"], row["text"])
        if digest in known:
            numbers.append(None)
            continue
        columns = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        numbers.append(connection.execute(f"INSERT INTO turns ({columns}) VALUES ({values})", row).lastrowid)  # noqa: S608 # our own names
        known.add(digest)
    return numbers


def _known(connection: sqlite3.Connection, places: set[tuple[str, str]]) -> set[bytes]:
    """The digests of the turns in the file that have one of these sessions and times."""
    found = [tuple(row) for row in connection.execute(_SELECT_PLACES) if (row["session"], row["started_at"]) in places]
    known = set()
    for number, session, started_at in found:
        content = connection.execute(_SELECT_CONTENT, (number,)).fetchone()
        known.add(_digest(session, started_at, _as_written(content["messages"]), content["text"]))
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


def _row(turn: StoredTurn) -> dict[str, Any]:
    return bindable(
        {
            "session": turn.session,
            "started_at": stamp(turn.started_at),
            "endpoint": kept_endpoint(turn.endpoint),
            "model": turn.model,
            "served_model": turn.served_model,
            "request_id": turn.request_id,
            "outcome": turn.outcome and turn.outcome.value,
            "finish_reason": turn.finish_reason,
            **figures(turn.usage, turn.timing),
            "error": as_json(asdict(turn.error)) if turn.error else None,
            "settings": as_json(turn.settings),
            "prompt": turn.prompt,
            "messages": as_json([asdict(message) for message in turn.messages]),
            "text": turn.text,
            "reasoning": turn.reasoning,
            "refusal": turn.refusal,
            "tool_calls": as_json([asdict(call) for call in turn.tool_calls]),
            "arrivals": encode_arrivals(turn.arrivals),
        }
    )
