"""Turns as JSON: nothing is lost on the way out and back in, and what is no turn is told by its place."""

from __future__ import annotations

import json
import re
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_chat.core.errors import UsageError
from streaming_chat.documents.turns_json import as_object, turns_json, turns_of
from streaming_chat.history import History, Selection, StoredTurn
from turns import stored, turns


def brought_in(given_turns: list[StoredTurn]) -> list[StoredTurn]:
    """The turns as a history has them that took them in."""
    with TemporaryDirectory() as folder, closing(History(Path(folder) / "history.db", pytest.fail)) as history:
        numbers = history.add(given_turns)
        return [history.turn(number) for number in numbers if number is not None]


@given(turns=st.lists(turns(), min_size=1, max_size=3, unique_by=lambda turn: (turn.session, turn.started_at)))
@settings(deadline=None)
def test_what_is_exported_comes_in_as_it_was(turns: list[StoredTurn]) -> None:
    exported = turns_json(turns)
    assert turns_of(exported) == turns
    imported = brought_in(turns_of(exported))
    assert [replace(turn, number=0) for turn in imported] == [replace(turn, number=0) for turn in turns]
    # And from there once more.
    assert [replace(turn, number=0) for turn in turns_of(turns_json(imported))] == [
        replace(turn, number=0) for turn in turns
    ]


@given(turns=st.lists(turns(), min_size=1, max_size=3))
def test_a_turn_a_line_is_read_too(turns: list[StoredTurn]) -> None:
    assert turns_of("\n".join(json.dumps(as_object(turn)) for turn in turns) + "\n") == turns


def test_no_turn_comes_in_twice() -> None:
    one, other = stored("Because."), stored("Otherwise.", number=2)
    with TemporaryDirectory() as folder, closing(History(Path(folder) / "history.db", pytest.fail)) as history:
        assert history.add([one]) == [1]
        assert history.add([one, other, other]) == [None, 2, None]


def test_half_a_character_does_not_make_it_another_turn() -> None:
    exported = json.dumps(as_object(stored("a\ud800b", "c\udc00")))
    with TemporaryDirectory() as folder, closing(History(Path(folder) / "history.db", pytest.fail)) as history:
        assert history.add(turns_of(exported)) == [1]
        assert history.add(turns_of(exported)) == [None]
        found = history.turn(1)
        assert found is not None
        assert (found.text, found.prompt) == ("a\ufffdb", "c\ufffd")


def test_words_of_what_came_in_are_found() -> None:
    with TemporaryDirectory() as folder, closing(History(Path(folder) / "history.db", pytest.fail)) as history:
        history.add([stored("A zeugma is a figure of speech.")])
        assert [turn.number for turn in history.turns(None, Selection(words="zeugma"))] == [1]


def test_an_address_leaves_its_password_behind() -> None:
    turn = stored("x", endpoint="https://me:secret@host/v1?key=secret")
    assert brought_in([turn])[0].endpoint == "https://host/v1"


def changed(**fields: object) -> str:
    return json.dumps({"format": "streaming-chat turns", "version": 1, "turns": [{**as_object(stored("x")), **fields}]})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", None),
        ("nonsense", "line 1 is not JSON"),
        ('{"a": 1}\nnonsense', "line 2 is not JSON"),
        ("[]", "turn 1 is no object"),
        ('{"format": "other", "turns": []}', "the format is 'other'"),
        ('{"format": "streaming-chat turns", "version": 99, "turns": []}', "a later version"),
        ('{"format": "streaming-chat turns", "version": 1, "turns": 3}', "'turns' of the file is no list"),
        ("{}", "turn 1 has no messages"),
        (changed(messages=[]), "turn 1 has no messages"),
        (changed(messages=[{"role": "user"}]), "an entry of 'messages' of turn 1 has no 'content'"),
        (changed(text=3), "'text' of turn 1 is no text"),
        (changed(started_at="yesterday"), "'started_at' of turn 1 is no time with its zone: 'yesterday'"),
        (changed(started_at="2025-12-10T17:34:32"), "no time with its zone"),
        (changed(outcome="fine"), "'outcome' of turn 1 is none: 'fine'"),
        (changed(usage={"prompt_tokens": -1}), "'prompt_tokens' of 'usage' of turn 1 is no whole number"),
        (changed(usage={"prompt_tokens": True}), "'prompt_tokens' of 'usage' of turn 1 is no whole number"),
        (changed(usage=[]), "'usage' of turn 1 is no object"),
        (changed(timing={}), "'timing' of turn 1 has no 'total'"),
        (changed(timing={"total": float("nan")}), "line 1 is not JSON (NaN is not JSON)"),
        (changed(timing={"total": -5}), "'total' of 'timing' of turn 1 is no number of seconds"),
        (changed(timing={"total": 1e308}), "'total' of 'timing' of turn 1 is no number of seconds"),
        (changed(settings={"temperature": 10**400}), "'settings' of turn 1 has a 'temperature' that is no setting"),
        (changed(settings={"extra": {"a": [0]}}).replace("[0]", "[1e999]"), "has a 'extra' that is no setting"),
        (
            changed(settings={"extra": {"a": 0}}).replace("0}", "[" * 900 + "]" * 900 + "}"),
            "has a 'extra' that is no setting",
        ),
        ("[" * 200_000, "the JSON is nested too deeply"),
        (changed(started_at="0001-01-01T00:00:00+00:00"), "no time with its zone"),
        (changed(started_at="9999-12-31T23:59:59+00:00"), "no time with its zone"),
        (changed(arrivals=[[10**400, "text", 3]]), "'arrivals' of turn 1"),
        (changed(arrivals=[[1, "text", 2**62]]), "'arrivals' of turn 1"),
        (changed(settings={"api_key": "sk-1"}), "'settings' of turn 1 has a 'api_key' that is no setting"),
        (changed(settings=3), "'settings' of turn 1 is no object"),
        (changed(arrivals=[[0.1, "text"]]), "'arrivals' of turn 1"),
        (changed(arrivals=[[-1, "text", 3]]), "'arrivals' of turn 1"),
        (changed(arrivals=[[1, "song", 3]]), "'arrivals' of turn 1"),
        (changed(error={"type": "X"}), "'error' of turn 1 has no 'message'"),
    ],
)
def test_what_is_no_turn_is_told_by_its_place(text: str, told: str | None) -> None:
    if told is None:
        assert turns_of(text) == []
        return
    with pytest.raises(UsageError, match=re.escape(told)):
        turns_of(text)


_NAMES = st.sampled_from(["turns", "messages", "text", "format", "version", "usage", "timing", "arrivals"])
_DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner)
).map(json.dumps)


@given(text=st.text() | _DOCUMENTS)
def test_anything_else_is_an_error_and_no_fault(text: str) -> None:
    with suppress(UsageError):
        assert turns_of(text) == []
