"""A row that says what this program never writes is skipped and named; all others are shown as if it were not there."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import World
from server import Server, answer
from streaming_chat.core.arrivals import Arrival
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ChatError
from streaming_chat.core.events import Outcome, Usage
from streaming_chat.core.timing import Gaps, Timing
from streaming_chat.core.turn import Turn
from streaming_chat.history import History, Selection
from streaming_chat.history.open_file import MIGRATIONS
from streaming_chat.history.playback import as_turn, events_of

Ask = Callable[..., CompletedProcess[bytes]]
FORMATS = ("md", "html", "json", "cast", "svg")


def fill(path: Path, count: int = 3) -> None:
    with closing(History(path, pytest.fail)) as history:
        for number in range(1, count + 1):
            request = ChatRequest("m", (Message("user", f"question {number}"),), temperature=0.5)
            recorder = history.recorder(request, endpoint="e", session="s")
            timing = Timing(total=1.0, first_token=0.5, gaps=Gaps(0.1, 0.2, 0.3))
            usage = Usage(3, 4)
            recorder.end(Turn(request, f"answer {number}", "", Outcome.COMPLETE, "stop", usage, timing))


def spoil(path: Path, number: int, column: str, value: object) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE turns SET {column} = ? WHERE id = ?", (value, number))
        connection.commit()


#: Column → what may not stand in it.
WRONG: list[tuple[str, object]] = [
    *(
        ("started_at", text)
        for text in ("0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00+14:00")
    ),
    *(("started_at", text) for text in ("", "soon", "2025-12-10", "2025-12-10T17:34:32", "2025-13-10T17:34:32Z", "Z")),
    *(("started_at", value) for value in (1.5, b"2025-12-10T17:34:32.123Z", "1969-12-31T23:59:59Z")),
    *((column, b"bytes") for column in ("session", "endpoint", "model", "prompt", "served_model", "request_id")),
    *((column, b"bytes") for column in ("outcome", "finish_reason", "total", "attempts", "prompt_tokens", "gap_max")),
    *(("outcome", text) for text in ("", "COMPLETE", "unfinished")),
    *((column, "many") for column in ("prompt_tokens", "total", "headers", "first_token", "gap_p50", "attempts")),
    *((column, float("inf")) for column in ("total", "first_token", "gap_p95", "tokens_per_second", "completion_tokens")),
    *((column, -1.0) for column in ("total", "first_token")),
    ("attempts", 1.5),
    ("gap_p50", None),
]
#: Likewise of what is only read with the whole turn.
WRONG_INSIDE: list[tuple[str, object]] = [
    *((column, b"bytes") for column in ("text", "reasoning", "refusal", "messages", "settings", "tool_calls", "error")),
    *(
        (column, text)
        for column in ("messages", "settings", "tool_calls", "error")
        for text in ("", "{", "1", "null", "[1]")
    ),
    *(
        ("messages", text)
        for text in ('[{"role": "user"}]', '[{"role": "user", "content": null}]', '{"role": "user"}', "[" * 99999)
    ),
    *(
        ("settings", text)
        for text in ('{"temperature": "hot"}', '{"unheard_of": 1}', '{"extra": 1}', "[]", '{"top_p": 1e999}')
    ),
    *(("tool_calls", text) for text in ('[{"name": 1, "arguments": ""}]', '[["f", ""]]', "{}")),
    *(("error", text) for text in ("{}", "[]", '{"type": 1, "message": 1, "hint": 1, "status_code": 1, "code": 1}')),
    *(("arrivals", value) for value in ("text", b"\x00" * 7, b"\x0f" + b"\x00" * 7, 5)),
]


@pytest.mark.parametrize(("column", "value"), [*WRONG, *WRONG_INSIDE], ids=lambda value: str(value)[:40])
def test_what_cannot_be_read_is_an_error_in_words_and_the_others_are_there(
    tmp_path: Path, column: str, value: object
) -> None:
    path = tmp_path / "history.db"
    fill(path)
    spoil(path, 2, column, value)
    notices: list[str] = []
    with closing(History(path, notices.append)) as history:
        with pytest.raises(ChatError, match=r"turn 2 of the history is damaged"):
            history.turn(2)
        assert notices == []
        assert [turn.number for turn in history.whole([1, 2, 3])] == [1, 3]
        assert notices == ["turn 2 of the history is damaged and is skipped (`streaming-chat history delete 2` removes it)"]
        is_seen_in_lists = (column, value) in WRONG
        expected = [1, 3] if is_seen_in_lists else [1, 2, 3]
        assert [turn.number for turn in history.turns()] == expected
        if column != "prompt":
            assert [turn.number for turn in history.turns(None, Selection(words="question"))] == expected
            assert [turn.number for turn in history.figures()] == expected


@pytest.mark.parametrize(("column", "value"), [WRONG[0], *WRONG[9:12], ("total", "many")])
def test_every_command_shows_the_others_and_names_it_once(world: World, column: str, value: object) -> None:
    path = world.state / "history.db"
    fill(path)
    spoil(path, 2, column, value)
    told = b"notice: turn 2 of the history is damaged and is skipped (`streaming-chat history delete 2` removes it)\n"
    commands = [["list"], ["list", "--json"], ["search", "question"], ["stats"], ["stats", "--plot"], ["stats", "--json"]]
    commands += [["stats", "--html", "stats.html"], *(["export", "--all", "--format", form] for form in FORMATS)]
    commands += [["export", "1", "2", "3"]]
    for command in commands:
        done = world.run("history", *command)
        assert done.returncode == 0, (command, done.stderr)
        assert done.stderr.count(told) == 1, command
        assert done.stderr.count(b"\n") == (2 if "--html" in command else 1)
    done = world.run("history")
    assert [line.split()[-1] for line in done.stdout.splitlines()] == [b"1", b"3"]
    for command in (["show", "2"], ["show", "2", "--json"], ["replay", "2"], ["export", "2"]):
        done = world.run("history", *command)
        assert (done.returncode, done.stdout) == (1, b""), command
        assert (
            b"error: turn 2 of the history is damaged\nhint: `streaming-chat history delete 2` removes it\n" in done.stderr
        )
    assert world.run("history", "delete", "2", "--yes").returncode == 0
    assert world.run("history").stderr == b""


def test_many_are_counted_and_the_first_ones_named(world: World) -> None:
    path = world.state / "history.db"
    fill(path, 14)
    for number in range(1, 13):
        spoil(path, number, "started_at", "0001-01-01T00:00:00Z")
    done = world.run("history", "stats")
    assert done.stderr.startswith(
        b"notice: 12 turns of the history are damaged and are skipped: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more (`stream"
    )
    assert done.returncode == 0


def test_a_history_of_damaged_turns_is_not_called_empty(world: World) -> None:
    path = world.state / "history.db"
    fill(path, 1)
    spoil(path, 1, "started_at", "0001-01-01T00:00:00Z")
    for command in (["list"], ["search", "question"], ["stats"]):
        done = world.run("history", *command)
        assert done.returncode == 0
        assert done.stderr.startswith(b"notice: turn 1 of the history is damaged and is skipped")
        assert done.stderr.count(b"\n") == 1
    assert world.run("history", "export", "--all").returncode == 1


@pytest.mark.parametrize("value", ["zzz", "9999-12-31T23:59:59.999Z"])
def test_continue_goes_on_from_the_last_turn_that_can_be_read(ask: Ask, world: World, server: Server, value: str) -> None:
    path = world.state / "history.db"
    fill(path)
    spoil(path, 1, "started_at", value)
    server.play(answer(["Yes."]))
    done = ask("--continue", "And?")
    assert done.returncode == 0
    assert done.stderr.count(b"turn 1 of the history is damaged") == 1
    assert [message["content"] for message in server.chats[-1].json["messages"]] == ["question 3", "answer 3", "And?"]


CELLS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=12).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text)),
    st.binary(max_size=12),
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)
    ).map(json.dumps),
    st.fixed_dictionaries(
        {}, optional={name: st.integers() | st.text(max_size=3) for name in ("role", "content", "extra")}
    ).map(lambda value: json.dumps([value])),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
)
COLUMNS = st.sampled_from(
    list(re.findall(r"^ +(\w+) (?:TEXT|INTEGER|REAL|BLOB)(?! PRIMARY)", MIGRATIONS[1][0], re.MULTILINE))
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.dictionaries(COLUMNS, CELLS, min_size=1, max_size=4))
def test_whatever_stands_in_a_row_it_is_read_or_damaged(
    tmp_path_factory: pytest.TempPathFactory, cells: dict[str, Any]
) -> None:
    from streaming_chat.cli.commands.history.actions import history_command
    from streaming_chat.documents import written

    path = tmp_path_factory.mktemp("state") / "history.db"
    fill(path, 1)
    for column, value in cells.items():
        try:
            spoil(path, 1, column, value)
        except sqlite3.Error:  # NULL where there has to be something
            return

    class Out:
        def write(self, text: str) -> object:
            return text.encode()

    for command in (["list"], ["list", "--json"], ["search", "question"], ["stats", "--plot"]):
        assert history_command(command, path=path, out=Out(), terminal=True) == 0
    with closing(History(path, lambda _: None)) as history:
        try:
            turn = history.turn(1)
        except ChatError:
            assert history.whole([1]) == []
            return
        assert turn is not None
        as_turn(turn)
        list(events_of(turn))
        for form in FORMATS:
            written([turn], form)
        assert all(isinstance(arrival, Arrival) for arrival in turn.arrivals)
