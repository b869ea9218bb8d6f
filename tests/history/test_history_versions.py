"""Files that earlier versions of the program wrote are brought up to date, and nothing in them is lost.

The files are real (make_history_files.py): complete answers, cut and failed ones, tool calls, reasoning, a killed process, a
stateful chat, and in the last one turns of `--continue` and `--resume`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, CompletedProcess, run
from typing import Any

import pytest

from conftest import World
from server import Server, answer
from streaming_chat.core.errors import ChatError
from streaming_chat.core.record import COLUMNS
from streaming_chat.history import History, Selection, open_file, schema

Ask = Callable[..., CompletedProcess[bytes]]
FILES = sorted((Path(__file__).parent / "data").glob("*.db"))
each_file = pytest.mark.parametrize("old", FILES, ids=lambda old: old.stem)


def told(old: Path) -> list[dict[str, Any]]:
    """The turns, as the program that wrote them has shown them."""
    return [json.loads(line) for line in old.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def place(world: World) -> Path:
    """Where the program looks for its history."""
    path = world.state / "history.db"
    path.parent.mkdir(parents=True, mode=0o700)
    return path


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version


def assert_nothing_lost(
    world: World, old: Path, program: tuple[str, ...] = (sys.executable, "-m", "streaming_chat")
) -> None:
    """Each turn is there with all that the program that wrote it has shown."""
    now = json.loads(world.run("history", "export", "--all", "--json", program=program).stdout)["turns"]
    then = [{name: value for name, value in turn.items() if name != "cost"} for turn in told(old)]
    assert [{name: new[name] for name in turn} for new, turn in zip(now, then, strict=True)] == then


def shown(world: World, number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.run("history", "show", str(number), "--json").stdout)
    return found


def test_there_are_files_of_every_earlier_version() -> None:
    assert {version_of(old) for old in FILES} == set(range(1, schema.VERSION))


@each_file
def test_each_turn_is_shown_as_the_program_that_wrote_it_showed_it(world: World, place: Path, old: Path) -> None:
    shutil.copy(old, place)
    assert_nothing_lost(world, old)
    now = shown(world, 14)
    assert {name: now[name] for name in told(old)[13]} == told(old)[13]
    # What was kept of a session so far is one conversation; which turn came before which is not known.
    assert (now["conversation"], now["parent"]) == (now["session"], None)
    assert version_of(place) == schema.VERSION
    with closing(sqlite3.connect(place)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
        conversations = connection.execute("SELECT id, name, created_at FROM conversations ORDER BY number").fetchall()
    first = {turn["session"]: turn for turn in reversed(told(old))}
    assert [(one[0], one[1]) for one in conversations] == [(session, None) for session in reversed(first)]
    assert all(first[session]["started_at"][:23] == at[:23] for session, _, at in conversations)


@each_file
def test_every_command_works_on_it(world: World, place: Path, old: Path) -> None:
    shutil.copy(old, place)
    turns = told(old)
    done = world.run("history", "list", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [json.loads(line)["prompt"] for line in done.stdout.splitlines()] == [turn["prompt"] for turn in turns]
    for words, numbers in (("rayleigh", [1]), ("naïve", [2]), ("流式", [2]), ('"Part one"', [11, 12])):
        found = world.run("history", "search", words, "--json").stdout.splitlines()
        assert [json.loads(line)["number"] for line in found] == numbers, words
    statistics = json.loads(world.run("history", "stats", "--json").stdout)
    assert statistics["turns"] == len(turns)
    assert statistics["prompt_tokens"] == {"sum": 20, "turns": 1}
    assert world.run("history", "replay", "1", "--speed", "100").stdout == b"Rayleigh scattering.\n"
    world.run("history", "export", "--all", "-o", "all.json")
    place.unlink()
    done = world.run("history", "import", "all.json")
    assert done.stdout == f"{len(turns)} turns imported (turns 1 to {len(turns)})\n".encode()
    # A killed turn comes in with what was saved of it.
    assert_nothing_lost(world, old)


@each_file
def test_the_conversation_in_it_goes_on(ask: Ask, world: World, place: Path, server: Server, old: Path) -> None:
    shutil.copy(old, place)
    server.play(answer(["Yes."]), answer(["No."]))
    assert ask("--resume", "14", "And?").returncode == 0
    sent = [message["content"] for message in server.chats[-1].json["messages"]]
    assert sent == ["One?", "1.", "Two?", "2.", "And?"]
    last = len(told(old)) + 1
    turn = shown(world, last)
    assert (turn["session"], turn["conversation"], turn["parent"]) == (*[told(old)[13]["session"]] * 2, 14)
    assert ask("-c", "Again?").returncode == 0
    assert shown(world, last + 1)["parent"] == last
    assert world.run("history", "delete", str(last + 1), "--yes").returncode == 0
    server.play(answer(["Never given twice."]))
    assert ask("hi").returncode == 0
    assert shown(world, last + 2)["prompt"] == "hi"


def test_json_that_earlier_versions_wrote_comes_in(world: World) -> None:
    for old in FILES:
        shutil.copy(old.with_suffix(".jsonl"), world.folder / "old.jsonl")
        done = world.run("history", "import", "old.jsonl")
        assert done.stdout.startswith(f"{len(told(old))} turns imported".encode())


@each_file
def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: Path
) -> None:
    path = tmp_path / "history.db"
    shutil.copy(old, path)
    failing = (*open_file.MIGRATIONS[schema.VERSION], "SELECT * FROM missing")
    with monkeypatch.context() as patch:
        patch.setattr(open_file, "MIGRATIONS", {**open_file.MIGRATIONS, schema.VERSION: failing})
        with closing(History(path, pytest.fail)) as history, pytest.raises(ChatError, match="no such table: missing"):
            history.turns()
    assert version_of(path) == version_of(old)
    with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(old)) as other:
        assert list(one.iterdump()) == list(other.iterdump())
    with closing(History(path, pytest.fail)) as history:
        assert len(history.turns()) == len(told(old))


@each_file
def test_a_process_killed_while_it_migrates_loses_nothing(world: World, place: Path, old: Path) -> None:
    dice = random.Random(1)
    shutil.copy(old, place)
    for _ in range(3):
        with world.start("history") as program:
            time.sleep(dice.uniform(0.05, 0.3))
            program.send_signal(signal.SIGKILL)
        assert version_of(place) in (version_of(old), schema.VERSION)
    assert [json.loads(line)["number"] for line in world.run("history", "--json").stdout.splitlines()] == [
        turn["number"] for turn in told(old)
    ]


@each_file
def test_processes_that_migrate_at_once_all_read_it(world: World, place: Path, old: Path) -> None:
    shutil.copy(old, place)
    programs = [world.start("history", "list", "--json") for _ in range(4)]
    for program in programs:
        stdout, stderr = program.communicate(timeout=60)
        assert (program.returncode, stderr) == (0, b"")
        assert stdout.count(b"\n") == len(told(old))
    assert version_of(place) == schema.VERSION


@each_file
def test_a_later_version_is_refused(world: World, place: Path, old: Path) -> None:
    shutil.copy(old, place)
    with closing(sqlite3.connect(place)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    before = place.read_bytes()
    done = world.run("history")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"error: the history was written by a later version of streaming-chat" in done.stderr
    assert place.read_bytes() == before


# A file that cannot be written


def unprivileged() -> tuple[str, ...]:
    """What to put before a program so that the modes of files bind it, also where the tests run as root."""
    if os.geteuid():
        return ()
    drop = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    if shutil.which(drop[0]) is None or run([*drop, "true"], check=False, stderr=PIPE).returncode:
        pytest.skip("root is bound by no mode here")
    return drop


@each_file
@pytest.mark.parametrize("mode", [0o700, 0o500], ids=["the file", "file and folder"])
def test_what_cannot_be_written_is_read(world: World, place: Path, old: Path, mode: int) -> None:
    shutil.copy(old, place)
    place.chmod(0o400)
    place.parent.chmod(mode)
    program = (*unprivileged(), sys.executable, "-m", "streaming_chat")
    before = place.read_bytes()
    try:
        assert_nothing_lost(world, old, program)
        for command in (["list"], ["stats"], ["search", "part"], ["export", "1"]):
            done = world.run("history", *command, program=program)
            assert (done.returncode, done.stderr) == (0, b""), command
            assert done.stdout
        for command in (["delete", "1", "--yes"], ["import", str(old.with_suffix(".jsonl"))]):
            done = world.run("history", *command, program=program)
            assert (done.returncode, done.stdout) == (1, b""), command
            assert b"readonly" in done.stderr
    finally:
        place.parent.chmod(0o700)
    assert place.read_bytes() == before


# The schema


def test_the_columns_of_a_turn_are_those_of_the_table(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(History(path, pytest.fail)) as history:
        history.add([])
        assert history.turns() == []
    with closing(sqlite3.connect(path)) as connection:
        table = {row[1]: row[2] for row in connection.execute("PRAGMA table_info(turns)")}
    assert table.pop("id") == "INTEGER"
    assert {column.name: column.kind.sql for column in COLUMNS} == table


def test_a_conversation_is_gone_with_its_last_turn(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    shutil.copy(FILES[-1], path)
    with closing(History(path, pytest.fail)) as history:
        session = history.turns()[-1].session
        assert history.delete(Selection(session=session)) == 4
    with closing(sqlite3.connect(path)) as connection:
        left = {row[0] for row in connection.execute("SELECT id FROM conversations")}
        assert left == {row[0] for row in connection.execute("SELECT session FROM turns")}
    assert session not in left
