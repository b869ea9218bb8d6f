"""Turns ↔ JSON, nothing lost: one object with all turns, or one object a line as `history show --json` writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError
from streaming_chat.core.kinds import WrongValue
from streaming_chat.core.record import StoredTurn, TurnSummary, turn_of_object
from streaming_chat.text.surrogates import SurrogateJoiner, has_surrogate

FORMAT: Final = "streaming-chat turns"
#: Raised when a reader of the version before could not make sense of what is written.
VERSION: Final = 1


def turns_json(turns: Sequence[StoredTurn]) -> str:
    """All of what is kept of `turns`. Texts are as they came, times in seconds."""
    # A turn a line, so that a difference between two files can be read.
    objects = ",\n".join(json.dumps(as_object(turn), ensure_ascii=False) for turn in turns)
    return f'{{"format": {json.dumps(FORMAT)}, "version": {VERSION}, "turns": [\n{objects}\n]}}\n'


def as_object(turn: TurnSummary) -> dict[str, Any]:
    """One turn, as JSON has it."""
    arrivals = {}
    if isinstance(turn, StoredTurn):
        # Lists to JSON as they are. asdict() would copy each of half a million, which takes seconds.
        arrivals = {"arrivals": turn.arrivals}
        turn = replace(turn, arrivals=())
    return {**asdict(turn), **arrivals, "status": turn.status, "started_at": turn.started_at.isoformat()}


def turns_of(text: str, progress: Callable[[int, int], None] = lambda _done, _total: None) -> list[StoredTurn]:
    """The turns in what `turns_json` or `history show --json` has written. UsageError says what is not right, and where.

    `progress` is told, before each turn, how many of how many are done.
    """
    turns: list[StoredTurn] = []
    try:
        objects = _objects(text)
        # Only an escape can stand for half a character.
        has_escapes = "\\u" in text
        for number, one in enumerate(objects, 1):
            progress(len(turns), len(objects))
            turns.append(turn_of_object(_whole(one) if has_escapes else one, f"turn {number}"))
        return turns
    except (WrongValue, RecursionError) as wrong:
        if isinstance(wrong, RecursionError):
            wrong = WrongValue("the JSON is nested too deeply")
        raise UsageError(f"these are no turns: {wrong}", kind=Kind.NOT_TURNS) from None


def _objects(text: str) -> list[Any]:
    document: Any
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return [_parsed(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not isinstance(document, dict) or "turns" not in document:
        return [document]
    if document.get("format") != FORMAT:
        raise WrongValue(f"the format is {document.get('format')!r}, not {FORMAT!r}")
    version = document.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise WrongValue(f"they were written by a later version of the program (format {version!r}, here {VERSION})")
    if not isinstance(document["turns"], list):
        raise WrongValue("'turns' of the file is no list")
    return document["turns"]


def _no_constant(name: str) -> None:
    """NaN and Infinity, which Python reads and JSON has not."""
    raise ValueError(f"{name} is not JSON")


def _parsed(line: str, number: int) -> Any:
    try:
        return json.loads(line, parse_constant=_no_constant)
    except ValueError as problem:
        raise WrongValue(f"line {number} is not JSON ({problem})") from None


def _whole(value: Any) -> Any:
    """A value whose texts are as the history keeps them: half a character (an escape without the other one) is U+FFFD."""
    if isinstance(value, str):
        if not has_surrogate(value):
            return value
        joiner = SurrogateJoiner()
        return joiner.feed(value) + joiner.finish()
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(one) for name, one in value.items()}
    return value
