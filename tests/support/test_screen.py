import re
import sys
import termios
import textwrap
import threading
import time
from pathlib import Path

import pytest

from noise import despite_noise
from screen import Screen, Terminal


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-u", "-c", textwrap.dedent(code)]


def drawn(*pieces: str, columns: int = 10, lines: int = 3) -> Terminal:
    terminal = Terminal(columns, lines)
    for piece in pieces:
        terminal.feed(piece.encode())
    return terminal


def test_typed_text_is_echoed_and_read():
    with Screen(["cat"]) as screen:
        screen.line("hello")
        found = screen.wait_for("hello")
        screen.wait_for("hello", after=found)
        assert screen.text == "hello\nhello"
        screen.key("ctrl-d")
        assert screen.wait_for_exit() == 0


def test_output_and_status_of_a_short_program_are_complete():
    for _ in range(20):
        with Screen(["bash", "-c", "seq 1 100; exit 3"]) as screen:
            assert screen.wait_for_exit() == 3
            assert screen.text.split() == [str(number) for number in range(1, 101)]


@pytest.mark.parametrize(("key", "status"), [("ctrl-c", -2), ("ctrl-\\", -3)])
def test_ctrl_c_reaches_the_program_as_a_signal(key, status):
    with Screen(["sleep", "60"]) as screen:
        screen.key(key)
        assert screen.wait_for_exit() == status


def test_a_program_may_catch_ctrl_c():
    code = """
        import time
        try:
            print("ready")
            time.sleep(60)  # ended by the Ctrl-C that the test sends
        except KeyboardInterrupt:
            raise SystemExit(130)
    """
    with Screen(python(code)) as screen:
        screen.wait_for("ready")
        screen.key("ctrl-c")
        assert screen.wait_for_exit() == 130


def test_a_program_that_cannot_be_started_has_the_status_of_a_shell():
    with Screen(["no-such-program"]) as screen:
        assert screen.wait_for_exit() == 127
        assert screen.text == "no-such-program: No such file or directory"


def test_environment_folder_and_size_are_those_asked_for(tmp_path):
    command = 'stty size; echo "$TERM $WORD ${LINES-none} ${HOME-none}"; pwd -P'
    with Screen(["/bin/sh", "-c", command], env={"WORD": "hi"}, cwd=tmp_path, columns=200, lines=50) as screen:
        assert screen.wait_for_exit() == 0
        assert screen.text == f"50 200\nxterm-256color hi none none\n{tmp_path.resolve()}"
    with pytest.raises(FileNotFoundError):
        Screen(["true"], cwd=tmp_path / "nowhere")


def test_the_program_owns_the_terminal():
    code = """
        import os
        print(os.getpgrp() == os.getpid() == os.tcgetpgrp(0), os.open("/dev/tty", os.O_RDWR))
        print(len(os.listdir("/proc/self/fd")))
    """
    with Screen(python(code)) as screen:
        assert screen.wait_for_exit() == 0
        assert screen.text == "True 3\n5"  # 0, 1, 2, /dev/tty and the folder itself: nothing of the keeper's.


def test_colours_can_be_read():
    with Screen(["printf", r"\033[1;31mred\033[0m plain \033[3;9mgone\033[0m"]) as screen:
        assert screen.wait_for_exit() == 0
        assert (screen.attributes_at(0, 0).fg, screen.attributes_at(0, 0).bold) == ("red", True)
        assert (screen.attributes_of("plain").fg, screen.attributes_of("plain").bold) == ("default", False)
        assert (screen.attributes_of("gone").italics, screen.attributes_of("one").strikethrough) == (True, True)
        with pytest.raises(AssertionError, match="not on the screen"):
            screen.attributes_of("blue")


def test_a_paste_is_bracketed_when_the_program_asks_for_it():
    code = """
        import sys, tty
        tty.setraw(0)
        for switch in ("\\x1b[?2004h", "\\x1b[?2004l"):
            sys.stdout.write(switch + "ready\\r\\n")
            text = ""
            while not text.endswith(("z", "z\\x1b[201~")):
                text += sys.stdin.read(1)
                if text == "\\x1b[200~a\\rb\\rz":
                    text += sys.stdin.read(6)
            sys.stdout.write(repr(text) + "\\r\\n")
    """
    with Screen(python(code)) as screen:
        ready = screen.wait_for("ready")
        screen.paste("a\nb\r\nz")
        screen.wait_for(r"'\x1b[200~a\rb\rz\x1b[201~'")
        screen.wait_for("ready", after=ready)
        screen.paste("a\nz")
        screen.wait_for(r"'a\rz'")


def test_a_large_paste_does_not_block_the_test():
    with Screen(["sleep", "600"]) as screen:
        screen.paste("x" * 1_000_000)
        with pytest.raises(AssertionError, match="still running"):
            screen.wait_for_exit(timeout=0.05)


@pytest.mark.parametrize(
    ("key", "sent"),
    [("up", "\x1b[A"), ("tab", "\t"), ("alt-enter", "\x1b\r"), ("alt-b", "\x1bb"), ("ctrl-r", "\x12"), ("ctrl-c", "\x03")],
)
def test_keys_send_what_a_terminal_sends(key, sent):
    code = "import os, tty; tty.setraw(0); print('ready', end=''); print(repr(os.read(0, 9).decode()))"
    with Screen(python(code)) as screen:
        screen.wait_for("ready")
        screen.key(key)
        screen.wait_for(repr(sent))


def test_the_cursor_position_is_answered():
    code = """
        import sys, tty
        tty.setraw(0)
        sys.stdout.write("12345\\x1b[6n")
        answer = ""
        while not answer.endswith("R"):
            answer += sys.stdin.read(1)
        sys.stdout.write(repr(answer))
    """
    with Screen(python(code)) as screen:
        screen.wait_for(r"12345'\x1b[1;6R'")
        assert screen.cursor == (0, 16)


def test_a_resize_reaches_the_program_and_the_screen():
    code = """
        import os, signal
        signal.signal(signal.SIGWINCH, lambda *_: print("now", *os.get_terminal_size(0)))
        print("ready")
        while True:
            signal.pause()
    """
    with Screen(python(code)) as screen:
        screen.wait_for("ready")
        screen.resize(40, 10)
        screen.wait_for("now 40 10")
        assert len(screen.display) == 10


def test_a_smaller_screen_keeps_the_cursor_and_pushes_rows_into_the_scrollback():
    terminal = drawn("one\r\ntwo\r\nthree")
    terminal.resize(lines=2, columns=4)
    assert terminal.rows_text() == ["one", "two", "thre"]
    assert (len(terminal.scrollback), terminal.cursor.y, terminal.cursor.x) == (1, 1, 3)
    terminal.resize(lines=5, columns=40)
    terminal.feed(b"\r\nfour")
    assert terminal.rows_text() == ["one", "two", "thre", "four", "", ""]


def test_scrollback_is_kept():
    with Screen(["bash", "-c", "seq 1 5000; read -r"], lines=5) as screen:
        screen.wait_for(re.compile(r"^5000$", re.MULTILINE))
        assert screen.text.split() == [str(number) for number in range(1, 5001)]
        assert screen.display == ["4997", "4998", "4999", "5000", ""]
        assert screen.attributes_at(-1, 3).data == "6"


def test_the_time_at_which_a_text_was_first_seen_is_known():
    code = """
        import sys, time, tty
        tty.setraw(0)
        for word in ("one", "two", "gone"):
            print(word, time.perf_counter(), end="; ", flush=True)
            sys.stdin.read(1)
        print("\\r\\x1b[Kend")
    """
    with Screen(python(code)) as screen:
        seen = []
        for word in ("one", "two", "gone"):
            screen.wait_for(re.compile(rf"\b{word} [\d.]+;"))
            seen.append(time.perf_counter())
            screen.send(".")
        assert screen.wait_for_exit() == 0
        assert screen.text == "end"
        for word, at in zip(("one", "two", "gone"), seen, strict=True):
            written = float(re.search(rf"\b{word} ([\d.]+)".encode(), screen.raw)[1])
            assert written < screen.first_seen(word) < at
        assert screen.first_seen("end") in [at for at, _ in screen.reads]
        with pytest.raises(AssertionError, match="never on the screen"):
            screen.first_seen("three")


def test_reads_are_recorded_soon_after_the_writes():
    code = """
        import time
        for _ in range(9):
            time.sleep(0.01)
            print(time.perf_counter())
    """

    def check() -> None:
        with Screen(python(code)) as screen:
            assert screen.wait_for_exit() == 0
            delays = sorted(at - float(written) for at, data in screen.reads for written in data.split())
        shortest.append(delays[0])
        assert delays[2] < 0.005

    shortest: list[float] = []
    despite_noise(check)
    assert min(shortest) > 0


def test_waiting_in_vain_draws_the_screen():
    with Screen(["bash", "-c", "echo what there is; read -r; exit 4"]) as screen:
        screen.wait_for("what there is")
        with pytest.raises(AssertionError, match=r"(?s)'what there is not' in vain.*\|what there is\n.*running"):
            screen.wait_for("what there is not", timeout=0.05)
        screen.line("")
        started = time.perf_counter()
        with pytest.raises(AssertionError, match="ended with 4"):
            screen.wait_for("what there is not")
        assert time.perf_counter() - started < 60  # Its own limit.
        with pytest.raises(ValueError, match="ends in a space"):
            screen.wait_for("You: ")


def test_waiting_for_the_end_in_vain_fails():
    with Screen(["sleep", "60"]) as screen, pytest.raises(AssertionError, match="still running"):
        screen.wait_for_exit(timeout=0.05)


def test_the_terminals_modes_can_be_compared_after_the_end():
    with Screen(["true"]) as screen:
        assert screen.wait_for_exit() == 0
        assert screen.tty_attributes() == screen.tty_attributes_at_start
    with Screen(["stty", "-echo"]) as screen:
        assert screen.wait_for_exit() == 0
        assert screen.tty_attributes() != screen.tty_attributes_at_start
    assert not screen.tty_attributes()[3] & termios.ECHO


def test_closing_kills_the_whole_process_group_and_leaves_no_thread():
    before = set(threading.enumerate())
    with Screen(["bash", "-c", "trap '' HUP INT TERM; sleep 600 & echo child $!.; wait"]) as screen:
        child = int(screen.wait_for(re.compile(r"child (\d+)\."))[1])
    assert set(threading.enumerate()) == before
    # Whoever inherited the child reaps it in its own time: until then it is a zombie, which is as good.
    stat = Path(f"/proc/{child}/stat")
    started = time.perf_counter()
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.perf_counter() - started < 60
        time.sleep(0.002)
    screen.close()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a\u200db\ufe0fc", ["a\u200db\ufe0fc"]),
        ("e\u0301雪\u0301!", ["é雪\u0301!"]),
        ("123456789雪x", ["123456789", "雪x"]),
        ("1234567890\r\x1b[K", []),
        ("1234567890x", ["1234567890", "x"]),
        ("\x1b[?4mx\x1b[38;5;9my", ["xy"]),
        ("a\r\nb\r\nc\r\nd\x1b[3J", ["b", "c", "d"]),
    ],
)
def test_the_screen_draws_as_terminals_do_however_the_bytes_are_cut(text, rows):
    whole, cut = drawn(text), Terminal(10, 3)
    for byte in text.encode():
        cut.feed(bytes([byte]))
    assert [row for row in whole.rows_text() if row] == [row for row in cut.rows_text() if row] == rows


def test_the_cursor_report_stays_inside_the_screen():
    assert drawn("1234567890\x1b[6n").replies == ["\x1b[1;10R"]
