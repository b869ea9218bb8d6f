"""What is piped in, `-`, `-n`, and standard streams that cannot be read or are closed, as a shell would leave them."""

from __future__ import annotations

import codecs
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import KEY, World
from screen import Screen
from server import Gate, Server, answer
from shell import PATIENCE, wait_until
from streaming_chat.core.errors import UsageError
from streaming_chat.terminal.standard_input import StandardInput

LOOP = re.compile(r"^while .* done < \S+$", re.MULTILINE)


def in_sh(
    world: World, server: Server, script: str, *, timeout: float = PATIENCE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a script in which `streaming-chat` is the program, asking `server`."""
    return world.run(
        "-c",
        f'streaming_chat() {{ "$python" -m streaming_chat "$@"; }}\n{script.replace("streaming-chat", "streaming_chat")}',
        program=["sh"],
        env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY, "python": sys.executable, **environment},
        timeout=timeout,
    )


def prompts(server: Server) -> list[str]:
    return [request.json["messages"][-1]["content"] for request in server.chats]


# The word - -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "prompt"),
    [
        (["-"], "from\nstdin"),
        (["Summarise:", "-"], "Summarise:\n\nfrom\nstdin"),
        (["-", "in one line"], "from\nstdin\n\nin one line"),
        (["Summarise", "this:", "-", "in", "one line"], "Summarise this:\n\nfrom\nstdin\n\nin one line"),
        (["-", "-"], "from\nstdin"),
        (["-", "and", "-"], "from\nstdin\n\nand"),
        (["--", "-"], "from\nstdin"),
        (["--", "history", "-"], "history\n\nfrom\nstdin"),
        (["-", "history"], "from\nstdin\n\nhistory"),
        (["-q", "-", "-m", "m"], "from\nstdin"),
        (["-m", "-", "hi"], "hi\n\nfrom\nstdin"),
        (["a - b"], "a - b\n\nfrom\nstdin"),
        (["hi"], "hi\n\nfrom\nstdin"),
        ([], "from\nstdin"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_dash_is_standard_input_where_it_stands(ask, server, arguments, prompt):
    done = ask(*arguments, stdin=b"\nfrom\nstdin\n")
    assert (done.returncode, prompts(server)) == (0, [prompt]), done.stderr


@pytest.mark.parametrize("arguments", [["-"], ["Summarise:", "-"], ["-", "-"]])
def test_a_dash_on_a_terminal_is_typed_until_ctrl_d(world: World, server: Server, arguments: list[str]) -> None:
    screen = world.screen(*arguments, env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    screen.wait_for("notice: reading standard input; Ctrl-D ends it", PATIENCE)
    screen.line("typed")
    screen.wait_for("typed", PATIENCE)
    screen.key("ctrl-d")
    assert screen.wait_for_exit(PATIENCE) == 0
    assert prompts(server) == ["\n\n".join([*[word for word in arguments if word != "-"], "typed"])]
    assert screen.tty_attributes() == screen.tty_attributes_at_start


@pytest.mark.parametrize("arguments", [["-n", "-"], ["hi", "-", "--no-stdin"], ["-n", "--", "-"]])
def test_a_dash_and_no_stdin_exclude_each_other(ask, server, arguments):
    done = ask(*arguments, stdin=b"text")
    assert done.returncode == 2
    assert b"--no-stdin" in done.stderr
    assert server.chats == []


@pytest.mark.parametrize("redirection", ["0<&-", "0> /dev/null"])
def test_a_dash_that_cannot_be_read_is_an_error(world: World, server: Server, redirection: str) -> None:
    done = in_sh(world, server, f"streaming-chat Summarise - {redirection}")
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: standard input cannot be read: "), done.stderr
    assert server.chats == []


# -n -------------------------------------------------------------------------------------------------------------------


def test_the_loop_of_the_guide_asks_once_a_line(world: World, server: Server) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    loop = LOOP.search(guide)
    assert loop
    (world.folder / loop[0].rpartition("< ")[2]).write_text("one\ntwo\nthree\n")
    done = in_sh(world, server, loop[0])
    assert (done.returncode, prompts(server)) == (0, ["Define one", "Define two", "Define three"])


@pytest.mark.parametrize("flags", ["-n", "--no-stdin", "-qn", "-nm m"])
def test_no_stdin_reads_nothing(world: World, server: Server, flags: str) -> None:
    (world.folder / "list").write_text("a\nb\n")
    done = in_sh(world, server, f"{{ streaming-chat {flags} hi; cat; }} < list")
    assert done.stdout == b"Hello, world!\na\nb\n"
    assert prompts(server) == ["hi"]


@pytest.mark.parametrize("stdin", [b"text", None])
def test_no_stdin_without_a_prompt_asks_nothing(ask, server, stdin):
    done = ask("-n", stdin=stdin)
    assert done.returncode == 2
    assert b"nothing to ask" in done.stderr
    assert server.chats == []


def test_no_stdin_on_a_terminal_opens_no_chat(world: World, server: Server) -> None:
    screen = world.screen("-n", env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    assert screen.wait_for_exit(PATIENCE) == 2
    assert "nothing to ask" in screen.text


def test_no_stdin_is_of_the_history_too(world: World, server: Server) -> None:
    assert in_sh(world, server, "streaming-chat hi").returncode == 0
    done = in_sh(world, server, "echo '{}' | streaming-chat -n history import -")
    assert done.returncode == 2
    assert b"--no-stdin" in done.stderr


# Input that does not end, or cannot be read ---------------------------------------------------------------------------


def test_input_that_does_not_end_is_told_once(world: World, server: Server) -> None:
    reading, writing = os.pipe()
    program = world.start("hi", stdin=reading, env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    os.close(reading)
    assert program.stderr is not None
    os.write(writing, b"first")
    assert b"reading standard input" in (line := program.stderr.readline())
    assert b"--no-stdin" in line
    os.write(writing, b" second")
    os.close(writing)
    stdout, stderr = program.communicate(timeout=PATIENCE)
    assert (program.returncode, stdout) == (0, b"Hello, world!\n")
    assert b"reading" not in stderr
    assert prompts(server) == ["hi\n\nfirst second"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_it_reads_ends_it(world: World, server: Server, number: signal.Signals, status: int) -> None:
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    program = world.start(stdin=subprocess.PIPE, env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    signal.signal(signal.SIGINT, found)
    assert program.stderr is not None
    assert b"reading standard input" in program.stderr.readline()
    program.send_signal(number)
    assert program.wait(PATIENCE) == status
    assert b"Traceback" not in program.communicate()[1]
    assert server.chats == []


def test_quiet_hides_what_it_waits_for(world: World, server: Server) -> None:
    done = in_sh(world, server, "sleep 4 | streaming-chat -q hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello, world!\n", b"")


@pytest.mark.parametrize("redirection", ["0> /dev/null", "0>> list", "0<&-", "< /dev/null", "0< empty"])
def test_input_that_cannot_be_read_is_none(world: World, server: Server, redirection: str) -> None:
    (world.folder / "empty").touch()
    done = in_sh(world, server, f"streaming-chat hi {redirection}")
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n"), done.stderr
    assert prompts(server) == ["hi"]


def test_nohup_answers(world: World, server: Server) -> None:
    screen: Screen = world.screen(
        program=["sh", "-c", f'nohup "{sys.executable}" -m streaming_chat hi; echo "status $?"; cat nohup.out'],
        env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY},
    )
    screen.wait_for("status 0", PATIENCE)
    assert screen.wait_for_exit(PATIENCE) == 0
    assert "Hello, world!" in screen.text


def test_input_that_does_not_wait_is_waited_for(world: World, server: Server) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    program = world.start("hi", stdin=reading, env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    os.close(reading)
    assert program.stderr is not None
    assert b"reading standard input" in program.stderr.readline()
    os.write(writing, b"late")
    os.close(writing)
    assert program.communicate(timeout=PATIENCE)[0] == b"Hello, world!\n"
    assert prompts(server) == ["hi\n\nlate"]


# What the bytes mean --------------------------------------------------------------------------------------------------

TEXT = "Grüße, 世界 👋\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("arguments", [[], ["hi"], ["-"]])
def test_a_byte_order_mark_says_how_the_input_is_decoded(ask, server, encoding, arguments):
    marks = {
        "utf-16-le": codecs.BOM_UTF16_LE,
        "utf-16-be": codecs.BOM_UTF16_BE,
        "utf-32-le": codecs.BOM_UTF32_LE,
        "utf-32-be": codecs.BOM_UTF32_BE,
    }
    done = ask(*arguments, stdin=marks.get(encoding, b"") + TEXT.encode(encoding))
    assert done.returncode == 0, done.stderr
    assert b"notice" not in done.stderr
    assert prompts(server) == ["\n\n".join([*(word for word in arguments if word != "-"), TEXT.strip()])]


@pytest.mark.parametrize(
    "content",
    [b"a\0b", b"\0", b"text" * 100_000 + b"\0", "text".encode("utf-16-le"), codecs.BOM_UTF16_LE + b"a\0\0\0"],
)
@pytest.mark.parametrize("arguments", [[], ["hi"], ["-"]])
def test_nul_characters_are_refused(ask, server, content, arguments):
    done = ask(*arguments, stdin=content)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: standard input holds NUL characters")
    assert done.stderr.count(b"\n") == 2
    assert server.chats == []


def test_a_device_without_an_end_is_refused(world: World, server: Server) -> None:
    done = in_sh(world, server, "streaming-chat hi < /dev/zero")
    assert done.returncode == 2
    assert b"NUL" in done.stderr


@pytest.mark.parametrize(
    ("content", "prompt", "name"),
    [
        (b"caf\xe9", "caf\ufffd", "UTF-8"),
        (codecs.BOM_UTF16_LE + b"a\0b\0c", "ab\ufffd", "UTF-16"),
        (codecs.BOM_UTF16_BE + b"\0a\xd8\x00\0b", "a\ufffdb", "UTF-16"),
        (codecs.BOM_UTF32_LE + b"a\0\0\0\xff\xff\xff\xff", "a\ufffd", "UTF-32"),
    ],
)
def test_what_is_damaged_is_told(ask, server, content, prompt, name):
    done = ask(stdin=content)
    assert done.returncode == 0
    assert f"notice: the piped input is not {name} throughout" in done.stderr.decode()
    assert prompts(server) == [prompt]


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(
        st.binary(max_size=40),
        st.tuples(
            st.sampled_from([b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE]),
            st.binary(max_size=30),
        ).map(b"".join),
    ),
    st.lists(st.integers(0, 40), max_size=6),
)
def test_where_the_input_is_cut_does_not_matter(content: bytes, cuts: list[int]) -> None:
    def read(pieces: list[bytes]) -> tuple[str, list[str]]:
        told: list[str] = []
        reading, writing = os.pipe()
        kept = os.dup(0) if _is_open(0) else None
        try:
            os.dup2(reading, 0)
            os.close(reading)

            def write() -> None:
                for piece in pieces:
                    if piece:
                        os.write(writing, piece)
                os.close(writing)

            thread = threading.Thread(target=write)
            thread.start()
            try:
                return StandardInput(told.append).piped(), told
            except UsageError as error:
                return error.message, told
            finally:
                thread.join()
        finally:
            if kept is None:
                os.close(0)
            else:
                os.dup2(kept, 0)
                os.close(kept)

    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    pieces = [content[start:end] for start, end in pairwise(places)]
    assert read(pieces) == read([content])


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_a_message_with_a_nul_is_not_sent(chat, server):
    screen = chat(env={"EDITOR": 'sh -c \'printf "a\\\\000b" > "$0"\''})
    screen.line("/edit")
    screen.wait_for("error: the message holds NUL characters", PATIENCE)
    screen.line("hi")
    screen.wait_for("Hello, world!", PATIENCE)
    assert prompts(server) == ["hi"]


# Closed standard streams ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
@pytest.mark.parametrize(
    ("command", "has_output"),
    [
        ("streaming-chat hi", True),
        ("streaming-chat --json hi", True),
        ("streaming-chat history", True),
        ("streaming-chat history --json", True),
        ("streaming-chat history show 1", True),
        ("streaming-chat history search nothing-of-this", False),
        ("streaming-chat history list --model none", False),
        ("streaming-chat history stats", True),
        ("streaming-chat history export 1", True),
        ("streaming-chat history export --model none", False),
        ("streaming-chat history replay 1 --speed 1000", True),
        ("streaming-chat history path", True),
        ("streaming-chat models", True),
        ("streaming-chat config", True),
        ("streaming-chat --help", True),
        ("streaming-chat --version", True),
        ("streaming-chat history --help", True),
        ("streaming-chat history import page.json", True),
    ],
)
def test_a_closed_stream_changes_the_status_only_where_the_output_is_lost(
    world: World, server: Server, closed: str, command: str, has_output: bool
) -> None:
    server.play(answer(["Hello"]))
    assert (
        in_sh(world, server, "streaming-chat hi; streaming-chat history export 1 --format json > page.json").returncode == 0
    )
    done = in_sh(world, server, f"{command} {closed}; echo $? > status")
    status = int((world.folder / "status").read_text())
    assert status == (1 if has_output and "1>&-" in closed else 0), done.stderr
    assert b"Traceback" not in done.stdout + done.stderr
    if status and "2>&-" not in closed:
        assert b"closed" in done.stderr
    with closing(sqlite3.connect(world.state / "history.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not show a process's files")
@pytest.mark.parametrize("closed", ["0<&-", "2>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-"])
def test_no_file_gets_the_number_of_a_closed_stream(world: World, server: Server, closed: str) -> None:
    go = threading.Event()
    script = answer(["one", " two"])
    # Before the first text, which a closed output ends.
    script.insert(1, Gate(go))
    server.play(script)
    running = threading.Thread(
        target=in_sh, args=(world, server, f'echo $$ > pid; exec "$python" -m streaming_chat --log-dir log hi {closed}')
    )
    running.start()
    wait_until(lambda: server.exchanges and len(server.exchanges[0].sent) >= 1)
    pid = int((world.folder / "pid").read_text())
    for number in (0, 1, 2):
        if f"{number}<&-" in closed or f"{number}>&-" in closed:
            assert os.readlink(f"/proc/{pid}/fd/{number}") == "/dev/null"
    go.set()
    running.join()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["--help", "--version", "history --help", "history", "config"])
def test_output_that_cannot_be_written_is_no_success(world: World, server: Server, command: str) -> None:
    assert in_sh(world, server, "streaming-chat hi").returncode == 0
    assert in_sh(world, server, f"streaming-chat {command} > /dev/full").returncode == 1


# No home folder -------------------------------------------------------------------------------------------------------

_NO_PASSWD_ENTRY = """\
import pwd
def getpwuid(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = getpwuid
"""


@pytest.fixture
def homeless(world: World) -> dict[str, str]:
    """The environment of a user id without an entry in the list of users, as in a container."""
    (world.folder / "first").mkdir()
    (world.folder / "first" / "sitecustomize.py").write_text(_NO_PASSWD_ENTRY)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        world.environment.pop(name)
    return {"PYTHONPATH": str(world.folder / "first")}


@pytest.mark.parametrize("packages", ["all", "without platformdirs"])
@pytest.mark.parametrize("home", [None, "a/relative/one"])
def test_without_a_home_folder_it_answers_and_keeps_nothing(
    ask, world: World, homeless: dict[str, str], packages: str, home: str | None
) -> None:
    homeless |= {} if home is None else {"HOME": home}
    if packages != "all":
        (world.folder / "first" / "platformdirs.py").write_text("raise ImportError\n")
    done = ask("hi", env=homeless)
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n"), done.stderr
    assert done.stderr.startswith(b"notice: no history is kept: there is no home folder")
    assert done.stderr.count(b"notice") == 1
    assert b"notice" not in ask("hi", "--no-history", env=homeless).stderr
    assert not (world.folder / "~").exists()

    done = ask("history", env=homeless)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: there is no history: there is no home folder")
    assert ask("--continue", "hi", env=homeless).returncode == 2
    assert ask("config", env=homeless).returncode == 0
    assert ask("models", env=homeless).returncode in (0, 8)
    for folder in ("~/log", "~no-such-user/log"):
        done = ask("--log-dir", folder, "hi", env=homeless)
        if home is None or folder != "~/log":
            assert done.returncode == 2
            assert b"home folder" in done.stderr
    assert ask("hi", env={**homeless, "XDG_STATE_HOME": str(world.folder / "state")}).stderr.count(b"notice") == 0
    assert b"hi" in ask("history", env={**homeless, "XDG_STATE_HOME": str(world.folder / "state")}).stdout


def test_without_a_home_folder_it_chats(chat, homeless: dict[str, str]) -> None:
    screen = chat(env=homeless)
    assert "no home folder" in screen.text
    screen.line("hi")
    screen.wait_for("Hello, world!", PATIENCE)
    screen.key("ctrl-d")
    assert screen.wait_for_exit(PATIENCE) == 0
