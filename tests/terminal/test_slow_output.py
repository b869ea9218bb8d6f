"""A terminal or a pipe that nobody reads for a while: the server is read all the same, and nothing is lost."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from conftest import KEY, World
from server import Close, Gate, Hang, Send, Server, Step, answer, chunk, frame, sse

#: More than all buffers on the way hold.
PIECES = [f"{number:05d}" + "x" * 9994 + "\n" for number in range(1600)]


def started(
    world: World, server: Server, output: int, *flags: str, errors: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """The program, asking `server`, with `output` as its standard output."""
    return subprocess.Popen(
        [sys.executable, "-m", "streaming_chat", *(flags or ["--raw"]), "--base-url", server.base_url, "hi"],
        env={**world.environment, "OPENAI_API_KEY": KEY, "TERM": "xterm"},
        cwd=world.folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
    )


def thought(pieces: list[str]) -> list[Step]:
    """An answer that is reasoning but for its last word."""
    parts = [Send(frame(sse(chunk(delta={"reasoning_content": piece})))) for piece in pieces]
    head, *rest = answer(["done"])
    return [head, *parts, *rest]


def wait_until_all_is_read(server: Server, program: int) -> None:
    """Wait until the program has read all that `server` has sent, and waits for something else."""
    peer = f"0100007F:{server.port:04X}"

    def is_done() -> bool:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        # Of its end: what has not been read. Of the server's: what has not been confirmed.
        waiting = [row[4] for row in rows if peer in (row[1], row[2]) and row[4] != "00000000:00000000"]
        try:
            threads = [status.read_text() for status in Path(f"/proc/{program}/task").glob("*/stat")]
        except OSError:
            return False  # A thread has just ended.
        return not waiting and {thread.rpartition(")")[2].split()[0] for thread in threads} <= {"S", "Z"}

    deadline = time.monotonic() + 60
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("kind", ["--json", "reasoning"])
def test_the_server_does_not_wait_for_a_slow_output_of_another_kind(world: World, kind: str) -> None:
    reader, writer = os.openpty() if kind == "reasoning" else os.pipe()
    with Server(thought(PIECES) if kind == "reasoning" else answer(PIECES)) as server:
        flags, errors = ([], writer) if kind == "reasoning" else (["--json"], subprocess.DEVNULL)
        program = started(world, server, writer, *flags, errors=errors)
        os.close(writer)
        server.wait_until(lambda: server.exchanges and server.exchanges[0].finished_at, timeout=60)
        program.kill()
        program.communicate()
        os.close(reader)


@pytest.mark.parametrize("device", ["terminal", "pipe"])
def test_the_server_does_not_wait_for_a_slow_output(world: World, device: str) -> None:
    reader, writer = os.openpty() if device == "terminal" else os.pipe()
    with Server(answer(PIECES)) as server:
        program = started(world, server, writer)
        os.close(writer)
        server.wait_until(lambda: server.exchanges and server.exchanges[0].finished_at, timeout=60)
        wait_until_all_is_read(server, program.pid)
        time.sleep(1)  # The reader stays away for longer than a request is on its way, which the total has in it.
        began = time.perf_counter()
        shown: list[bytes] = []

        def read() -> None:
            try:
                while more := os.read(reader, 1 << 20):
                    shown.append(more)
            except OSError:
                pass  # The end of a terminal.

        reading = threading.Thread(target=read)
        reading.start()
        told = program.communicate(timeout=60)[1].decode()
        assert program.returncode == 0
        reading.join()
        os.close(reader)
    total = float(re.search(r"total: ([0-9.]+)s", told)[1])
    assert total < began - server.exchanges[0].request.at
    text = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", b"".join(shown))
    assert re.findall(rb"(?<!x)[0-9]{5}(?=x)", text) == [piece[:5].encode() for piece in PIECES]
    assert text.count(b"x") == 9994 * len(PIECES)


def test_what_was_waiting_is_gone_when_the_reader_is(world: World) -> None:
    reader, writer = os.pipe()
    with Server(answer(PIECES)) as server:
        program = started(world, server, writer)
        os.close(writer)
        assert select.select([reader], [], [], 60)[0]
        os.close(reader)
        told = program.communicate(timeout=60)[1]
    assert program.returncode == 141
    assert b"Traceback" not in told


def test_a_file_is_written_from_its_beginning_to_its_end(world: World) -> None:
    path = world.folder / "answer.txt"
    with Server(answer(PIECES[:20])) as server, path.open("wb") as file:
        program = started(world, server, file.fileno())
        program.communicate(timeout=60)
    assert path.read_text() == "".join(PIECES[:20])


@pytest.mark.parametrize("end", [[], [Close()]], ids=["[DONE]", "hang-up"])
def test_ctrl_c_while_the_rest_of_an_answer_waits_is_told(world: World, end: list[Step]) -> None:
    reader, writer = os.pipe()
    with Server([*answer(PIECES[:100], done=False)[:-1], *end] if end else answer(PIECES[:100])) as server:
        program = started(world, server, writer)
        os.close(writer)
        server.wait_until(lambda: server.exchanges and server.exchanges[0].finished_at, timeout=60)
        wait_until_all_is_read(server, program.pid)
        program.send_signal(signal.SIGINT)
        told = program.communicate(timeout=60)[1]
        with os.fdopen(reader, "rb") as output:
            shown = output.read()
    assert program.returncode == 130
    assert b"interrupted: the text above is not the whole answer" in told
    assert len(shown) < sum(map(len, PIECES[:100]))


@pytest.mark.parametrize("device", ["terminal", "pipe"])
@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_reader_that_has_stopped_does_not_keep_the_program_from_ending(
    world: World, device: str, is_whole: bool, number: int, status: int
) -> None:
    reader, writer = os.openpty() if device == "terminal" else os.pipe()
    script = answer(PIECES[:100]) if is_whole else [*answer(PIECES[:100], finish_reason=None, done=False)[:-1], Hang()]
    with Server(script) as server:
        program = started(world, server, writer)
        os.close(writer)
        server.wait_until(lambda: server.exchanges, timeout=60)
        # Not by `wait_until`, which nobody wakes for a Send.
        deadline = time.monotonic() + 60
        while len(server.exchanges[0].sent) < 100:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        wait_until_all_is_read(server, program.pid)
        program.send_signal(number)
        told = program.communicate(timeout=60)[1]
        os.close(reader)
    assert program.returncode == status
    assert b"the text above is not the whole answer" in told
    assert b"Traceback" not in told


def test_a_chat_whose_terminal_takes_nothing_ends_when_it_is_asked_to(world: World) -> None:
    stopped = threading.Event()
    script = answer([f"w{number:04d} " for number in range(3000)])
    script.insert(50, Gate(stopped))
    with Server(script) as server:
        screen = world.screen("--base-url", server.base_url, "--no-history")
        screen.wait_for("You:")
        screen.line("hi")
        screen.wait_for("w0020")
        screen.stop_output()
        stopped.set()
        server.wait_until(lambda: server.exchanges[0].finished_at)
        wait_until_all_is_read(server, screen.pid)
        os.kill(screen.pid, signal.SIGTERM)
        deadline = time.monotonic() + 60
        while (status := Path(f"/proc/{screen.pid}/stat")).exists() and status.read_text().rpartition(")")[2].split()[
            0
        ] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        screen.resume_output()
        assert screen.wait_for_exit() == 143
        assert not re.search("w2999", screen.text)


#: Writes numbers, each in an answer of its own that a Ctrl-C ends.
INTERRUPTED = """
import sys, time
from streaming_chat.terminal.signals import no_interrupt, one_interrupt
from streaming_chat.terminal.output import Output
with no_interrupt():
    output = Output.of("stdout", color=False)
    for number in range(1000):
        try:
            with one_interrupt(), output.patient():
                output.write(f"{number};")
                while True:
                    time.sleep(0.01)
        except KeyboardInterrupt:
            pass
"""


def test_what_was_written_when_a_ctrl_c_came_is_not_written_again() -> None:
    reader, writer = os.pipe()
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=writer) as program:
        os.close(writer)
        shown = b""
        while more := os.read(reader, 100):
            shown += more
            program.send_signal(signal.SIGINT)
        os.close(reader)
    assert shown == b"".join(b"%d;" % number for number in range(1000))
    assert program.returncode == 0
