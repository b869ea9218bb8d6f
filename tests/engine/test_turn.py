"""run_turn() with an observer that is at fault: the answer is kept, not passed off as shown, and all others are told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from conftest import World
from server import Server, answer, chunk
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ChatError, OutputClosed
from streaming_chat.core.events import Event, Finished, Outcome, Sent, TextDelta
from streaming_chat.core.turn import Turn
from streaming_chat.engine.loop import run_turn
from streaming_chat.engine.observers import IsolatedObserver
from streaming_chat.engine.protocols import ChunkSource, Display, Provider, TurnObserver
from streaming_chat.history import History
from streaming_chat.wire.reply import DONE

Ask = Callable[..., subprocess.CompletedProcess[bytes]]


class Chunks(ChunkSource):
    """Chunks that are there at once, so that their text is told at the end."""

    def __init__(self, chunks: list[object]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[object]:
        return iter(self._chunks)

    def call_before_waiting(self, _callback: object) -> bool:
        """It is never waited for more."""
        return True


class Whole(Provider):
    """A provider of one answer."""

    @contextmanager
    def stream(self, _request: ChatRequest) -> Iterator[Chunks]:
        yield Chunks([chunk("one "), chunk("two"), chunk(finish_reason="stop"), DONE])


class Faulty(TurnObserver):
    """An observer that fails in the middle of an answer."""

    turn: Turn | None = None

    def handle(self, event: Event) -> None:
        """Fail at text."""
        if isinstance(event, TextDelta):
            raise IndexError("string index out of range")

    def end(self, turn: Turn) -> None:
        """Be told, too."""
        self.turn = turn


class FaultyDisplay(Faulty, Display):
    """A renderer that does."""


@pytest.mark.parametrize("renderer", [FaultyDisplay(), Faulty()])
def test_an_answer_that_could_not_be_shown_is_an_error(renderer: Faulty) -> None:
    turn = run_turn(ChatRequest("m", (Message("user", "hi"),)), Whole(), [renderer], retries=0)
    assert renderer.turn is turn
    assert turn.outcome is Outcome.ERROR
    assert turn.error is not None
    assert "IndexError" in turn.error.message
    assert turn.text.startswith("one ")


class Observer(TurnObserver):
    """An observer that fails where it is told to, and remembers of what it was told."""

    def __init__(self, fails_at: type[Event] | None = None, *, failure: Exception | None = None, ends: bool = True) -> None:
        self._fails_at = fails_at
        self._failure = failure or RuntimeError("with a key in it: sk-1234567890abcdef")
        self._ends = ends
        self.events: list[Event] = []
        self.turn: Turn | None = None

    def handle(self, event: Event) -> None:
        """Remember it."""
        self.events.append(event)
        if self._fails_at is not None and isinstance(event, self._fails_at):
            raise self._failure

    def end(self, turn: Turn) -> None:
        """Remember it."""
        self.turn = turn
        if not self._ends:
            raise self._failure


REQUEST = ChatRequest("m", (Message("user", "hi"),))
#: Every moment at which an observer may fail: the first event, a text, the last event, the end of the turn.
FAULTS = [
    pytest.param({"fails_at": Sent}, id="Sent"),
    pytest.param({"fails_at": TextDelta}, id="TextDelta"),
    pytest.param({"fails_at": Finished}, id="Finished"),
    pytest.param({"ends": False}, id="end"),
    pytest.param({"fails_at": TextDelta, "ends": False}, id="TextDelta and end"),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_record_that_fails_is_a_notice_and_everyone_else_is_told(fault: dict[str, Any]) -> None:
    before, faulty, after = Observer(), Observer(**fault), Observer()
    notices: list[str] = []
    observers = [IsolatedObserver("the log", before), IsolatedObserver("the history", faulty), after]
    turn = run_turn(REQUEST, Whole(), observers, retries=0, notice=notices.append)
    assert (turn.outcome, turn.text) == (Outcome.COMPLETE, "one two")
    assert before.turn is faulty.turn is after.turn is turn
    assert before.events == after.events
    assert notices == ["the history may lack this turn: RuntimeError"]


def test_a_failure_of_the_system_is_told_in_its_own_words() -> None:
    notices: list[str] = []
    faulty = IsolatedObserver("the log", Observer(ends=False, failure=OSError(28, "No space left on device")))
    run_turn(REQUEST, Whole(), [faulty], retries=0, notice=notices.append)
    assert notices == ["the log may lack this turn: No space left on device"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_renderer_that_fails_is_an_error_and_everyone_else_is_told(fault: dict[str, Any]) -> None:
    before, faulty, after = Observer(), Observer(**fault), Observer()
    notices: list[str] = []
    error: ChatError | None
    try:
        error = run_turn(
            REQUEST, Whole(), [IsolatedObserver("it", before), faulty, after], retries=0, notice=notices.append
        ).error
    except ChatError as raised:
        error = raised
    assert error is not None
    assert (error.message, error.exit_status) == ("unexpected: RuntimeError", 1)
    assert before.turn is faulty.turn is after.turn is not None
    assert notices == []


@pytest.mark.parametrize("fault", FAULTS)
def test_an_output_that_is_closed_ends_the_turn_and_everyone_is_told(fault: dict[str, Any]) -> None:
    before, faulty, after = Observer(), Observer(failure=OutputClosed(), **fault), Observer()
    with pytest.raises(OutputClosed):
        run_turn(REQUEST, Whole(), [before, faulty, after], retries=0)
    assert before.turn is faulty.turn is after.turn is not None


def test_from_outside_a_log_that_fails_costs_no_answer(world: World, ask: Ask, server: Server) -> None:
    """The program with a fault in its log, as a defect or a full disk would be."""
    (world.folder / "fault").mkdir()
    (world.folder / "fault" / "sitecustomize.py").write_text(
        "from streaming_chat.observers.session_log import SessionLog\n"
        "def end(self, turn): raise RuntimeError('a defect')\n"
        "SessionLog.end = end\n"
    )
    server.play(answer(["all of it"]))
    done = ask("hi", "--log-dir", "log", "--export-dir", "export", "--export-format", "json", env={"PYTHONPATH": "fault"})
    assert (done.returncode, done.stdout) == (0, b"all of it\n")
    lines = done.stderr.decode().splitlines()
    assert lines[-1] == "notice: the log may lack this turn: RuntimeError"
    assert lines[-2].startswith("(first token: ")
    (transcript,) = (world.folder / "export").iterdir()
    assert "all of it" in transcript.read_text()
    with closing(History(world.state / "history.db", pytest.fail)) as history:
        (turn,) = history.turns()
    assert turn.outcome is Outcome.COMPLETE
