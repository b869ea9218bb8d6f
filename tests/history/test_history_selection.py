"""Which turns are listed, found and deleted; and that what is deleted is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.events import Outcome, TextDelta
from streaming_chat.core.timing import Timing
from streaming_chat.core.turn import Turn
from streaming_chat.history import MARKS, FoundTurn, History, Selection
from streaming_chat.history import open_file as file
from streaming_chat.history.open_file import MIGRATIONS

Keep = Callable[..., None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    with closing(History(path, pytest.fail)) as history:
        yield history


@pytest.fixture
def keep(history: History, path: Path) -> Keep:
    def keep(
        prompt: str,
        text: str = "Because.",
        *,
        model: str = "m",
        served: str | None = None,
        endpoint: str = "http://localhost:8080/v1",
        session: str = "s",
        outcome: Outcome | None = Outcome.COMPLETE,
        at: str = "2025-12-10T17:34:32.123Z",
    ) -> None:
        request = ChatRequest(model, (Message("user", prompt),))
        recorder = history.recorder(request, endpoint=endpoint, session=session)
        if outcome is not None:
            recorder.end(Turn(request, text, "", outcome, "stop", None, Timing(total=1.0), model=served))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE turns SET started_at = ? WHERE id = ?", (at, recorder.number))
            connection.commit()

    return keep


def numbers(history: History, limit: int | None = None, **conditions: object) -> list[int]:
    return [turn.number for turn in history.turns(limit, Selection(**conditions))]


def test_all_conditions_have_to_hold(history: History, keep: Keep) -> None:
    keep("one", model="gpt-4o", session="abc")
    keep("two", model="gpt-4o-mini", served="gpt-4o-mini-2024", endpoint="https://api.example.com/v1", session="abd")
    keep("three", model="[odd]?", outcome=Outcome.LENGTH, at="2025-12-11T00:00:00.000Z")
    keep("four", outcome=None)
    assert numbers(history) == [1, 2, 3, 4]
    assert numbers(history, 2) == [3, 4]
    assert numbers(history, model="gpt-4o") == [1]
    assert numbers(history, model="gpt-4o*") == [1, 2]
    assert numbers(history, model="*-2024") == [2]
    assert numbers(history, model="[odd]?") == [3]
    assert numbers(history, endpoint="example.com") == [2]
    assert numbers(history, session="ab") == [1, 2]
    assert numbers(history, outcome="length") == [3]
    assert numbers(history, outcome="unfinished") == [4]
    assert numbers(history, since=datetime(2025, 12, 11, tzinfo=timezone.utc)) == [3]
    assert numbers(history, until=datetime(2025, 12, 11, tzinfo=timezone.utc)) == [1, 2, 4]
    assert numbers(history, numbers=[1, 3, 99]) == [1, 3]
    assert numbers(history, model="gpt-4o*", session="abd") == [2]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("streaming", [1]),
        ("STREAM*", [1, 2]),
        ('"tokens arrive"', [1]),
        ("arrive tokens", [1]),
        ('"arrive tokens"', []),
        ("uber", [2]),
        ("C++", [2]),
        ("++", [2]),
        ("naïve", [2]),
        ("流式", [3]),
        ("流式 传输", [3]),
        ("OR", []),
        ('stream" AND NEAR(', []),
        ('"unclosed phr', []),
        ("-streaming NOT", []),
    ],
)
def test_words_are_found_in_prompts_and_answers(history: History, keep: Keep, words: str, found: list[int]) -> None:
    keep("What is streaming?", "The tokens arrive one by one.")
    keep("Über naive C++", "A stream of naïve thoughts.")
    keep("什么是流式传输？", "一个词一个词地来。")
    assert numbers(history, words=words) == found


def test_what_was_found_is_marked(history: History, keep: Keep) -> None:
    keep("Why?", "Nobody knows. " * 50 + "The reason is gravity. " + "Nobody knows. " * 50)
    [turn] = history.turns(None, Selection(words="gravity"))
    assert isinstance(turn, FoundTurn)
    assert f"{MARKS[0]}gravity{MARKS[1]}" in turn.found
    assert len(turn.found) < 300


@given(st.text(st.characters(), max_size=30))
def test_no_words_are_an_error(words: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in (*MIGRATIONS[1], *MIGRATIONS[2]):
            connection.execute(statement)
        query = Selection(words=words).index_query
        if query is not None:
            connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (query,)).fetchall()


def test_what_is_deleted_is_not_in_the_files_any_more(history: History, keep: Keep, path: Path) -> None:
    for number in range(50):
        keep(f"secretprompt{number:02d}", f"secretanswer{number:02d} " * 200)
    keep("kept", "also kept")
    unfinished = history.recorder(ChatRequest("m", (Message("user", "secretlast"),)), endpoint="e", session="s")
    unfinished.handle(TextDelta(1.0, "secretpiece"))
    history.close()
    with closing(History(path, pytest.fail)) as other:
        assert other.delete(Selection(words="secret*")) == 51
        assert other.delete(Selection(words="secret*")) == 0
        assert [turn.prompt for turn in other.turns()] == ["kept"]
        assert numbers(other, words="kept") == [51]
        for file in path.parent.iterdir():
            assert b"secret" not in file.read_bytes(), file.name


def bytes_with(path: Path, text: bytes) -> list[str]:
    """The files that hold `text`."""
    return [file.name for file in path.parent.iterdir() if text in file.read_bytes()]


def keep_secrets(keep: Keep) -> None:
    for number in range(50):
        keep(f"secretprompt{number:02d}", f"secretanswer{number:02d} " * 200)
    keep("kept", "also kept")


@pytest.fixture
def told(path: Path) -> Iterator[tuple[History, list[str]]]:
    """Another history of the same file, and what it says."""
    notices: list[str] = []
    with closing(History(path, notices.append)) as history:
        yield history, notices


def test_a_deletion_that_a_reader_holds_up_says_so_and_is_done_when_all_have_ended(
    history: History, keep: Keep, path: Path, told: tuple[History, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "BUSY_TIMEOUT", 0.05)
    keep_secrets(keep)
    other, notices = told
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM turns").fetchone()
        assert other.delete(Selection(words="secret*")) == 50
    (notice,) = notices
    assert "the deleted text is gone from the disk once all other sessions have ended" in notice
    assert [turn.prompt for turn in other.turns()] == ["kept"]
    history.close()
    other.close()
    assert bytes_with(path, b"secret") == []


def test_a_deletion_goes_through_although_a_writer_keeps_the_file_from_being_made_smaller(
    history: History, keep: Keep, path: Path, told: tuple[History, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "BUSY_TIMEOUT", 0.05)
    keep_secrets(keep)
    history.close()
    other, notices = told
    writer = sqlite3.connect(path, isolation_level=None)

    def hold_it_up(statement: str) -> None:
        if statement == "VACUUM":
            writer.execute("BEGIN IMMEDIATE")
        elif statement.startswith("PRAGMA wal_checkpoint"):
            writer.execute("ROLLBACK")

    other.turns()
    assert other._connection is not None
    other._connection.set_trace_callback(hold_it_up)
    size = path.stat().st_size
    assert other.delete(Selection(words="secret*")) == 50
    writer.close()
    (notice,) = notices
    assert "was not made smaller" in notice
    assert path.stat().st_size == size
    assert bytes_with(path, b"secret") == []
    assert numbers(other, words="kept") == [51]


def test_what_a_running_turn_says_after_its_deletion_is_not_kept(history: History, path: Path) -> None:
    recorder = history.recorder(ChatRequest("m", (Message("user", "hi"),)), endpoint="e", session="s")
    recorder.handle(TextDelta(1.0, "secret one"))
    history._save_running()
    assert history.delete(Selection(numbers=[1])) == 1
    recorder.handle(TextDelta(1.0, "secret two"))
    history._save_running()
    recorder.end(Turn(ChatRequest("m", ()), "secret one secret two", "", Outcome.COMPLETE, "stop", None, Timing(total=1.0)))
    history.close()
    assert bytes_with(path, b"secret") == []


# The text of a turn that never ended


def test_words_of_a_turn_that_never_ended_are_found_as_those_of_others_are(history: History, keep: Keep, path: Path) -> None:
    keep("one", "gravity of ended things")
    with closing(History(path, pytest.fail)) as killed:
        recorder = killed.recorder(ChatRequest("m", (Message("user", "two"),)), endpoint="e", session="s")
        for piece in ("The rea", "son is Gra", "vity, or 流", "式传输"):
            recorder.handle(TextDelta(1.0, piece))
            killed._save_running()
        keep("three", "no force at all")
        assert numbers(history, words="gravity") == [1, 2]
        assert numbers(history, 1, words="gravity") == [2]
        assert numbers(history, words='"reason is gravity"') == [2]
        assert numbers(history, words="reas*") == [2]
        assert numbers(history, words="two reason") == [2]
        assert numbers(history, words="two gravity force") == []
        assert numbers(history, words="流式传") == [2]
        assert numbers(history, words="流式传 gravity") == [2]
        assert numbers(history, words="gravity", outcome="unfinished") == [2]
        [turn] = history.turns(None, Selection(words="reason"))
        assert isinstance(turn, FoundTurn)
        assert f"The {MARKS[0]}reason{MARKS[1]} is Gravity" in turn.found
        recorder.end(Turn(ChatRequest("m", ()), "Something else", "", Outcome.COMPLETE, "stop", None, Timing(total=1.0)))
        assert numbers(history, words="gravity") == [1]
        assert numbers(history, words="something") == [2]


def test_turns_that_never_ended_are_deleted_by_their_words(history: History, keep: Keep) -> None:
    keep("one", "gravity")
    recorder = history.recorder(ChatRequest("m", (Message("user", "two"),)), endpoint="e", session="s")
    recorder.handle(TextDelta(1.0, "gravity"))
    history._save_running()
    assert history.delete(Selection(words="gravity")) == 2
    assert history.turns() == []


def test_a_number_is_never_given_twice(history: History, keep: Keep) -> None:
    keep("one")
    keep("two")
    history.delete(Selection(numbers=[2]))
    keep("three")
    assert numbers(history) == [1, 3]


def test_turns_of_the_version_before_are_found(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        for statement in MIGRATIONS[1]:
            connection.execute(statement)
        connection.execute(
            "INSERT INTO turns (session, started_at, endpoint, model, settings, prompt, text, messages, outcome) "
            "VALUES ('s', '2025-12-10T17:34:32.123Z', 'e', 'm', '{}', 'Why?', 'Gravity.', '[]', 'complete')"
        )
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    with closing(History(path, pytest.fail)) as history:
        assert numbers(history, words="gravity") == [1]
        history.delete(Selection(numbers=[1]))
        assert numbers(history, words="gravity") == []
