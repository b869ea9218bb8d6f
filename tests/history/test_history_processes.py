"""Many processes write, delete and are killed, and the history has every turn that was said to be kept, whole."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from conftest import KEY, World
from history_process import output_of, run
from server import Server, answer
from streaming_chat.history import History, Selection
from streaming_chat.history.open_file import MIGRATIONS, VERSION

KILLS = 30

#: A turn that tells by its prompt what its text has to be.
TURN = """
def keep(history, name):
    request, recorder = record(history, name)
    text = f"{name} is answered. " * (1 + hash(name) % 200)
    for start in range(0, len(text), 500):
        recorder.handle(TextDelta(time.perf_counter(), text[start : start + 500]))
    recorder.end(whole(request, text))
"""

#: Starts a process for each line that it reads, without importing anything again: says who it is, and when it has ended.
NURSERY = (
    TURN
    + """
import json, os
from streaming_chat.history import Selection, store

store.SAVE_INTERVAL = 0.001

def write(history, name):
    for number in range(100_000):
        keep(history, f"{name}-{number}")
        say(f"kept {name}-{number}")

def migrate(history, name):
    say(f"there {len(history.turns())}")

def delete(history, name):
    for number in range(1, 1000):
        history.delete(Selection(numbers=[number]))
        say(f"deleted {number}")

def find_damage(history, name):
    keep(history, name)
    say(f"kept {name}")

for line in sys.stdin:
    job, path, name = json.loads(line)
    child = os.fork()
    if child == 0:
        globals()[job](History(Path(path), lambda text: None), name)
        time.sleep(60)  # until it is killed; for ever it would outlive a test that fails
        os._exit(0)
    say(f"pid {child}")
    os.waitpid(child, 0)
    say("ended")
"""
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder / "history.db"


@contextmanager
def nursery() -> Iterator[subprocess.Popen[str]]:
    with run(NURSERY, "/nowhere") as process:
        try:
            yield process
            output_of(process)
        finally:
            process.kill()


def lines_until_killed(process: subprocess.Popen[str], job: str, path: Path, name: str, seconds: float) -> list[str]:
    """What a process doing `job` says before it is killed, some `seconds` after it has begun."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([job, str(path), name]) + "\n")
    process.stdin.flush()
    said: list[str] = []
    # Both say something, in any order.
    while not (line := process.stdout.readline()).startswith("pid "):
        assert line
        said.append(line.strip())
    time.sleep(seconds)
    os.kill(int(line.removeprefix("pid ")), signal.SIGKILL)
    # What it was saying when it was killed may stand before that, without its end.
    while not (line := process.stdout.readline()).endswith("ended\n"):
        assert line
        said.append(line.strip())
    return said


def turns(path: Path) -> dict[str, str]:
    """Prompt → text of every turn that has ended, in a file that is sound."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with closing(History(path, pytest.fail)) as history:
        found = [history.turn(summary.number) for summary in history.turns()]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        # 1: compared with the texts of the turns, too.
        connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    return {turn.prompt: turn.text for turn in found if turn is not None and turn.outcome is not None}


def assert_whole(kept: dict[str, str]) -> None:
    for prompt, text in kept.items():
        sentence = f"{prompt} is answered. "
        assert text
        assert text == sentence * (len(text) // len(sentence))


def test_eight_processes_lose_none_of_their_turns(path: Path) -> None:
    script = """
sys.stdin.readline()
for n in range(200):
    keep(history, f"{sys.argv[2]}-{n}")
history.close()
"""
    processes = [run(TURN + script, path, name) for name in "abcdefgh"]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [output_of(process) for process in processes] == [[]] * 8
    kept = turns(path)
    assert_whole(kept)
    assert set(kept) == {f"{name}-{n}" for name in "abcdefgh" for n in range(200)}
    with closing(History(path, pytest.fail)) as history:
        assert history.numbers() == list(range(1, 1601))
        # As many as were written of each, each in its order.
        prompts = [turn.prompt for turn in history.turns()]
    assert [prompt for prompt in prompts if prompt.startswith("c-")] == [f"c-{n}" for n in range(200)]


def test_a_process_killed_at_any_moment_loses_no_turn_that_it_has_kept(path: Path) -> None:
    dice = random.Random(1)
    kept: set[str] = set()
    with nursery() as process:
        for attempt in range(KILLS):
            said = lines_until_killed(process, "write", path, f"run{attempt}", dice.uniform(0, 0.1))
            kept |= {line.removeprefix("kept ") for line in said if line.startswith("kept ")}
            if path.exists():
                found = turns(path)
                assert kept <= set(found), attempt
                assert_whole(found)
    assert kept


def test_a_process_beside_which_others_are_killed_loses_nothing(path: Path) -> None:
    dice = random.Random(2)
    with nursery() as process:
        survivor = run(
            TURN
            + """
say("begun")
number = 0
while not Path(sys.argv[2]).exists():
    keep(history, f"survivor-{number}")
    number += 1
history.close()
say(number)
""",
            path,
            path.with_name("stop"),
        )
        assert survivor.stdout is not None
        assert survivor.stdout.readline() == "begun\n"
        kept: set[str] = set()
        for attempt in range(10):
            said = lines_until_killed(process, "write", path, f"run{attempt}", dice.uniform(0, 0.05))
            kept |= {line.removeprefix("kept ") for line in said if line.startswith("kept ")}
        path.with_name("stop").touch()
        (count,) = output_of(survivor)
    found = turns(path)
    assert kept | {f"survivor-{number}" for number in range(int(count))} <= set(found)
    assert_whole(found)


def test_a_process_killed_while_it_migrates_loses_nothing(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    names = [f"turn-{number}" for number in range(200)]
    with closing(sqlite3.connect(old)) as connection:
        for statement in MIGRATIONS[1]:
            connection.execute(statement)
        connection.executemany(
            "INSERT INTO turns (session, started_at, endpoint, model, settings, prompt, text, messages, outcome) "
            "VALUES ('s', '2025-12-10T17:34:32.123Z', 'e', 'm', '{}', ?, ?, '[]', 'complete')",
            [(name, f"{name} is answered. " * 100) for name in names],
        )
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    dice = random.Random(3)
    with nursery() as process:
        for attempt in range(KILLS):
            path = tmp_path / str(attempt) / "history.db"
            path.parent.mkdir()
            shutil.copy(old, path)
            lines_until_killed(process, "migrate", path, "-", dice.uniform(0, 0.03))
            found = turns(path)
            assert set(found) == set(names), attempt
            assert_whole(found)
            with closing(History(path, pytest.fail)) as history:
                assert history.numbers(Selection(words='"turn 17"')) == [18]


def test_a_process_killed_while_it_deletes_has_deleted_what_it_said_and_loses_nothing_else(tmp_path: Path) -> None:
    template = tmp_path / "template" / "history.db"
    output_of(run(TURN + 'for n in range(1, 101):\n    keep(history, f"t-{n}")\nhistory.close()\n', template))
    dice = random.Random(4)
    with nursery() as process:
        for attempt in range(KILLS):
            path = tmp_path / str(attempt) / "history.db"
            path.parent.mkdir()
            shutil.copy(template, path)
            said = lines_until_killed(process, "delete", path, "-", dice.uniform(0, 0.05))
            deleted = {int(line.removeprefix("deleted ")) for line in said if line.startswith("deleted ")}
            found = turns(path)
            assert_whole(found)
            gone = {number for number in range(1, 101) if f"t-{number}" not in found}
            # What was told is gone; the next one may be, or not.
            assert gone - deleted <= {len(deleted) + 1}
            assert deleted & set(range(1, 101)) <= gone


def test_a_process_killed_while_it_sets_a_damaged_file_aside_takes_nothing_away(tmp_path: Path) -> None:
    dice = random.Random(5)
    diary = b"My diary. " * 1000
    with nursery() as process:
        for attempt in range(KILLS):
            path = tmp_path / str(attempt) / "history.db"
            path.parent.mkdir()
            path.write_bytes(diary)
            said = lines_until_killed(process, "find_damage", path, "one", dice.uniform(0, 0.01))
            with closing(History(path, lambda _: None)) as history:
                history.turns()
            assert [file.read_bytes() for file in path.parent.glob("*damaged*.db")] == [diary], attempt
            if "kept one" in said:
                assert set(turns(path)) == {"one"}


@pytest.mark.parametrize("attempt", range(2))
def test_what_is_deleted_while_others_write_is_gone_and_they_lose_nothing(path: Path, attempt: int) -> None:
    script = """
sys.stdin.readline()
for n in range(60):
    keep(history, f"secret-{sys.argv[2]}-{n}" if n % 2 else f"{sys.argv[2]}-{n}")
history.close()
"""
    writers = [run(TURN + script, path, name) for name in "abcd"]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    deleted = 0
    with closing(History(path, pytest.fail)) as history:
        while any(writer.poll() is None for writer in writers):
            deleted += history.delete(Selection(words="secret", outcome="complete"))
        assert [output_of(writer) for writer in writers] == [[]] * 4, attempt
        deleted += history.delete(Selection(words="secret"))
        assert deleted == 4 * 30
        for file in path.parent.iterdir():
            assert b"secret" not in file.read_bytes(), file.name
    kept = turns(path)
    assert_whole(kept)
    assert set(kept) == {f"{name}-{n}" for name in "abcd" for n in range(0, 60, 2)}


def test_the_program_killed_at_any_point_of_its_answers_keeps_those_that_were_whole(world: World, server: Server) -> None:
    dice = random.Random(6)
    environment = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}
    tokens = [f"word{number} " for number in range(300)]
    whole = "".join(tokens)
    kept: list[str] = []
    for attempt in range(12):
        server.play(answer(tokens))
        with world.start(f"run {attempt}", env=environment) as program:
            assert program.stdout is not None
            read = program.stdout.read(dice.choice((1, dice.randrange(1, len(whole)), len(whole) + 1)))
            if len(read) > len(whole):
                assert program.wait(60) == 0
                kept.append(f"run {attempt}")
            program.kill()
            program.communicate(timeout=60)
        found = turns(world.state / "history.db")
        assert [prompt for prompt in found if prompt in kept] == kept
        assert set(found.values()) <= {whole}
    assert kept
