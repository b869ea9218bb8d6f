"""`--export-dir`: the transcript of a session, written by itself when the session ends."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from conftest import KEY, World
from screen import Screen
from server import Hang, Send, Server, answer, chunk, frame, sse

Ask = Callable[..., CompletedProcess[bytes]]
Open = Callable[..., Screen]


def written(folder: Path) -> dict[str, str]:
    """Ending → content."""
    files = sorted(folder.iterdir()) if folder.exists() else []
    assert all(re.fullmatch(r"project02-streaming-\d{8}-\d{6}(-\d+)?\.\w+", path.name) for path in files), files
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    return {path.suffix[1:]: path.read_text(encoding="utf-8") for path in files}


def test_an_answer_leaves_markdown(ask: Ask, server: Server, world: World) -> None:
    server.play(answer(["It is ", "**so**."]))
    assert ask("--export-dir", "out", "Why?").returncode == 0
    files = written(world.folder / "out")
    assert list(files) == ["md"]
    assert "# Why?\n" in files["md"]
    assert "It is **so**.\n" in files["md"]


def test_a_chat_leaves_all_its_turns_in_each_form(chat: Open, server: Server, world: World) -> None:
    server.play(answer(["First."]), answer(["Second."]))
    screen = chat("--export-dir", "out", "--export-format", "all", "--stateful")
    screen.line("one")
    screen.wait_for("total:")
    screen.line("two")
    screen.wait_until(lambda: screen.text.count("total:") == 2)
    assert not written(world.folder / "out")
    screen.line("/exit")
    assert screen.wait_for_exit() == 0
    files = written(world.folder / "out")
    assert sorted(files) == ["cast", "html", "json", "md", "svg"]
    for text in files.values():
        assert "First." in text
        assert "Second." in text
        assert KEY not in text
    turns = json.loads(files["json"])["turns"]
    assert [turn["prompt"] for turn in turns] == ["one", "two"]
    assert turns[0]["session"] == turns[1]["session"]
    # The same, but for the numbers, and times that were taken by two hands.
    kept = [json.loads(world.run("history", "show", number, "--json").stdout) for number in ("1", "2")]
    for ours, theirs in zip(turns, kept, strict=True):
        assert {**ours, "started_at": 0, "cost": None} == {**theirs, "started_at": 0}


def test_settings_can_ask_for_it(ask: Ask, server: Server, world: World) -> None:
    server.play(answer(["One."]))
    world.configure('export_dir = "kept"\nexport_format = ["json", "md"]\n')
    assert ask("hi").returncode == 0
    assert sorted(written(world.folder / "kept")) == ["json", "md"]


@pytest.mark.parametrize("flags", [["--no-history"], []])
def test_it_needs_no_history(ask: Ask, server: Server, world: World, flags: list[str]) -> None:
    thought = Send(frame(sse(chunk(delta={"reasoning_content": "Hm."}))))
    head, *rest = answer(["Well."])
    server.play([head, thought, *rest])
    assert ask(*flags, "--export-dir", "out", "--export-format", "json", "hi").returncode == 0
    turn = json.loads(written(world.folder / "out")["json"])["turns"][0]
    assert (turn["text"], turn["reasoning"]) == ("Well.", "Hm.")
    assert [(kind, length) for _, kind, length in turn["arrivals"]] == [("reasoning", 3), ("text", 5)]


def test_a_session_in_which_nothing_was_asked_leaves_nothing(chat: Open, world: World) -> None:
    screen = chat("--export-dir", "out")
    screen.line("/exit")
    assert screen.wait_for_exit() == 0
    assert not written(world.folder / "out")


def test_an_interrupted_answer_is_in_it(world: World, server: Server) -> None:
    server.play([*answer(["Half of", " it"])[:3], Hang()])
    process = world.start("--base-url", server.base_url, "--export-dir", "out", "hi")
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 4)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    process.communicate()
    assert "outcome: interrupted" in written(world.folder / "out")["md"]


def test_what_cannot_be_written_is_told(ask: Ask, server: Server, world: World) -> None:
    server.play(answer(["Fine."]))
    (world.folder / "file").write_text("", encoding="utf-8")
    done = ask("--export-dir", "file", "hi")
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: no transcript can be written into file: ")
    assert b"\nhint: " in done.stderr
    unknown = ask("--export-dir", "out", "--export-format", "md,pdf", "hi")
    assert unknown.returncode == 2
    assert b"must be of md, html, json, cast, svg, or all, not 'pdf'" in unknown.stderr


def test_a_folder_that_goes_away_costs_no_answer(chat: Open, server: Server, world: World) -> None:
    server.play(answer(["Fine."]))
    screen = chat("--export-dir", "out")
    screen.line("hi")
    screen.wait_for("total:")
    (world.folder / "out").rmdir()
    screen.line("/exit")
    assert screen.wait_for_exit() == 0
    assert "notice: no transcript is written as md into out: No such file or directory" in screen.text


def test_a_full_disk_leaves_no_half_of_a_transcript(world: World, server: Server) -> None:
    server.play(answer(["x" * 100_000]))
    # A file may have 40 KB, and no more; the shell takes blocks of 1,024 bytes.
    script = 'ulimit -f 40; trap "" XFSZ; exec "$@"'
    program = ("bash", "-c", script, "bash", sys.executable, "-m", "streaming_chat")
    flags = ("--no-history", "--base-url", server.base_url, "--export-dir", "out", "--export-format", "md,json")
    done = world.run(*flags, "hi", program=program)
    assert done.returncode == 0
    assert b"notice: no transcript is written as md into out: File too large" in done.stderr
    assert not written(world.folder / "out")
