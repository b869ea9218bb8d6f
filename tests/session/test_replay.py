"""`history replay`: an answer again, at the speed at which it came, as it looked."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import World
from screen import Screen
from server import Send, Server, answer, chunk, frame, sse
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.events import Event, Outcome, ReasoningDelta, RefusalDelta, Sent, TextDelta, ToolCallDelta
from streaming_chat.core.timing import Timing
from streaming_chat.core.turn import ToolCall, Turn
from streaming_chat.history import History
from streaming_chat.history.playback import events_of

Ask = Callable[..., CompletedProcess[bytes]]
MARKDOWN = [
    *"# Title\n\nSome **str",
    "ong** text, ",
    "a `code` span and\n\n- an it",
    "em\n- another\n\n```python\nx = ",
    "1\n```\n",
]


def final(screen: Screen) -> str:
    assert screen.wait_for_exit() == 0
    return screen.text


@pytest.mark.parametrize("flags", [[], ["--raw"], ["--no-color"]])
def test_the_final_screen_is_that_of_the_answer(world: World, server: Server, flags: list[str]) -> None:
    server.play(answer(MARKDOWN))
    live = final(world.screen(*flags, "--base-url", server.base_url, "hi"))
    again = final(world.screen(*flags, "history", "replay", "1"))
    assert again == live
    assert re.search(r"first token: .*s · total: ", again)


def test_reasoning_tool_calls_and_a_cut_are_told_again(world: World, server: Server) -> None:
    thought = Send(frame(sse(chunk(delta={"reasoning_content": "Hm, let me see. "}))))
    call = {"index": 0, "id": "c", "function": {"name": "search", "arguments": '{"q": 1}'}}
    head, *rest = answer(["Well"], finish_reason="tool_calls")
    server.play([head, thought, rest[0], rest[1], Send(frame(sse(chunk(delta={"tool_calls": [call]})))), *rest[2:]])
    live = world.screen("--base-url", server.base_url, "hi")
    assert live.wait_for_exit() == 7
    again = world.screen("history", "replay", "1")
    assert again.wait_for_exit() == 0
    assert again.text == live.text
    assert "Hm, let me see." in again.text
    assert "[the model calls search]" in again.text


@pytest.mark.parametrize(
    ("pauses", "flags", "least"),
    [
        ([0.4, 0.4], [], 0.8),
        ([400.0, 400.0], ["--speed", "1000"], 0.8),
        ([3600.0, 0.4], ["--max-pause", "0.3"], 0.6),
        ([3600.0, 3600.0], ["--speed", "1000", "--max-pause", "0.1"], 0.2),
    ],
    ids=["as it was", "faster", "without long pauses", "both"],
)
def test_it_takes_its_time_or_a_part_of_it(
    world: World, ask: Ask, pauses: list[float], flags: list[str], least: float
) -> None:
    # What would take longer than a minute fails.
    ended = Timing(total=sum(pauses))
    with closing(History(world.state / "history.db", pytest.fail)) as history:
        request = ChatRequest("m", (Message("user", "?"),))
        recorder = history.recorder(request, endpoint="e", session="s")
        recorder.handle(Sent(100.0))
        for text, at in zip(("one ", "two ", "three"), (100.0, 100.0 + pauses[0], 100.0 + sum(pauses)), strict=True):
            recorder.handle(TextDelta(at, text))
        recorder.end(Turn(request, "one two three", "", Outcome.COMPLETE, "stop", None, ended))
    began = time.perf_counter()
    done = ask("history", "replay", "1", *flags)
    assert time.perf_counter() - began >= least
    assert done.stdout == b"one two three\n"


def test_json_has_the_same_lines(ask: Ask, server: Server) -> None:
    server.play(answer(["one ", "two"]))
    live = [json.loads(line) for line in ask("hi", "--json").stdout.splitlines()]
    again = [json.loads(line) for line in ask("history", "replay", "1", "--json").stdout.splitlines()]
    assert [line["text"] for line in again if line["event"] == "delta"] == ["one ", "two"]
    assert {**again[-1], "timing": None} == {**live[-1], "timing": None}
    assert again[-1]["timing"]["total"] == pytest.approx(live[-1]["timing"]["total"], abs=1e-5)


def test_ctrl_c_ends_it(world: World, ask: Ask, server: Server) -> None:
    server.play(answer(["one ", "two"], delay=0.5))
    assert ask("hi").returncode == 0
    screen = world.screen("history", "replay", "1", "--speed", "0.01")
    screen.wait_for("one")
    screen.key("ctrl-c")
    assert screen.wait_for_exit() == 130
    assert "two" not in screen.text
    assert "notice: stopped: the text above is not the whole answer" in screen.text
    assert "total:" not in screen.text


def test_a_stopped_replay_ends_as_json_with_what_was_shown(world: World, ask: Ask, server: Server) -> None:
    server.play(answer(["one ", "two"], delay=0.5))
    assert ask("hi").returncode == 0
    process = world.start("--json", "history", "replay", "1", "--speed", "0.01")
    assert process.stdout is not None
    lines = []
    while not lines or b'"delta"' not in lines[-1]:
        lines.append(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    lines += process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 130
    end = json.loads(lines[-1])
    assert (end["event"], end["outcome"], end["text"]) == ("end", "interrupted", "one ")


#: Ctrl-C comes as soon as the first delta is written.
_AT_THE_DELTA = """
import os, signal
write = os.write

def late(fd, data):
    written = write(fd, data)
    if b'"delta"' in bytes(data):
        os.kill(os.getpid(), signal.SIGINT)
    return written

os.write = late
"""


def test_the_last_line_of_a_stopped_replay_has_every_delta_before_it(world: World, ask: Ask, server: Server) -> None:
    server.play(answer(["one ", "two"], delay=0.1))
    assert ask("hi").returncode == 0
    (world.folder / "sitecustomize.py").write_text(_AT_THE_DELTA)
    done = world.run("--json", "history", "replay", "1", "--speed", "0.01", env={"PYTHONPATH": str(world.folder)})
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 130
    assert lines[-1]["text"] == "".join(line["text"] for line in lines if line["event"] == "delta") == "one "


def test_a_turn_that_is_not_there_is_an_error(ask: Ask) -> None:
    done = ask("history", "replay", "7")
    assert done.returncode == 2
    assert b"no turn 7 in the history" in done.stderr


_DELTA = st.one_of(
    st.builds(TextDelta, st.just(0.0), st.text(min_size=1, max_size=5)),
    st.builds(ReasoningDelta, st.just(0.0), st.text(min_size=1, max_size=5)),
    st.builds(RefusalDelta, st.just(0.0), st.text(min_size=1, max_size=5)),
)


@given(deltas=st.lists(_DELTA, max_size=12), gaps=st.lists(st.integers(0, 3_000_000), min_size=13, max_size=13))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=30, deadline=None)
def test_what_happened_happens_again(tmp_path: Path, deltas: list[Event], gaps: list[int]) -> None:
    path = tmp_path / "history.db"
    path.unlink(missing_ok=True)
    at = 100.0
    told: list[Event] = []
    with closing(History(path, pytest.fail)) as history:
        recorder = history.recorder(ChatRequest("m", (Message("user", "?"),)), endpoint="e", session="s")
        recorder.handle(Sent(100.0))
        for delta, gap in zip(deltas, gaps, strict=False):
            at += gap / 1e6
            told.append(type(delta)(at, delta.text))
            recorder.handle(told[-1])
        call = ToolCallDelta(at, 0, "name", "{}")
        recorder.handle(call)
        texts = {
            kind: "".join(one.text for one in told if isinstance(one, kind))
            for kind in (TextDelta, ReasoningDelta, RefusalDelta)
        }
        recorder.end(
            Turn(
                ChatRequest("m", (Message("user", "?"),)),
                texts[TextDelta],
                texts[ReasoningDelta],
                Outcome.COMPLETE,
                "stop",
                None,
                Timing(total=at - 100.0),
                refusal=texts[RefusalDelta],
                tool_calls=(ToolCall("name", "{}"),),
            )
        )
        stored = history.turn(recorder.number)
    again = [event for event in events_of(stored) if hasattr(event, "text") or isinstance(event, ToolCallDelta)]
    assert [type(event) for event in again] == [*map(type, told), ToolCallDelta]
    assert [event.text for event in again[:-1]] == [event.text for event in told]
    assert (again[-1].name, again[-1].arguments) == ("name", "{}")
    for event, before in zip(again, [*told, call], strict=True):
        assert event.at == pytest.approx(before.at - 100.0, abs=2e-6)
