"""The history keeps every turn from the moment it is sent, and never stands in the way of an answer."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from history_process import output_of, run
from streaming_chat.cli.hints import Hints
from streaming_chat.core.arrivals import KINDS, Arrival, decode_arrivals, encode_arrivals
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ChatError, QuotaError, UsageError
from streaming_chat.core.events import (
    Event,
    Outcome,
    ReasoningDelta,
    RefusalDelta,
    Sent,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from streaming_chat.core.timing import Gaps, Timing
from streaming_chat.core.turn import ToolCall, Turn
from streaming_chat.history import History, Recorder, StoredError, StoredTurn, store
from streaming_chat.history import open_file as module

HINTS = Hints()

ENDPOINT = "https://api.example.test/v1"
REQUEST = ChatRequest("gpt-4o-mini", (Message("system", "Be brief."), Message("user", "Why?")))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def history(path: Path, notices: list[str]) -> Iterator[History]:
    with closing(History(path, notices.append)) as history:
        yield history


def record(history: History, request: ChatRequest = REQUEST, endpoint: str = ENDPOINT) -> Recorder:
    recorder = history.recorder(request, endpoint=endpoint, session="s-1")
    recorder.handle(Sent(100.0))
    return recorder


def whole(text: str = "Because.", request: ChatRequest = REQUEST) -> Turn:
    return Turn(request, text, "", Outcome.COMPLETE, "stop", None, Timing(total=1.5, first_token=0.25))


def stored(history: History, number: int | None) -> StoredTurn:
    assert number is not None
    turn = history.turn(number)
    assert turn is not None
    return turn


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# A turn


def test_a_turn_is_a_row_from_the_moment_it_is_sent(history: History, path: Path) -> None:
    number = record(history).number
    with closing(History(path, pytest.fail)) as other:
        turn = stored(other, number)
    assert (turn.outcome, turn.status, turn.timing) == (None, "unfinished", None)
    assert (turn.prompt, turn.messages, turn.model) == ("Why?", REQUEST.messages, "gpt-4o-mini")
    assert (turn.session, turn.endpoint) == ("s-1", ENDPOINT)
    assert turn.started_at.utcoffset() is not None
    assert abs(turn.started_at.timestamp() - time.time()) < 60


def test_an_ended_turn_reads_as_it_was(history: History) -> None:
    request = ChatRequest("m", (Message("user", "Hi"),), temperature=0.5, max_tokens=7, extra={"seed": 1})
    recorder = record(history, request)
    for event in (
        Started(100.1, "m-2025", "req_1"),
        ReasoningDelta(100.25, "Hm"),
        TextDelta(100.5, "Hel"),
        TextDelta(100.75, "lo"),
        RefusalDelta(101.0, "No"),
        ToolCallDelta(101.25, 0, "add", "{}"),
    ):
        recorder.handle(event)
    timing = Timing(1.5, 0.1, 0.5, 0.25, Gaps(0.1, 0.2, 0.3), 9.5, 2)
    usage = Usage(3, 4, None, 0)
    error = QuotaError("no money", "pay", status_code=429, code="insufficient_quota")
    turn = Turn(
        request,
        "Hello",
        "Hm",
        Outcome.ERROR,
        "stop",
        usage,
        timing,
        error,
        "No",
        (ToolCall("add", "{}"),),
        "m-2025",
        "req_1",
    )
    recorder.end(turn)

    kept = stored(history, recorder.number)
    assert (kept.text, kept.reasoning, kept.refusal) == ("Hello", "Hm", "No")
    assert (kept.outcome, kept.status, kept.finish_reason) == (Outcome.ERROR, "error", "stop")
    assert (kept.usage, kept.timing, kept.tool_calls) == (usage, timing, turn.tool_calls)
    assert (kept.served_model, kept.request_id) == ("m-2025", "req_1")
    assert kept.settings == {"temperature": 0.5, "max_tokens": 7, "extra": {"seed": 1}}
    assert kept.error == StoredError("QuotaError", "no money", "pay", 429, "insufficient_quota")
    assert kept.arrivals == (
        Arrival(0.25, "reasoning", 2),
        Arrival(0.5, "text", 3),
        Arrival(0.75, "text", 2),
        Arrival(1.0, "refusal", 2),
        Arrival(1.25, "tool_call", 5),
    )


def test_what_the_user_did_not_set_and_the_server_did_not_say_is_absent(history: History) -> None:
    recorder = record(history)
    recorder.end(whole())
    turn = stored(history, recorder.number)
    assert (turn.settings, turn.usage, turn.error, turn.request_id) == ({}, None, None, None)
    assert turn.timing == Timing(total=1.5, first_token=0.25)


def test_a_key_in_the_endpoint_is_not_kept(history: History, path: Path) -> None:
    record(history, endpoint="https://me:sk-secret@api.example.test/v1?api-key=sk-secret#sk-secret")
    assert history.turns()[0].endpoint == ENDPOINT
    history.close()
    assert b"sk-secret" not in path.read_bytes()


def test_a_servers_absurd_count_is_absent_and_the_turn_is_kept(history: History, notices: list[str]) -> None:
    recorder = record(history)
    recorder.end(Turn(REQUEST, "x", "", Outcome.COMPLETE, None, Usage(10**30, 2), Timing(total=1.0)))
    assert stored(history, recorder.number).usage == Usage(None, 2)
    assert notices == []


def test_turns_are_listed_newest_last_and_limited(history: History) -> None:
    for prompt in "abc":
        record(history, ChatRequest("m", (Message("user", prompt),)))
    assert [turn.prompt for turn in history.turns()] == ["a", "b", "c"]
    assert [turn.prompt for turn in history.turns(2)] == ["b", "c"]


@pytest.mark.parametrize("number", [0, -1, 2, 2**63, -(2**64)])
def test_an_unknown_number_is_no_turn(history: History, number: int) -> None:
    record(history)
    assert history.turn(number) is None


def test_reading_makes_no_file(history: History, path: Path) -> None:
    assert history.turns() == []
    assert history.turn(1) is None
    assert not path.parent.exists()


def test_several_turns_at_once_do_not_mix(history: History, notices: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SAVE_INTERVAL", 0.002)
    together = threading.Barrier(4)
    recorders: dict[str, Recorder] = {}

    def answer(letter: str) -> None:
        together.wait()
        recorders[letter] = record(history, ChatRequest("m", (Message("user", letter),)))
        for _ in range(300):
            recorders[letter].handle(TextDelta(100.0, letter))
            time.sleep(0.0001)
        recorders[letter].end(whole(letter * 300))

    threads = [threading.Thread(target=answer, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for letter, recorder in recorders.items():
        turn = stored(history, recorder.number)
        assert (turn.prompt, turn.text) == (letter, letter * 300)
        assert turn.arrivals == (Arrival(0.0, "text", 1),) * 300
    assert notices == []


# What is saved while a turn runs


def test_the_text_so_far_is_read_by_others_while_the_turn_runs(
    history: History, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SAVE_INTERVAL", 0.005)
    recorder = record(history)
    with closing(History(path, pytest.fail)) as other:
        events: tuple[Event, ...] = (
            Started(100.0, "m-2025", "req_1"),
            ReasoningDelta(100.5, "Hm"),
            TextDelta(101.0, "Hel"),
            ToolCallDelta(101.5, 1, "sub", ""),
            ToolCallDelta(101.5, 0, "add", ""),
            TextDelta(102.0, "lo"),
            ToolCallDelta(102.5, 1, "", "{}"),
            RefusalDelta(103.0, "No"),
        )
        for count, event in enumerate(events):  # each of them in a save of its own
            recorder.handle(event)
            wait_until(lambda count=count: len(stored(other, recorder.number).arrivals) == count)
        turn = stored(other, recorder.number)
        assert (turn.text, turn.reasoning, turn.refusal) == ("Hello", "Hm", "No")
        assert turn.tool_calls == (ToolCall("add", ""), ToolCall("sub", "{}"))
        assert (turn.served_model, turn.request_id, turn.outcome) == ("m-2025", "req_1", None)
        assert [arrival.at for arrival in turn.arrivals] == [0.5, 1.0, 1.5, 1.5, 2.0, 2.5, 3.0]

        recorder.end(whole("Hello"))
        turn = stored(other, recorder.number)
        assert (turn.text, len(turn.arrivals), turn.status) == ("Hello", 7, "complete")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM pieces").fetchone() == (0,)


def test_a_killed_process_loses_less_than_a_second(path: Path) -> None:
    process = run(
        """
_, recorder = record(history, "count")
for n in range(10_000):
    recorder.handle(TextDelta(time.perf_counter(), f"{n} "))
    say(n)
    time.sleep(0.02)
""",
        path,
    )
    assert process.stdout is not None
    handled: list[tuple[float, int]] = []
    for line in process.stdout:
        handled.append((time.monotonic(), int(line)))
        if handled[-1][0] - handled[0][0] > 1.4:
            killed_at = time.monotonic()
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    with closing(History(path, pytest.fail)) as history:
        turn = stored(history, 1)
    due = [n for at, n in handled if at < killed_at - 1]
    assert due
    assert turn.text.startswith("".join(f"{n} " for n in due))
    assert sum(arrival.length for arrival in turn.arrivals) == len(turn.text)
    assert (turn.status, turn.prompt) == ("unfinished", "count")


def test_a_stall_right_after_a_delta_loses_nothing(path: Path) -> None:
    process = run(
        """
_, recorder = record(history, "stall")
for piece in ("a", "b", "c"):
    recorder.handle(TextDelta(time.perf_counter(), piece))
say("stalled")
sys.stdin.read()
""",
        path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "stalled\n"
    with closing(History(path, pytest.fail)) as history:
        wait_until(lambda: stored(history, 1).text == "abc")
        process.kill()
        process.communicate()
        assert stored(history, 1).text == "abc"


def test_closing_saves_what_has_come_and_may_be_done_twice(history: History, path: Path, notices: list[str]) -> None:
    recorder = record(history)
    recorder.handle(TextDelta(100.0, "so far"))
    history.close()
    history.close()
    with closing(History(path, pytest.fail)) as other:
        assert stored(other, recorder.number).text == "so far"
    assert not path.with_name("history.db-wal").exists()
    assert notices == []


def test_a_turn_that_ends_after_closing_is_told_and_harmless(history: History, notices: list[str]) -> None:
    recorder = record(history)
    history.close()
    recorder.handle(TextDelta(100.0, "late"))
    recorder.end(whole())
    assert len(notices) == 1
    with pytest.raises(ChatError, match="closed"):
        history.turns()


def test_a_second_turn_after_an_idle_time_is_saved_while_it_runs(
    history: History, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SAVE_INTERVAL", 0.005)
    record(history).end(whole())
    assert history._writer is not None
    time.sleep(0.05)  # the writer thread has gone to sleep without a limit
    recorder = record(history)
    recorder.handle(TextDelta(100.0, "x"))
    with closing(History(path, pytest.fail)) as other:
        wait_until(lambda: stored(other, recorder.number).text == "x")


# Many processes


def test_processes_that_begin_together_lose_nothing(path: Path) -> None:
    processes = [
        run(
            """
sys.stdin.readline()
for n in range(40):
    request, recorder = record(history, f"{sys.argv[2]} {n}")
    recorder.handle(TextDelta(time.perf_counter(), "x"))
    recorder.end(whole(request, f"answer {n}"))
history.close()
""",
            path,
            name,
        )
        for name in "abc"
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [output_of(process) for process in processes] == [[], [], []]
    with closing(History(path, pytest.fail)) as history:
        turns = history.turns()
        assert {turn.status for turn in turns} == {"complete"}
        assert sorted(turn.prompt for turn in turns) == sorted(f"{name} {n}" for name in "abc" for n in range(40))
        assert stored(history, turns[-1].number).text == "answer " + turns[-1].prompt.split()[1]


# Who may read it


@pytest.mark.parametrize("umask", [0o000, 0o027])
def test_only_the_owner_may_read(history: History, path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        record(history)
    finally:
        os.umask(before)
    assert mode(path.parent) == 0o700
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["history.db", "history.db-shm", "history.db-wal"]
    assert [mode(file) for file in files] == [0o600] * 3


def test_a_file_that_others_may_read_is_closed_to_them(history: History, path: Path) -> None:
    path.parent.mkdir()
    path.touch(mode=0o644)
    record(history)
    assert {mode(file) for file in path.parent.iterdir()} == {0o600}


# Versions


def test_a_file_of_version_0_is_brought_up_to_date(history: History, path: Path, notices: list[str]) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")
    assert history.turns() == []
    record(history).end(whole())
    assert len(history.turns()) == 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (module.VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert notices == []


@pytest.mark.parametrize("lock", ["BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_new_file_that_another_process_is_making_too_is_waited_for(path: Path, notices: list[str], lock: str) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE others (x)")
        other.execute(lock)
        other.execute("SELECT * FROM others").fetchall()
        letting_go = threading.Timer(0.2, other.execute, ["ROLLBACK"])
        letting_go.start()
        with closing(History(path, notices.append)) as history:
            record(history).end(whole())
            assert len(history.turns()) == 1
        letting_go.join()
    assert notices == []


def test_a_later_migration_keeps_the_turns(history: History, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(history).end(whole())
    history.close()
    later = module.VERSION + 1
    monkeypatch.setattr(module, "VERSION", later)
    search = "CREATE VIRTUAL TABLE search USING fts5 (prompt, text, content = turns, content_rowid = id)"
    monkeypatch.setattr(
        module,
        "MIGRATIONS",
        {**module.MIGRATIONS, later: (search, "INSERT INTO search (search) VALUES ('rebuild')")},
    )
    with closing(History(path, pytest.fail)) as migrated:
        assert [turn.prompt for turn in migrated.turns()] == ["Why?"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT rowid FROM search WHERE search MATCH 'because'").fetchall() == [(1,)]


def test_a_failed_migration_changes_nothing(path: Path, notices: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIGRATIONS", {1: ("CREATE TABLE turns (id)", "nonsense")})
    with closing(History(path, notices.append)) as history:
        assert record(history).number is None
    assert len(notices) == 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)


def test_a_file_of_a_later_version_is_refused_and_left_alone(history: History, path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE unheard_of (x)")
        connection.execute(f"PRAGMA user_version = {module.VERSION + 1}")
    before = path.read_bytes()
    for attempt in (lambda: record(history), lambda: history.turns(), lambda: history.turn(1)):
        with pytest.raises(UsageError) as caught:
            attempt()
        assert "later version" in caught.value.message
        assert "--no-history" in HINTS.hint_of(caught.value)
    assert path.read_bytes() == before


# What fails is told once, and the answer goes on


def go_on(history: History) -> None:
    for _ in range(2):
        recorder = record(history)
        recorder.handle(TextDelta(100.0, "x"))
        recorder.end(whole())


def test_a_file_in_the_place_of_the_folder_is_told_once(history: History, path: Path, notices: list[str]) -> None:
    path.parent.touch()
    go_on(history)
    (notice,) = notices
    assert "exists" in notice.lower()


def test_a_lock_that_nobody_lets_go_is_told_once(path: Path, notices: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT", 0.05)
    with closing(History(path, notices.append)) as history:
        recorder = record(history)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            recorder.end(whole())
            go_on(history)
        assert len(history.turns()) == 1
    (notice,) = notices
    assert "locked" in notice


def test_a_failure_in_mid_answer_is_told_when_the_turn_ends(
    history: History, path: Path, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SAVE_INTERVAL", 0.005)
    recorder = record(history)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE pieces")
    recorder.handle(TextDelta(100.0, "x"))
    wait_until(lambda: history._failed)
    assert notices == []
    recorder.end(whole())
    assert len(notices) == 1


def test_a_folder_that_cannot_be_written_is_told_once(path: Path) -> None:
    path.parent.mkdir(mode=0o500)
    wrapper: tuple[str, ...] = ()
    if os.geteuid() == 0:  # whom no mode keeps out, unless he gives that up
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root without setpriv may write everywhere")
        wrapper = (setpriv, "--bounding-set=-dac_override,-dac_read_search")
    process = run(
        """
for n in range(2):
    request, recorder = record(history, "x")
    recorder.handle(TextDelta(time.perf_counter(), "x"))
    recorder.end(whole(request, "x"))
history.close()
say("done")
""",
        path,
        wrapper=wrapper,
    )
    notice, last = output_of(process)
    assert "Permission denied" in notice
    assert last == "done"


def test_a_full_disk_is_told_once_and_earlier_turns_are_whole(path: Path) -> None:
    process = run(
        """
request, recorder = record(history, "before")
recorder.end(whole(request, "kept"))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for n in range(2):
    request, recorder = record(history, "too much")
    recorder.handle(TextDelta(time.perf_counter(), "x" * 1_000_000))
    recorder.end(whole(request, "x" * 1_000_000))
history.close()
say("done")
""",
        path,
    )
    notice, last = output_of(process)
    assert notice.startswith("notice: ")
    assert last == "done"
    with closing(History(path, pytest.fail)) as history:
        assert [(turn.prompt, turn.status) for turn in history.turns()] == [
            ("before", "complete"),
            ("too much", "unfinished"),
        ]
        assert stored(history, 1).text == "kept"


# Texts and arrivals

ANY_TEXT = st.text(st.characters(codec=None))
ARRIVALS = st.lists(
    st.builds(
        Arrival,
        at=st.integers(0, 2**40 - 1).map(lambda microseconds: microseconds / 1e6),
        kind=st.sampled_from(KINDS),
        length=st.integers(0, 2**20 - 1),
    )
)


@given(ARRIVALS)
def test_arrivals_survive_in_eight_bytes_each(arrivals: list[Arrival]) -> None:
    encoded = encode_arrivals(arrivals)
    assert len(encoded) == 8 * len(arrivals)
    assert decode_arrivals(encoded) == arrivals


@given(st.integers(2**20, 2**23))
def test_a_huge_delta_takes_several_entries(length: int) -> None:
    arrivals = decode_arrivals(encode_arrivals([Arrival(1.5, "refusal", length)]))
    assert sum(arrival.length for arrival in arrivals) == length
    assert {(arrival.at, arrival.kind) for arrival in arrivals} == {(1.5, "refusal")}


@pytest.mark.parametrize(("at", "kept"), [(-1.0, 0.0), (1e-7, 0.0), (1e9, (2**40 - 1) / 1e6)])
def test_times_out_of_range_count_as_the_nearest(at: float, kept: float) -> None:
    assert decode_arrivals(encode_arrivals([Arrival(at, "text", 1)])) == [Arrival(kept, "text", 1)]


def test_the_form_of_an_arrival_is_fixed() -> None:
    assert encode_arrivals([Arrival(0.000003, "tool_call", 2)]) == bytes([0x23, 0, 0, 3, 0, 0, 0, 0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=50)
@given(st.lists(ANY_TEXT), ANY_TEXT)
@example(["a\0b", "\0", "👩‍👩‍👧", "\ud83d", "\udc69", "e\u0301\r\n"], "\0\udcff?")
def test_texts_survive_but_for_lone_surrogates(history: History, pieces: list[str], prompt: str) -> None:
    def as_kept(text: str) -> str:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)

    request = ChatRequest(prompt, (Message("user", prompt),), extra={"stop": prompt})
    recorder = record(history, request)
    for piece in pieces:
        recorder.handle(TextDelta(100.0, piece))
    error = ChatError(prompt, prompt)
    text = "".join(pieces)
    calls = (ToolCall(prompt, text),)
    recorder.end(Turn(request, text, text, Outcome.ERROR, prompt, None, Timing(1.0), error, text, calls, prompt))

    turn = stored(history, recorder.number)
    assert (turn.text, turn.reasoning, turn.refusal) == (as_kept(text),) * 3
    assert turn.tool_calls == (ToolCall(as_kept(prompt), as_kept(text)),)
    assert (turn.prompt, turn.messages) == (as_kept(prompt), (Message("user", as_kept(prompt)),))
    assert turn.settings == {"extra": {"stop": as_kept(prompt)}}
    assert turn.error is not None
    assert {turn.model, turn.served_model, turn.finish_reason, turn.error.message, turn.error.hint} == {as_kept(prompt)}
    assert [arrival.length for arrival in turn.arrivals] == [len(piece) for piece in pieces]
