"""A damaged history is set aside, never deleted; and the turn that runs is kept in the new one."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from conftest import KEY, World
from history_process import output_of, run
from server import Gate, Server, answer
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ChatError, UsageError
from streaming_chat.core.events import Outcome, TextDelta
from streaming_chat.core.timing import Timing
from streaming_chat.core.turn import Turn
from streaming_chat.history import History, Recorder, Selection, place, store

Ask = Callable[..., CompletedProcess[bytes]]

PAGE = 4096
DIARY = b"My diary. " * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder / "history.db"


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def history(path: Path, notices: list[str]) -> Iterator[History]:
    with closing(History(path, notices.append)) as history:
        yield history


def begin(history: History, prompt: str) -> Recorder:
    return history.recorder(ChatRequest("m", (Message("user", prompt),)), endpoint="e", session="s")


def whole(prompt: str, text: str) -> Turn:
    request = ChatRequest("m", (Message("user", prompt),))
    return Turn(request, text, "", Outcome.COMPLETE, "stop", None, Timing(total=1.0))


def keep(history: History, prompt: str, text: str) -> None:
    begin(history, prompt).end(whole(prompt, text))


def fill(path: Path, count: int = 40) -> None:
    with closing(History(path, pytest.fail)) as history:
        for number in range(count):
            keep(history, f"prompt {number}", f"answer {number} " * 300)


def texts(path: Path) -> list[tuple[str, str]]:
    """Prompt and answer of every turn in a sound file."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    with closing(History(path, pytest.fail)) as history:
        turns = [history.turn(summary.number) for summary in history.turns()]
    return [(turn.prompt, turn.text) for turn in turns if turn is not None]


def set_aside(path: Path) -> list[Path]:
    """What was set aside, without what belongs to it."""
    return sorted(path.parent.glob("history.damaged-*.db"))


def first_page(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        page: int = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]
    return page


def overwrite(path: Path, page: int, content: bytes = b"\xff" * PAGE) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(content)


# Each of them damages a file with some turns in another way.


def no_database(path: Path) -> None:
    path.write_bytes(DIARY)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_in_the_first_page(path: Path) -> None:
    os.truncate(path, 50)


def schema_lost(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (PAGE - 100))


def turns_lost(path: Path) -> None:
    overwrite(path, first_page(path, "turns"))


def pieces_lost(path: Path) -> None:
    overwrite(path, first_page(path, "sqlite_autoindex_pieces_1"))


DAMAGES = [no_database, cut, cut_in_the_first_page, schema_lost, turns_lost, pieces_lost]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_and_the_turn_is_kept(
    path: Path, history: History, notices: list[str], damage: Callable[[Path], None]
) -> None:
    fill(path)
    damage(path)
    before = path.read_bytes()
    recorder = begin(history, "one")
    recorder.handle(TextDelta(1.0, "first"))
    recorder.end(whole("one", "first"))
    keep(history, "two", "second")
    history.close()
    (aside,) = set_aside(path)
    assert notices == [f"the history was damaged and is set aside as {aside}; a new one is begun"]
    assert aside.stat().st_size == len(before)
    assert texts(path) == [("one", "first"), ("two", "second")]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_program_answers_and_says_that_the_history_was_damaged(
    ask: Ask, world: World, server: Server, damage: Callable[[Path], None]
) -> None:
    path = world.state / "history.db"
    fill(path)
    damage(path)
    server.play(answer(["All ", "of it"]))
    done = ask("hi")
    assert (done.returncode, done.stdout) == (0, b"All of it\n")
    (aside,) = set_aside(path)
    told = f"notice: the history was damaged and is set aside as {aside}; a new one is begun"
    assert done.stderr.decode().splitlines().count(told) == 1
    assert texts(path) == [("hi", "All of it")]
    assert ask("again").stderr.count(b"damaged") == 0


@pytest.mark.parametrize(
    ("command", "status", "stdout"),
    [
        (["list"], 0, b""),
        (["list", "--json"], 0, b""),
        (["search", "gravity"], 0, b""),
        (["delete", "--all", "--yes"], 0, b"no turns deleted\n"),
        (["show", "1"], 2, b""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_command_on_a_damaged_file_is_one_on_an_empty_history(
    ask: Ask, world: World, command: list[str], status: int, stdout: bytes
) -> None:
    path = world.state / "history.db"
    fill(path)
    no_database(path)
    done = ask("history", *command)
    assert (done.returncode, done.stdout) == (status, stdout)
    assert done.stderr.decode().splitlines()[0].startswith("notice: the history was damaged and is set aside as ")
    assert [file.read_bytes() for file in path.parent.iterdir()] == [DIARY]


def test_a_file_is_never_written_over_by_another_that_is_set_aside(path: Path) -> None:
    for number in range(5):
        path.write_bytes(DIARY + bytes([number]))
        with closing(History(path, lambda _: None)) as history:
            assert history.turns() == []
    assert sorted(file.read_bytes()[-1] for file in set_aside(path)) == list(range(5))


def test_what_belongs_to_the_file_goes_with_it_and_the_new_one_does_not_read_it(path: Path, notices: list[str]) -> None:
    fill(path)
    process = run(
        """
request, recorder = record(history, "in the log")
recorder.end(whole(request, "kept there"))
say("written")
sys.stdin.read()
""",
        path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    process.kill()
    process.communicate()
    path.write_bytes(DIARY)
    assert path.with_name("history.db-wal").stat().st_size > 0
    with closing(History(path, notices.append)) as history:
        keep(history, "hi", "there")
    (aside,) = set_aside(path)
    assert texts(path) == [("hi", "there")]
    assert b"kept there" in aside.with_name(aside.name + "-wal").read_bytes()
    assert len(notices) == 1


def test_a_link_stays_and_what_it_leads_to_stays_too(path: Path, notices: list[str]) -> None:
    real = path.parent.parent / "elsewhere" / "turns.sqlite"
    real.parent.mkdir()
    real.write_bytes(DIARY)
    path.symlink_to(real)
    with closing(History(path, notices.append)) as history:
        keep(history, "hi", "there")
        with pytest.raises(UsageError, match="it is a link to "):
            history.turns()
    assert path.is_symlink()
    assert [file.name for file in real.parent.iterdir()] == ["turns.sqlite"]
    assert real.read_bytes() == DIARY
    (notice,) = notices
    assert notice.startswith(f"the history does not keep this session: {path} is not a history of this program: ")


# In mid-session


def damage_what_is_open(path: Path) -> None:
    """Spoil turns and pieces, so that whoever has the file open finds it: not in memory, nor in the -wal, are they sound."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        roots = [first_page(path, name) for name in ("turns", "pieces", "sqlite_autoindex_pieces_1")]
        other.execute("PRAGMA user_version = 2")  # a change: nobody trusts in what is in memory any more
        for page in roots:
            overwrite(path, page)


def test_damage_in_mid_answer_costs_nothing_of_the_turn(
    path: Path, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SAVE_INTERVAL", 3600)
    fill(path)
    with closing(History(path, notices.append)) as history:
        recorder = begin(history, "hi")
        recorder.handle(TextDelta(1.0, "Half "))
        history._save_running()
        assert recorder.number == 41
        damage_what_is_open(path)
        recorder.handle(TextDelta(2.0, "and "))
        history._save_running()
        assert notices == []
    assert texts(path) == [("hi", "Half and ")]
    assert len(notices) == 1

    with closing(History(path, pytest.fail)) as other:
        (turn,) = other.turns(None, Selection(outcome="unfinished"))
        assert turn.number == 1


def test_the_program_keeps_a_turn_whose_file_is_damaged_while_it_streams(world: World, server: Server) -> None:
    path = world.state / "history.db"
    fill(path)
    go_on = threading.Event()
    server.play([*answer(["Half "], finish_reason=None, done=False)[:-1], Gate(go_on), *answer(["and all"])[1:]])
    environment = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}
    with world.start("hi", env=environment) as program:
        assert program.stdout is not None
        shown = program.stdout.read(5)
        damage_what_is_open(path)
        go_on.set()
        after, stderr = program.communicate(timeout=60)
    assert (program.returncode, shown + after) == (0, b"Half and all\n")
    assert stderr.count(b"the history was damaged") == 1
    assert texts(path) == [("hi", "Half and all")]


# Several processes

FIND_DAMAGE = """
say("ready")
sys.stdin.readline()
request, recorder = record(history, sys.argv[2])
recorder.handle(TextDelta(time.perf_counter(), "an answer"))
recorder.end(whole(request, "an answer"))
history.close()
"""


@pytest.mark.parametrize("attempt", range(3))
def test_of_processes_that_find_it_damaged_at_once_one_sets_it_aside_and_all_are_kept(path: Path, attempt: int) -> None:
    path.write_bytes(DIARY)
    processes = [run(FIND_DAMAGE, path, name) for name in "abcdefgh"]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    notices = [line for process in processes for line in output_of(process)]
    (aside,) = set_aside(path)
    assert notices == [f"notice: the history was damaged and is set aside as {aside}; a new one is begun"]
    assert aside.read_bytes() == DIARY
    assert sorted(prompt for prompt, _ in texts(path)) == list("abcdefgh"), attempt


def test_who_has_the_file_open_that_another_sets_aside_goes_on_in_the_new_one(path: Path, notices: list[str]) -> None:
    with closing(History(path, pytest.fail)) as first:
        keep(first, "before", "kept")
        running = begin(first, "running")
        running.handle(TextDelta(1.0, "Half "))
        first._save_running()
        aside = path.with_name("aside.db")
        for ending in ("-wal", "-shm", ""):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
        with closing(History(path, notices.append)) as second:
            keep(second, "second", "new")
            running.handle(TextDelta(2.0, "and all"))
            running.end(whole("running", "Half and all"))
            keep(first, "first", "new too")
            # To close the old file must not take away the -wal of the new one.
            assert path.with_name("history.db-wal").exists()
        assert running.number == 2
    assert [prompt for prompt, _ in texts(path)] == ["second", "running", "first"]
    assert notices == []


def test_a_place_that_somebody_holds_for_ever_is_told_once(
    path: Path, history: History, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "_PATIENCE", 0.05)
    path.write_bytes(DIARY)
    with place.locked_place(path, exclusive=True):
        keep(history, "one", "two")
    keep(history, "three", "four")
    (notice,) = notices
    assert "another process is opening or moving it" in notice
    assert path.read_bytes() == DIARY


# What is no damage


def test_an_empty_file_is_a_new_history(path: Path, history: History) -> None:
    path.touch()
    keep(history, "one", "two")
    history.close()
    assert texts(path) == [("one", "two")]
    assert set_aside(path) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_nothing_can_be_moved_it_is_told_once_and_left_alone(
    path: Path, notices: list[str], monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    fill(path)
    damage(path)
    before = path.stat().st_size
    monkeypatch.setattr(Path, "rename", refuse)
    with closing(History(path, notices.append)) as history:
        keep(history, "one", "two")
        keep(history, "three", "four")
        (notice,) = notices
        assert notice.startswith("the history does not keep this session from here on: ")
        assert "malformed" in notice or "not a database" in notice
        with pytest.raises(ChatError, match=r"malformed|not a database"):
            history.turn(1)
    assert path.stat().st_size == before


# The full-text index


INDEX_DAMAGES = [
    "UPDATE words_data SET block = x'ffffffffffffffff'",
    "UPDATE words_data SET block = x'ffffffffffffffff' WHERE id > 10",
    "DELETE FROM words_data",
    "DELETE FROM words_data WHERE id > 10",
]


def damage_index(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize("damage", INDEX_DAMAGES)
def test_a_damaged_index_is_made_anew_and_no_turn_is_lost(path: Path, notices: list[str], damage: str) -> None:
    fill(path)
    damage_index(path, damage)
    with closing(History(path, notices.append)) as history:
        assert [turn.number for turn in history.turns(None, Selection(words='"prompt 7"'))] == [8]
        keep(history, "one", "two")
    assert notices == ["the index of the history was damaged and is made anew; no turn is lost"]
    assert len(texts(path)) == 41
    assert set_aside(path) == []


def test_a_turn_is_kept_although_the_index_is_damaged(path: Path, notices: list[str]) -> None:
    fill(path)
    damage_index(path, INDEX_DAMAGES[0])
    with closing(History(path, notices.append)) as history:
        keep(history, "one", "two")
    assert notices == ["the index of the history was damaged and is made anew; no turn is lost"]
    assert texts(path)[-1] == ("one", "two")


# Any damage


def test_whatever_is_written_over_the_file_nothing_fails_but_in_words(tmp_path: Path) -> None:
    sound = tmp_path / "sound" / "history.db"
    fill(sound, 12)
    dice = random.Random(20261124)
    for attempt in range(60):
        path = tmp_path / f"{attempt}" / "history.db"
        path.parent.mkdir()
        shutil.copy(sound, path)
        with path.open("r+b") as file:
            for _ in range(dice.choice((1, 3, 30))):
                file.seek(dice.randrange(sound.stat().st_size))
                file.write(dice.randbytes(dice.choice((1, 16, 500))))
        notices: list[str] = []
        with closing(History(path, notices.append)) as history:
            with suppress(ChatError):
                history.turns()
            with suppress(ChatError):
                history.turns(None, Selection(words="prompt"))
            for number in range(1, 13):
                with suppress(ChatError):
                    history.turn(number)
            keep(history, "new", "turn")
