"""`--log-dir`: what is written, when, and for whom."""

from __future__ import annotations

import re
import stat
import threading
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import KEY
from screen import Screen
from server import Gate, answer, http_error
from streaming_chat.core.errors import UsageError
from streaming_chat.observers.session_log import SessionLog, _escaped

PROMPT = re.compile(r"^You:\Z", re.MULTILINE)
NAME = re.compile(r"project02-streaming-\d{8}-\d{6}\.log")
ENTRY = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\] (USER|ASSISTANT|LATENCY|COMMAND|ERROR): (.*)")


def say(screen: Screen, line: str) -> None:
    start = len(screen.text)
    screen.line(line)
    screen.wait_for(PROMPT, after=screen.wait_for(re.compile(r"\n"), after=start))


def entries(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [ENTRY.fullmatch(line) for line in lines if not line.startswith("# ")]
    assert all(found), lines
    return [(one[1], one[2]) for one in found if one]


def unescaped(text: str) -> str:
    return re.sub(
        r"\\(?:([\\nrt])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))",
        lambda found: (
            {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}[found[1]]
            if found[1]
            else chr(int(found[2] or found[3] or found[4], 16))
        ),
        text,
    )


def test_a_session_is_logged_line_by_line(chat, world, server):
    go = threading.Event()
    held = answer(["late"])
    held.insert(2, Gate(go))
    server.play(
        answer(["Hello\n", "wörld\t\\n \x1b[1m"]),
        http_error(400, {"error": {"message": f"no, {KEY} is\nbad"}}),
        answer(["cut"], finish_reason="length"),
        held,
    )
    before = datetime.now().replace(microsecond=0)
    screen = chat("--log-dir", "logs", "--temperature", "0.7", "--system", "Be\nbrief.", columns=200, lines=50)
    (path,) = (world.folder / "logs").iterdir()
    assert NAME.fullmatch(path.name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    header = path.read_text(encoding="utf-8").splitlines()
    assert header[:4] == [
        "# model: gpt-4o-mini",
        f"# endpoint: {server.base_url}",
        "# temperature: 0.7",
        "# system: Be\\nbrief.",
    ]
    started = datetime.fromisoformat(header[4].removeprefix("# start: "))
    assert before <= started <= datetime.now()
    assert path.name == started.strftime("project02-streaming-%Y%m%d-%H%M%S.log")

    say(screen, f"one\\\rmy key is {KEY}")
    say(screen, "/config")
    assert str(Path("logs") / path.name) in screen.text
    say(screen, "/nonsense")
    say(screen, "fail")
    say(screen, "cut")
    # Everything so far is in the file while the program runs, the question that waits for its answer too.
    screen.line("wait")
    server.wait_for_requests(4)
    latency = r"\(first token: (\d+\.\d{3}s|none) · total: \d+\.\d{3}s\)"
    expected = [
        ("USER", r"one\\nmy key is …cdef"),
        ("ASSISTANT", re.escape(r"Hello\nwörld\t\\n \x1b[1m")),
        ("LATENCY", latency),
        ("COMMAND", "/config"),
        ("COMMAND", "/nonsense"),
        ("ERROR", "there is no command /nonsense"),
        ("USER", "fail"),
        ("ASSISTANT", ""),
        ("ERROR", ".*no, .* is.*bad.*"),
        ("LATENCY", latency),
        ("USER", "cut"),
        ("ASSISTANT", "cut"),
        ("ERROR", ".*length.*"),
        ("LATENCY", latency),
        ("USER", "wait"),
    ]
    found = entries(path)
    assert [kind for kind, _ in found] == [kind for kind, _ in expected]
    for (_, text), (_, pattern) in zip(found, expected, strict=True):
        assert re.fullmatch(pattern, text), (text, pattern)
    go.set()
    screen.wait_for(PROMPT, after=screen.wait_for("late"))
    screen.line("/exit")
    assert screen.wait_for_exit() == 0
    assert [kind for kind, _ in entries(path)[-4:]] == ["USER", "ASSISTANT", "LATENCY", "COMMAND"]
    assert KEY not in path.read_text(encoding="utf-8")


def test_no_log_unless_asked(chat, world):
    screen = chat(lines=50)
    say(screen, "hi")
    say(screen, "/config")
    assert re.search(r"^log +none$", screen.text, re.MULTILINE)
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert list(world.folder.iterdir()) == []
    assert not list(world.folder.parent.rglob("*.log"))


def test_one_shot_is_logged_too(ask, world):
    done = ask("hi", "--log-dir", "a/b")
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1), done.stderr
    (path,) = (world.folder / "a" / "b").iterdir()
    assert [kind for kind, _ in entries(path)] == ["USER", "ASSISTANT", "LATENCY"]


def test_a_folder_that_cannot_be_written_is_an_error(ask, world, server):
    (world.folder / "file").touch()
    for folder in ("file", "file/below", "/proc/logs"):
        done = ask("hi", "--log-dir", folder)
        assert done.returncode == 2
        assert done.stdout == b""
        assert re.fullmatch(rf"error: no log can be written into {folder}: .+\nhint: .+\n", done.stderr.decode())
    assert not server.requests


def log(folder: Path, **more: object) -> SessionLog:
    at = datetime(2025, 12, 10, 17, 34, 32)
    arguments = {"header": {}, "secret": None, "notice": pytest.fail, "now": lambda: at, **more}
    return SessionLog(folder, **arguments)


def test_sessions_of_the_same_second_have_files_of_their_own(tmp_path):
    logs = [log(tmp_path) for _ in range(3)]
    for number, one in enumerate(logs):
        one.user(str(number))
        one.close()
    name = "project02-streaming-20251210-173432"
    assert [one.path.name for one in logs] == [f"{name}.log", f"{name}-2.log", f"{name}-3.log"]
    assert [entries(one.path) for one in logs] == [[("USER", "0")], [("USER", "1")], [("USER", "2")]]
    assert logs[0].path.read_text() == "# start: 2025-12-10T17:34:32\n[2025-12-10T17:34:32] USER: 0\n"


def test_a_key_with_a_backslash_is_not_written_either(tmp_path):
    one = log(tmp_path, secret="sk\\n-0123", header={"system": "sk\\n-0123"})
    one.error("bad key sk\\n-0123")
    one.close()
    assert one.path.read_text().splitlines()[0] == "# system: …0123"
    assert entries(one.path) == [("ERROR", "bad key …0123")]


def test_a_full_disk_ends_the_log_and_nothing_else(tmp_path, monkeypatch):
    notices: list[str] = []
    one = log(tmp_path, notice=notices.append)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    one.user("first")
    one.user("second")
    one.close()
    assert notices == [f"the log {one.path} ends here: No space left on device"]


def test_a_folder_that_is_a_file_is_a_usage_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="no log can be written into"):
        log(tmp_path / "file")


@given(st.text(st.one_of(st.characters(), st.sampled_from("\\nrtxuU0\n\r\t\x1b\x85\u2028\ud800"))))
def test_every_entry_is_one_line_and_can_be_read_back(text):
    escaped = _escaped(text)
    assert len(escaped.splitlines()) <= 1
    assert escaped.isprintable()
    assert unescaped(escaped) == text
