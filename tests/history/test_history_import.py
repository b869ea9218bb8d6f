"""`history import` of many turns: each costs the same, the user sees how far it is, and it is done whole or not at all."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import World
from streaming_chat.cli.commands.history.progress import Progress
from streaming_chat.documents.turns_json import turns_of
from streaming_chat.history import History

MOMENT = "2025-12-10T17:34:32.123Z"


def turn(number: int, *, session: str = "s", started_at: str = MOMENT, **more: Any) -> dict[str, Any]:
    return {
        "session": session,
        "started_at": started_at,
        "endpoint": "http://x.test/v1",
        "model": "m",
        "outcome": "complete",
        "messages": [{"role": "user", "content": f"question {number}"}],
        "text": f"answer {number}",
        **more,
    }


def write(path: Path, turns: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in turns), encoding="utf-8")


def test_twenty_thousand_turns_of_one_session_and_one_time(world: World) -> None:
    write(world.folder / "all.jsonl", [turn(number) for number in range(20_000)])
    # A limit to the test, not the figure to reach: quadratic, it took more than two minutes on a quiet machine.
    done = world.run("history", "import", "all.jsonl", timeout=60)
    assert (done.returncode, done.stdout) == (0, b"20000 turns imported (turns 1 to 20000)\n")
    again = world.run("history", "import", "all.jsonl", timeout=60)
    assert (again.returncode, again.stdout) == (0, b"no turns imported, 20000 there already\n")


@pytest.mark.parametrize("different", [{}, {"session": True}, {"started_at": True}], ids=["same", "sessions", "times"])
def test_a_turn_costs_as_many_statements_as_the_one_before(tmp_path: Path, different: dict[str, bool]) -> None:
    """Counted in statements, not in seconds: that is what the machine's load does not change."""

    def statements(count: int) -> int:
        given_turns = turns_of(
            json.dumps(
                {
                    "format": "streaming-chat turns",
                    "version": 1,
                    "turns": [
                        turn(
                            number,
                            session=f"s{number}" if "session" in different else "s",
                            started_at=f"2025-12-10T17:{number % 60:02d}:00Z" if "started_at" in different else MOMENT,
                        )
                        for number in range(count)
                    ],
                }
            )
        )
        calls: list[str] = []
        with closing(History(tmp_path / str(count) / "history.db", pytest.fail)) as history:
            history.turns()
            history.add([])
            assert history._connection is not None
            history._connection.set_trace_callback(calls.append)
            assert None not in history.add(given_turns)
            assert set(history.add(given_turns)) == {None}
        return len(calls)

    few, many = statements(20), statements(200)
    assert many < 11 * few


def test_what_a_turn_is_decides_whether_it_is_there(tmp_path: Path) -> None:
    one = turn(1)
    others = [
        turn(2),
        turn(1, session="t"),
        turn(1, started_at="2025-12-10T17:34:32.124Z"),
        turn(1, text="answer 1 and more"),
        turn(1, messages=[{"role": "system", "content": "x"}, {"role": "user", "content": "question 1"}]),
        # Two texts with their border elsewhere are two turns.
        turn(1, text="1answer"),
    ]
    with closing(History(tmp_path / "history.db", pytest.fail)) as history:
        both = turns_of("\n".join(json.dumps(each) for each in (one, *others)))
        assert history.add(both) == list(range(1, 8))
        # The same moment in another zone, and another answer's figures, are the same turn.
        again = turn(1, started_at="2025-12-10T18:34:32.123+01:00", model="other", finish_reason="stop")
        assert history.add(turns_of(json.dumps(again))) == [None]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=40), st.integers(0, 40))
def test_however_they_are_cut_into_files_each_turn_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], cut: int
) -> None:
    path = tmp_path_factory.mktemp("state") / "history.db"
    given_turns = [turns_of(json.dumps(turn(number)))[0] for number in numbers]
    with closing(History(path, pytest.fail)) as history:
        history.add(given_turns[:cut])
        history.add(given_turns[cut:])
        assert sorted(one.prompt for one in history.turns()) == sorted({f"question {number}" for number in numbers})


def many(world: World) -> None:
    write(world.folder / "many.jsonl", [turn(number, arrivals=[[0.1, "text", 1]] * 40) for number in range(40_000)])


def test_how_far_it_is_is_told_and_an_interrupt_leaves_nothing(world: World) -> None:
    many(world)
    with world.start("history", "import", "many.jsonl") as program:
        assert program.stderr is not None
        line = program.stderr.readline().decode()
        while "importing" not in line:
            assert line.startswith("reading many.jsonl: ")
            line = program.stderr.readline().decode()
        assert line.startswith("importing: ")
        assert line.endswith(" of 40000 turns\n")
        program.send_signal(signal.SIGINT)
        stdout, rest = program.communicate(timeout=60)
    assert (program.returncode, stdout) == (130, b"")
    assert b"Traceback" not in rest
    assert world.run("history").stderr == b"the history is empty\n"


def test_quiet_hides_how_far_it_is(world: World) -> None:
    many(world)
    done = world.run("--quiet", "history", "import", "many.jsonl", timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0, 0.4, 0.9], []),
        ([0, 0.4, 1.0, 1.1, 1.9, 2.0], ["importing: 1 of 9 turns", "importing: 4 of 9 turns"]),
        ([0, 7.0, 7.5], ["importing: 0 of 9 turns"]),
    ],
)
def test_a_line_a_second_after_the_first(times: list[float], expected: list[str]) -> None:
    clock = iter(times)
    lines: list[str] = []
    progress: Callable[[str, int, int], None] = Progress(lines.append, lambda: next(clock))
    for done in range(len(times) - 1):
        progress("importing", done, 9)
    assert lines == expected
