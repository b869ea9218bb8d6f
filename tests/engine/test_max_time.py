"""`--max-time`: the turn is over by then, whatever the server sends or does not send, and the text so far is kept."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest

from conftest import KEY, World
from screen import Screen
from server import Hang, Request, Send, Server, Step, Wait, answer, chunk, frame, head, http_error, sse
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import TimedOut
from streaming_chat.core.events import Event, Outcome
from streaming_chat.core.turn import Turn
from streaming_chat.engine import deadline
from streaming_chat.engine.loop import run_turn
from streaming_chat.engine.protocols import TurnObserver
from streaming_chat.history import History
from streaming_chat.providers.openai_sdk import OpenAISDK

Ask = Callable[..., subprocess.CompletedProcess[bytes]]
Script = Callable[[Request], Iterator[Step]]

#: Seconds: far less than the pauses below, and than the time that a test may take.
ALLOWED = "1.5"
BEGUN = sse(chunk(role="assistant")) + sse(chunk("so far"))


def for_ever(*pieces: bytes, before: Sequence[Step] = (), pause: float = 0.0) -> Script:
    """The steps `before`, then `pieces` again and again until the client leaves."""

    def script(_request: Request) -> Iterator[Step]:
        yield from before
        while True:
            for piece in pieces:
                yield Send(piece)
                if pause:
                    yield Wait(pause)

    return script


def stream(*pieces: bytes, pause: float = 0.0, start: bytes = BEGUN) -> Script:
    """A response whose body goes on for ever."""
    return for_ever(*map(frame, pieces), before=[Send(head()), Send(frame(start))], pause=pause)


def told(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one error."""
    lines = done.stderr.decode().splitlines()
    assert not [line for line in lines if "Traceback" in line]
    assert [line for line in lines if line.startswith("hint: ")] == [
        "hint: ask again, or allow more with --max-time SECONDS"
    ]
    (error,) = [line for line in lines if line.startswith("error: ")]
    return error


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        pytest.param(for_ever(CONTINUE * 50), b"", id="100 Continue"),
        pytest.param(for_ever(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", pause=0.1), b"", id="103 now and then"),
        pytest.param(for_ever(b"x", before=[Send(b"HTTP/1.1 200 OK\r\nX: ")], pause=0.05), b"", id="a head byte by byte"),
        pytest.param([Hang()], b"", id="silence"),
        pytest.param([*answer(["so far"], done=False, finish_reason=None)[:-1], Hang()], b"so far\n", id="silence later"),
        pytest.param(stream(b": ping\n\n" * 500), b"so far\n", id="comments"),
        pytest.param(stream(b": ping\n\n", pause=0.1), b"so far\n", id="a comment now and then"),
        pytest.param(stream(b": ping\n\n", pause=0.1, start=b":\n\n"), b"", id="nothing but comments"),
        pytest.param(stream(b"\n" * 1000), b"so far\n", id="blank lines"),
        pytest.param(stream(sse(chunk("")) * 100), b"so far\n", id="empty chunks"),
        pytest.param(stream(b"data: {}\n\n" * 100), b"so far\n", id="empty objects"),
        pytest.param(stream(b"data: null\n\n", pause=0.1, start=b":\n\n"), b"", id="nulls"),
        pytest.param(stream(b":", pause=0.02), b"so far\n", id="a comment byte by byte"),
    ],
)
def test_the_turn_ends_and_its_text_is_kept(ask: Ask, server: Server, script: Script, text: bytes) -> None:
    server.play(script)
    done = ask("hi", "--max-time", ALLOWED)
    assert (done.returncode, done.stdout) == (6, text), done.stderr
    assert told(done) == f"error: no complete answer within {ALLOWED} s (--max-time)"
    # By the server's own clock, generously: the next limit would be ten minutes away.
    exchange = server.exchanges[0]
    assert server.wait_for_close(exchange) - exchange.request.at < 60


def test_text_that_goes_on_is_marked_as_incomplete_everywhere(world: World, ask: Ask, server: Server) -> None:
    server.play(stream(sse(chunk("x")), pause=0.1))
    done = ask("hi", "--json", "--max-time", ALLOWED)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 6
    assert (events[-1]["event"], events[-1]["outcome"]) == ("end", "error")
    assert events[-1]["error"]["type"] == "TimedOut"
    assert events[-1]["text"] == "".join(event["text"] for event in events if event["event"] == "delta")
    assert events[-1]["text"].startswith("so farx")
    with closing(History(world.state / "history.db", pytest.fail)) as history:
        (turn,) = history.turns()
    assert turn.outcome is Outcome.ERROR


def test_an_answer_that_is_complete_by_then_is_one(ask: Ask, server: Server) -> None:
    """A server that says that this is all, and then keeps the connection busy."""
    server.play(stream(b": ping\n\n", pause=0.05, start=BEGUN + sse(chunk(finish_reason="stop"))))
    done = ask("hi", "--max-time", ALLOWED)
    assert (done.returncode, done.stdout) == (0, b"so far\n"), done.stderr


@pytest.mark.parametrize("wait", [{"retry-after": "30"}, {}], ids=["as the server wishes", "ours"])
def test_no_retry_begins_after_the_end(ask: Ask, server: Server, wait: dict[str, str]) -> None:
    server.play(http_error(503, {"error": {"message": "overloaded"}}, wait))
    done = ask("hi", "--max-time", ALLOWED, "--retries", "50")
    assert done.returncode == 6
    assert told(done).endswith("says 503: overloaded")
    assert len(server.chats) < 5


def test_attempts_share_the_time(ask: Ask, server: Server) -> None:
    server.play(http_error(503, {}, {"retry-after-ms": "10"}), [Hang()])
    done = ask("hi", "--max-time", ALLOWED)
    assert done.returncode == 6
    assert len(server.chats) == 2


def test_a_connection_that_is_not_made_in_time(world: World) -> None:
    """Nobody accepts, and the queue is full: the system answers no further connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        full = [socket.socket() for _ in range(4)]
        for one in full:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        done = world.run("hi", "--max-time", "0.5", "--base-url", f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        for one in full:
            one.close()
    assert done.returncode == 6
    told(done)


def test_a_handshake_without_an_answer(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = world.run("hi", "--max-time", "0.5", "--base-url", f"https://127.0.0.1:{listener.getsockname()[1]}/v1")
    assert done.returncode == 6
    told(done)


def test_a_name_that_is_looked_up_for_ever(world: World) -> None:
    (world.folder / "slow").mkdir()
    (world.folder / "slow" / "sitecustomize.py").write_text(
        "import socket, time\nsocket.getaddrinfo = lambda *_, **__: time.sleep(60)\n"
    )
    done = world.run("hi", "--max-time", "0.5", "--base-url", "http://somewhere.test/v1", env={"PYTHONPATH": "slow"})
    assert done.returncode == 6
    told(done)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    ("script", "text"),
    [
        pytest.param(for_ever(CONTINUE * 50), b"", id="100 Continue"),
        pytest.param(stream(b": ping\n\n", pause=0.1), b"so far\n", id="comments"),
        pytest.param([Hang()], b"", id="silence"),
    ],
)
def test_through_a_proxy(world: World, server: Server, script: Script, text: bytes, variable: str) -> None:
    server.play(script)
    environment = {variable: server.base_url.removesuffix("/v1"), "OPENAI_API_KEY": KEY}
    done = world.run("hi", "--insecure-http", "--base-url", "http://model.test/v1", "--max-time", ALLOWED, env=environment)
    assert (done.returncode, done.stdout) == (6, text), done.stderr
    told(done)


def test_the_list_of_models(world: World) -> None:
    with Server(models_script=[Hang()]) as server:
        done = world.run("models", "--max-time", "0.5", env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    assert done.returncode == 6
    told(done)


def test_the_next_turn_of_a_chat_has_all_of_its_own_time(chat: Callable[..., Screen], server: Server) -> None:
    server.play(
        [*answer(["one"], done=False, finish_reason=None)[:-1], Hang()],
        [*answer(["two"], done=False, finish_reason=None)[:-1], Wait(3), *answer([" three"], role_first=False)[1:]],
    )
    screen = chat("--raw", "--max-time", "1")
    screen.line("first")
    screen.wait_for("within 1 s (--max-time)")
    screen.line("/set max_time 60")
    screen.line("second")
    screen.wait_for("two three")


def test_ctrl_c_ends_it_before(world: World, server: Server) -> None:
    server.play(for_ever(CONTINUE * 50))
    program = world.start("hi", "--max-time", "600", env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    server.wait_for_requests(1, timeout=60)
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=60)
    assert program.returncode == 130


@pytest.mark.parametrize(
    ("how", "origin"),
    [({"env": {"STREAMING_CHAT_MAX_TIME": "0.5"}}, "environment"), ({"toml": "max_time = 0.5\n"}, "config.toml")],
    ids=["environment", "config.toml"],
)
def test_it_is_a_setting_like_others(world: World, ask: Ask, server: Server, how: dict[str, object], origin: str) -> None:
    if "toml" in how:
        world.configure(str(how["toml"]))
    server.play([Hang()])
    env = how.get("env", {})
    done = ask("hi", env=env)
    assert done.returncode == 6
    told(done)
    assert origin in ask("config", env=env).stdout.decode()


@pytest.mark.parametrize("value", ["0", "-1", "nan", "soon", "1e9"])
def test_it_is_a_number_of_seconds(ask: Ask, value: str) -> None:
    done = ask("hi", f"--max-time={value}")
    assert done.returncode == 2
    assert b"error: max_time must be " in done.stderr


class Witness(TurnObserver):
    """An observer that remembers how it ended."""

    turn: Turn | None = None

    def handle(self, event: Event) -> None:
        """Nothing to do."""

    def end(self, turn: Turn) -> None:
        self.turn = turn


def test_threads_have_ends_of_their_own(server: Server) -> None:
    """One provider, two turns at once: the one that is out of time takes nothing from the other."""
    server.play([*answer(["whole"], done=False, finish_reason=None)[:-1], Wait(2), *answer([], role_first=False)[1:]])
    provider = OpenAISDK(server.base_url, "sk-test-0123456789", 30.0)
    turns: dict[float | None, Turn] = {}

    def ask(max_time: float | None) -> None:
        request = ChatRequest("m", (Message("user", "hi"),))
        turns[max_time] = run_turn(request, provider, [Witness()], retries=0, max_time=max_time)

    threads = [threading.Thread(target=ask, args=(max_time,)) for max_time in (0.5, None)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    provider.close()
    assert isinstance(turns[0.5].error, TimedOut)
    assert (turns[0.5].text, turns[None].text) == ("whole", "whole")
    assert turns[None].outcome is Outcome.COMPLETE
    assert deadline.left() is None


def test_the_embedded_model(world: World) -> None:
    pytest.importorskip("xllamacpp")
    done = world.run("Count to a thousand, in words.", "--local", "--max-time", "0.01", timeout=120)
    assert done.returncode == 6
    told(done)


def test_a_wait_is_never_longer_than_what_is_left() -> None:
    assert (deadline.left(), deadline.capped(None), deadline.capped(3.0)) == (None, None, 3.0)
    with deadline.at_most(60):
        assert deadline.capped(3.0) == 3.0
        assert 59 < (deadline.capped(None) or 0) <= 60
        with deadline.at_most(None):
            assert deadline.left() is None
    with deadline.at_most(1e-9):
        time.sleep(0.001)
        assert deadline.left() == 0
        with pytest.raises(TimedOut, match="within 1e-09 s"):
            deadline.capped(3.0)
    deadline.check()
