"""What lies at the history's place and is not this program's is reported, and neither run nor written nor moved."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, CompletedProcess

import pytest

from conftest import KEY, World
from screen import Screen
from server import Server, answer
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.events import Outcome
from streaming_chat.core.timing import Timing
from streaming_chat.core.turn import Turn
from streaming_chat.history import History
from streaming_chat.history.open_file import shrink

Ask = Callable[..., CompletedProcess[bytes]]
ENDLESS = "WITH RECURSIVE r (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM r) SELECT x AS id FROM r"


def keep(path: Path, prompt: str = "Why?", text: str = "Gravity.") -> None:
    request = ChatRequest("m", (Message("user", prompt),))
    with closing(History(path, pytest.fail)) as history:
        recorder = history.recorder(request, endpoint="e", session="s")
        recorder.end(Turn(request, text, "", Outcome.COMPLETE, "stop", None, Timing(total=1.0)))


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def schema_written(path: Path, change_of_schema: str) -> None:
    """Write the schema itself, as SQL would not let anybody."""
    change(path, "PRAGMA writable_schema = ON", f"UPDATE sqlite_master SET {change_of_schema}")


def a_view_for_turns(path: Path) -> None:
    for trigger in ("turn_begun", "turn_changed", "turn_deleted"):
        change(path, f"DROP TRIGGER {trigger}")
    change(path, "DROP TABLE turns", f"CREATE VIEW turns AS {ENDLESS}")


def a_view_for_turns_in_capitals(path: Path) -> None:
    path.unlink()
    change(path, f"CREATE VIEW TURNS AS {ENDLESS}", "PRAGMA user_version = 2")


def a_view_alone(path: Path) -> None:
    path.unlink()
    change(path, f"CREATE VIEW turns AS {ENDLESS}")


def a_view_beside(path: Path) -> None:
    change(path, f"CREATE VIEW others AS {ENDLESS}")


def a_view_for_pieces(path: Path) -> None:
    change(path, "DROP TABLE pieces", f"CREATE VIEW pieces AS {ENDLESS}")


def a_trigger(path: Path) -> None:
    change(
        path,
        f"CREATE TRIGGER t AFTER INSERT ON turns BEGIN INSERT INTO pieces SELECT *, 1, 1, 1, 1, 1, 1 FROM ({ENDLESS}); END",
    )


def a_trigger_of_our_name(path: Path) -> None:
    change(path, "DROP TRIGGER turn_begun", f"CREATE TRIGGER turn_begun AFTER INSERT ON turns BEGIN {ENDLESS}; END")


def a_generated_column(path: Path) -> None:
    change(path, "ALTER TABLE turns ADD COLUMN more AS (printf('%*d', 1000000000, id))")


def an_index_on_an_expression(path: Path) -> None:
    change(path, "CREATE INDEX more ON turns (length(printf('%*d', 1000000000, id)))")


def a_check(path: Path) -> None:
    schema_written(path, "sql = replace(sql, 'session TEXT', 'session TEXT CHECK (length(hex(zeroblob(400000000))) > 0)')")


def a_default(path: Path) -> None:
    schema_written(path, "sql = replace(sql, 'outcome TEXT,', 'outcome TEXT DEFAULT (hex(zeroblob(400000000))),')")


def a_table_of_the_index(path: Path) -> None:
    schema_written(
        path,
        "sql = replace(sql, 'sz BLOB', 'sz BLOB CHECK (length(hex(zeroblob(400000000))) > 0)') WHERE name = 'words_docsize'",
    )


def a_view_for_a_table_of_the_index(path: Path) -> None:
    schema_written(
        path, f"type = 'view', rootpage = 0, sql = 'CREATE VIEW words_docsize AS {ENDLESS}' WHERE name = 'words_docsize'"
    )


def a_plain_table_for_the_index(path: Path) -> None:
    change(path, "DROP TABLE words", "CREATE TABLE words (prompt, text)")


def a_virtual_table(path: Path) -> None:
    change(path, "CREATE VIRTUAL TABLE more USING fts5 (x)")


def a_version_that_never_was(path: Path) -> None:
    change(path, "PRAGMA user_version = -5")


def version_0_with_our_tables(path: Path) -> None:
    change(path, "PRAGMA user_version = 0")


def version_1_with_the_tables_of_2(path: Path) -> None:
    change(path, "PRAGMA user_version = 1")


def another_program(path: Path) -> None:
    path.unlink()
    change(path, "CREATE TABLE accounts (name)", "INSERT INTO accounts VALUES ('me')")


def another_program_in_wal_mode(path: Path) -> None:
    path.unlink()
    change(path, "PRAGMA journal_mode = WAL", "CREATE TABLE accounts (name)", "INSERT INTO accounts VALUES ('me')")


def another_program_with_an_id(path: Path) -> None:
    another_program(path)
    change(path, "PRAGMA application_id = 252006674", "PRAGMA user_version = 1")


def another_program_of_a_later_version(path: Path) -> None:
    path.unlink()
    change(path, "CREATE TABLE moz_places (url)", "INSERT INTO moz_places VALUES ('x')", "PRAGMA user_version = 75")


NOT_OURS = [
    another_program_of_a_later_version,
    a_view_for_turns,
    a_view_for_turns_in_capitals,
    a_view_alone,
    a_view_beside,
    a_view_for_pieces,
    a_trigger,
    a_trigger_of_our_name,
    a_generated_column,
    an_index_on_an_expression,
    a_check,
    a_default,
    a_table_of_the_index,
    a_view_for_a_table_of_the_index,
    a_plain_table_for_the_index,
    a_virtual_table,
    a_version_that_never_was,
    version_0_with_our_tables,
    version_1_with_the_tables_of_2,
    another_program,
    another_program_in_wal_mode,
    another_program_with_an_id,
]


@pytest.mark.parametrize("other", NOT_OURS)
def test_a_database_that_this_program_did_not_make_is_reported_and_left_alone(
    ask: Ask, world: World, server: Server, other: Callable[[Path], None]
) -> None:
    path = world.state / "history.db"
    keep(path)
    other(path)
    path.chmod(0o640)
    before = path.read_bytes()
    server.play(answer(["All ", "of it"]))
    done = ask("hi")
    assert (done.returncode, done.stdout) == (0, b"All of it\n")
    assert done.stderr.count(b"notice: the history does not keep this session: ") == 1
    assert b"is not a history of this program" in done.stderr
    for command in (
        ["list"],
        ["search", "why"],
        ["show", "1"],
        ["stats"],
        ["export", "--all"],
        ["delete", "--all", "--yes"],
    ):
        done = ask("history", *command)
        assert (done.returncode, done.stdout) == (2, b""), command
        error, hint = done.stderr.decode().splitlines()
        assert error.startswith(f"error: {path} is not a history of this program: "), command
        assert hint.startswith("hint: ")
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [file.name for file in path.parent.iterdir()] == ["history.db"]


def test_what_another_program_that_was_killed_left_beside_its_file_stays_too(ask: Ask, world: World) -> None:
    path = world.state / "history.db"
    path.parent.mkdir(parents=True, mode=0o700)
    script = f"""
import os, signal, sqlite3
other = sqlite3.connect({str(path)!r}, isolation_level=None)
for statement in (
    "PRAGMA journal_mode = WAL", "CREATE TABLE accounts (name)", "INSERT INTO accounts VALUES ('me')",
    "PRAGMA wal_checkpoint(TRUNCATE)", "INSERT INTO accounts VALUES ('you')",
):
    other.execute(statement)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert len(before["history.db-wal"]) > 0
    assert ask("history").returncode == 2
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def a_text(place: Path) -> None:
    place.write_text("My diary.\n" * 100)


def bytes_of_another_kind(place: Path) -> None:
    place.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)


def a_database(place: Path) -> None:
    change(place, "CREATE TABLE accounts (name)", "INSERT INTO accounts VALUES ('me')")


def a_short_text(place: Path) -> None:
    place.write_text("x")


def a_database_without_rows(place: Path) -> None:
    change(place, "CREATE TABLE accounts (name)")


def a_damaged_history(place: Path) -> None:
    keep(place, text="x" * 20_000)
    os.truncate(place, place.stat().st_size // 2)


@pytest.mark.parametrize(
    "content", [a_text, a_short_text, bytes_of_another_kind, a_database, a_database_without_rows, a_damaged_history]
)
def test_what_a_link_leads_to_is_left_as_it_is(
    ask: Ask, world: World, server: Server, tmp_path: Path, content: Callable[[Path], None]
) -> None:
    other = tmp_path / "documents" / "other"
    other.parent.mkdir()
    content(other)
    other.chmod(0o644)
    before = other.read_bytes()
    path = world.state / "history.db"
    path.parent.mkdir(parents=True, mode=0o700)
    path.symlink_to(other)
    server.play(answer(["All of it"]))
    done = ask("hi")
    assert (done.returncode, done.stdout) == (0, b"All of it\n")
    assert done.stderr.count(b"the history does not keep this session: ") == 1
    done = ask("history")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path} is not a history of this program: ".encode())
    assert path.is_symlink()
    assert other.read_bytes() == before
    assert stat.S_IMODE(other.stat().st_mode) == 0o644
    assert [file.name for file in other.parent.iterdir()] == ["other"]
    assert [file.name for file in path.parent.iterdir()] == ["history.db"]


@pytest.mark.parametrize(
    "statement",
    ["ANALYZE", "VACUUM", "CREATE TABLE notes (x UNIQUE)", "PRAGMA application_id = 1", "PRAGMA journal_mode = DELETE"],
)
def test_what_another_tool_does_to_our_file_leaves_it_ours(ask: Ask, world: World, statement: str) -> None:
    path = world.state / "history.db"
    keep(path)
    change(path, statement)
    done = ask("history")
    assert (done.returncode, done.stdout.count(b"\n"), done.stderr) == (0, 1, b"")


def test_a_chat_says_it_once_and_goes_on(chat: Callable[..., Screen], world: World, server: Server) -> None:
    path = world.state / "history.db"
    keep(path)
    a_view_for_turns(path)
    server.play(answer(["One."]), answer(["Two."]))
    screen = chat(columns=250)
    for count, line in enumerate(["first", "second"], 2):
        screen.line(line)
        screen.wait_until(lambda count=count: screen.text.count("You:") == count)
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert "Two." in screen.text
    assert screen.text.count("the history does not keep this session") == 1


def test_a_history_that_a_link_leads_to_is_used(ask: Ask, world: World, server: Server, tmp_path: Path) -> None:
    other = tmp_path / "disk" / "turns.sqlite"
    other.parent.mkdir()
    keep(other)
    path = world.state / "history.db"
    path.parent.mkdir(parents=True, mode=0o700)
    path.symlink_to(other)
    server.play(answer(["All of it"]))
    assert ask("hi").stderr.count(b"notice") == 0
    assert ask("history").stdout.count(b"\n") == 2
    assert path.is_symlink()


def a_pipe(path: Path) -> None:
    os.mkfifo(path, 0o644)


def a_folder(path: Path) -> None:
    path.mkdir(mode=0o755)


def a_link_to_nowhere_that_keeps(path: Path) -> None:
    path.symlink_to(os.devnull)


@pytest.mark.parametrize("make", [a_pipe, a_folder, a_link_to_nowhere_that_keeps])
def test_what_is_no_file_is_reported(ask: Ask, world: World, server: Server, make: Callable[[Path], None]) -> None:
    path = world.state / "history.db"
    path.parent.mkdir(parents=True, mode=0o700)
    make(path)
    before = path.stat().st_mode
    server.play(answer(["All of it"]))
    done = ask("hi")
    assert (done.returncode, done.stdout) == (0, b"All of it\n")
    assert b"is not a regular file" in done.stderr
    assert ask("history").returncode == 2
    assert path.stat().st_mode == before
    if path.is_dir():
        shutil.rmtree(path)


def test_a_link_to_itself_is_told(ask: Ask, world: World, server: Server) -> None:
    path = world.state / "history.db"
    path.parent.mkdir(parents=True, mode=0o700)
    path.symlink_to(path)
    server.play(answer(["All of it"]))
    done = ask("hi")
    assert (done.returncode, done.stdout) == (0, b"All of it\n")
    assert b"the history does not keep this session" in done.stderr
    assert b"unexpected" not in ask("history").stderr
    assert path.is_symlink()


def test_a_text_in_the_place_of_the_history_is_set_aside_as_it_is(ask: Ask, world: World, server: Server) -> None:
    path = world.state / "history.db"
    path.parent.mkdir(parents=True, mode=0o700)
    a_text(path)
    path.chmod(0o640)
    before = path.read_bytes()
    server.play(answer(["All of it"]))
    assert ask("hi").stderr.count(b"the history was damaged and is set aside as ") == 1
    (aside,) = path.parent.glob("history.damaged-*.db")
    assert aside.read_bytes() == before
    assert stat.S_IMODE(aside.stat().st_mode) == 0o640


# A query that does not end, in whatever way it came to be


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_query_that_does_not_end(world: World, number: int, status: int) -> None:
    path = world.state / "history.db"
    keep(path)
    # The program itself, with a query that nobody foresaw in the place of that of the list.
    endless = f"SELECT count(*) FROM ({ENDLESS}) WHERE {{}} LIMIT ?"
    script = (
        "import sys\nfrom streaming_chat.history import store\n"
        "from streaming_chat.text import sanitize\n"
        f"store.SELECT_SUMMARIES = {endless!r}\n"
        "numbers = store.History.turns\n"
        "def turns(*arguments):\n    print('asked', flush=True)\n    return numbers(*arguments)\n"
        "store.History.turns = turns\n"
        "from streaming_chat.cli.main import run\n"
        "try:\n    status = run(['history'])\nexcept KeyboardInterrupt:\n    status = 130\nsys.exit(status)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=world.folder, env=world.environment, stdout=PIPE, stderr=PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"asked\n"
        program.send_signal(number)
        _, stderr = program.communicate(timeout=60)
    assert (program.returncode, stderr) == (status, b"")


def test_the_key_is_not_needed_to_refuse(world: World) -> None:
    path = world.state / "history.db"
    keep(path)
    a_view_for_turns(path)
    assert world.run("--continue", "hi", env={"OPENAI_API_KEY": KEY}).returncode == 2


def test_an_interrupted_deletion_is_one_and_what_was_deleted_is_gone() -> None:
    class Interrupted(sqlite3.Connection):
        done: list[str]

        def execute(self, statement: str, *_: object) -> sqlite3.Cursor:
            self.done.append(statement)
            if statement == "VACUUM":
                raise sqlite3.OperationalError("interrupted")
            return super().execute(statement)

    with closing(sqlite3.connect(":memory:", factory=Interrupted)) as connection:
        connection.done = []
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            shrink(connection)
        assert connection.done == ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"]
