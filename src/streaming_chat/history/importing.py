"""Turns from elsewhere → rows of their own: whole, under new numbers, and none of them twice."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from streaming_chat.core.arrivals import encode_arrivals
from streaming_chat.history.rows import StoredTurn, as_json, bindable, figures, kept_endpoint, stored_turn
from streaming_chat.history.selection import stamp

_SELECT_KNOWN = "SELECT id, session, started_at FROM turns"


def import_turns(connection: sqlite3.Connection, turns: Iterable[StoredTurn]) -> list[int | None]:
    """The number that each turn has got; None for one that is there already."""
    known: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in connection.execute(_SELECT_KNOWN):
        known[row["session"], row["started_at"]].append(row["id"])
    numbers: list[int | None] = []
    for turn in turns:
        row = _row(turn)
        place = known[row["session"], row["started_at"]]
        if any(_is_same(turn, stored_turn(connection, number)) for number in place):
            numbers.append(None)
            continue
        columns = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        number = connection.execute(f"INSERT INTO turns ({columns}) VALUES ({values})", row).lastrowid  # noqa: S608 # our own names
        numbers.append(number)
        place.append(number or 0)
    return numbers


def _is_same(turn: StoredTurn, other: StoredTurn | None) -> bool:
    """Whether it is one turn: the same session asked the same at the same time, and got as much of an answer."""
    return other is not None and (turn.messages, turn.text) == (other.messages, other.text)


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
