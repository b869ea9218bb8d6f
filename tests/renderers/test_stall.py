"""The hint of a stall: it comes, it counts, and it goes without a trace."""

from __future__ import annotations

import gc
import io
import os
import re
import signal
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wcwidth import wcwidth

from screen import Terminal
from server import LAST_FRAME, Gate, Hang, Send, answer, chunk, frame, sse
from streaming_chat.core.events import Finished, Outcome, ReasoningDelta, Retrying, Sent, Started, TextDelta, ToolCallDelta
from streaming_chat.renderers import stall
from streaming_chat.renderers.plain import TerminalRenderer
from streaming_chat.renderers.stall import StallHint, certain_width, most_columns
from streaming_chat.terminal.output import Output
from streaming_chat.text.sanitize import sanitize

LONG = "no data for {}s · Ctrl-C ends the answer"
LONG_BEHIND_TEXT = " no data for {}s - Ctrl-C ends the answer"
SHORT_BEHIND_TEXT = " no data for {}s"
FINISHED = Finished(0.0, Outcome.COMPLETE, "stop")
#: What may be written besides text: see the top of stall.py.
LISTED = re.compile(r"\x1b\[K|\x1b\[\d+D|\x1b\[2m|\x1b\[0m")


class Tube(io.BytesIO):
    """A terminal's stream: everything written is drawn, and kept."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self.terminal = terminal
        self.written: list[str] = []

    def write(self, data) -> int:
        text = bytes(data).decode()
        self.written.append(text)
        # What the kernel makes of a newline.
        self.terminal.feed(text.replace("\n", "\r\n").encode())
        return len(data)


class Scene:
    """A renderer and its hint on one terminal, with a clock that the test moves; no thread unless `start`ed."""

    def __init__(self, columns: int = 80, *, color: bool = False, lines: int = 40, **options) -> None:
        self.now = 100.0
        self.terminal = Terminal(columns, lines)
        self.tube = Tube(self.terminal)
        self.output = Output(self.tube, is_terminal=True, color=color)
        options = {"clock": lambda: self.now, "columns": lambda: self.terminal.columns, **options}
        self.hint = StallHint(self.output, self.output, **options)
        self.renderer = TerminalRenderer(self.output, self.output, hint=self.hint)
        self.hint.handle(Started(0.0, "m", None))

    def tell(self, *events) -> None:
        for event in events:
            self.renderer.handle(event)
            self.hint.handle(event)

    def text(self, *texts: str) -> None:
        self.tell(*(TextDelta(0.0, text) for text in texts))

    def stall(self, seconds: float) -> float:
        """Time passes, and the thread looks."""
        self.now += seconds
        return self.hint._draw_if_due()

    def end(self) -> None:
        self.renderer.end(None)
        self.hint.handle(FINISHED)
        self.hint.end(None)

    @property
    def rows(self) -> list[str]:
        rows = self.terminal.rows_text()
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def cursor(self) -> tuple[int, int]:
        return self.terminal.cursor.y, self.terminal.cursor.x


# When -----------------------------------------------------------------------------------------------------------------


def test_it_is_not_drawn_while_the_row_of_the_cursor_is_somebody_elses():
    foreground = False
    scene = Scene(may_draw=lambda: foreground)
    scene.stall(11)
    assert scene.rows == []
    foreground = True
    scene.stall(1)
    assert scene.rows == [LONG.format(12)]


def test_it_comes_after_ten_seconds_counts_and_goes_with_the_next_data():
    scene = Scene()
    assert scene.stall(9.9) == pytest.approx(0.1)
    assert scene.rows == []
    assert scene.stall(0.2) == pytest.approx(0.9)
    assert scene.rows == [LONG.format(10)]
    assert scene.cursor == (0, 0)
    scene.stall(2)
    assert scene.rows == [LONG.format(12)]
    scene.text("Hello")
    assert scene.rows == ["Hello"]
    scene.stall(11)
    assert scene.rows == ["Hello" + LONG_BEHIND_TEXT.format(11)]
    assert scene.cursor == (0, 5)
    scene.text(" world")
    assert scene.rows == ["Hello world"]


def test_data_without_text_takes_it_away_too():
    scene = Scene()
    scene.stall(15)
    scene.tell(Started(0.0, "m", None))
    assert scene.rows == []
    scene.stall(9)
    assert scene.rows == []


def test_there_is_none_while_a_retry_is_waited_for_and_the_count_begins_behind_the_wait():
    scene = Scene()
    scene.stall(15)
    scene.tell(Retrying(0.0, 2, 3, 30.0, "busy"))
    assert scene.rows == []
    scene.stall(39)
    assert scene.rows == []
    scene.stall(3)
    assert scene.rows == [LONG.format(12)]


def test_nothing_is_drawn_between_the_text_and_the_end_of_its_event():
    scene = Scene()
    scene.stall(15)
    scene.renderer.handle(TextDelta(0.0, "half"))  # Interrupted here: the hint is never told.
    scene.stall(100)
    assert scene.rows == ["half"]


def test_the_end_takes_it_away():
    scene = Scene()
    scene.text("text")
    scene.stall(15)
    scene.end()
    assert scene.rows == ["text"]
    assert scene.cursor == (1, 0)
    scene.stall(100)
    assert scene.rows == ["text"]


# Where ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "line", "form"),
    [
        (43, "", LONG),
        (42, "", LONG),
        (41, "", "no data for {}s"),
        (16, "", "no data for {}s"),
        (15, "", ""),
        (0, "", ""),
        (46, "abcd", LONG_BEHIND_TEXT),
        (45, "abcd", SHORT_BEHIND_TEXT),
        (21, "abcd", SHORT_BEHIND_TEXT),
        (20, "abcd", ""),
        (20, "a" * 20, ""),
        (20, "a" * 23, SHORT_BEHIND_TEXT),
        (20, "a" * 24, ""),
        (20, "a" * 40, ""),
        (20, "雪" * 10 + "\tab", ""),
        (50, "—" * 5, SHORT_BEHIND_TEXT),
        (80, "\tx", LONG_BEHIND_TEXT),
        (80, "雪" * 19, LONG_BEHIND_TEXT),
        (80, "雪" * 20, SHORT_BEHIND_TEXT),
        (80, "👩‍🔬 é — “…”", LONG_BEHIND_TEXT),
        (40, "👩‍🔬" * 10, ""),
    ],
)
def test_the_longest_form_that_surely_fits_is_shown(columns, line, form):
    text = stall._fitting(12, line, columns)
    assert text == form.format(12)
    # In a row of its own, or behind text whose last row is known.
    assert not text or (most_columns(line, columns) or 0) + len(text) < columns


def test_the_width_is_asked_each_time():
    scene = Scene()
    scene.text("abcd")
    scene.stall(12)
    assert scene.rows == ["abcd" + LONG_BEHIND_TEXT.format(12)]
    scene.terminal.resize(40, 50)
    scene.stall(1)
    assert scene.rows == ["abcd" + LONG_BEHIND_TEXT.format(13)]
    scene.terminal.resize(40, 20)
    scene.stall(1)
    assert scene.rows == ["abcd"]


def test_dim_where_there_is_colour_and_nothing_but_the_listed_sequences():
    for color in (True, False):
        scene = Scene(color=color)
        scene.stall(12)
        assert ("\x1b[2m" in scene.tube.written[-1]) is color
        scene.text("abcd")
        scene.stall(12)
        scene.stall(1)
        scene.end()
        everything = LISTED.sub("", "".join(scene.tube.written))
        assert "\x1b" not in everything
        assert color or "m" not in "".join(LISTED.findall("".join(scene.tube.written)))


def test_a_width_that_counts_as_certain_is_the_tables_and_none_is_above_two():
    for code in range(0x20, sys.maxunicode + 1):
        char = chr(code)
        assert wcwidth(char) <= 2, hex(code)
        if (width := certain_width(char)) is not None and sanitize(char) == char:
            assert width == wcwidth(char), hex(code)


PIECES = st.text(
    st.one_of(
        st.sampled_from(list("ab \t\n雪漢ｶé“·—👋👩❤")),
        st.sampled_from(["\u0301", "\ufe0f", "\u200d", "\u202e"]),
        st.characters(),
    ),
    max_size=30,
)
EVENTS = st.one_of(
    PIECES.map(lambda text: TextDelta(0.0, text)),
    PIECES.map(lambda text: ReasoningDelta(0.0, text)),
    PIECES.map(lambda text: ToolCallDelta(0.0, 0, "f", text)),
    st.just(Started(0.0, "m", None)),
)


def picture(scene: Scene):
    cells = [{x: cell for x, cell in row.items() if cell.data != " "} for row in scene.terminal.scrollback]
    cells += [
        {x: cell for x, cell in scene.terminal.buffer[y].items() if cell.data != " "} for y in range(scene.terminal.lines)
    ]
    return cells, scene.cursor


@pytest.mark.parametrize("columns", [20, 80])
@settings(deadline=None)  # A busy machine is no fault.
@given(script=st.lists(st.tuples(EVENTS, st.integers(0, 3)), max_size=12), color=st.booleans())
def test_hints_between_any_deltas_leave_no_trace(columns, script, color):
    plain, hinted = Scene(columns, color=color, lines=6), Scene(columns, color=color, lines=6)
    for event, stalls in script:
        plain.tell(event)
        hinted.tell(event)
        before = picture(hinted)
        for _ in range(stalls):
            hinted.stall(11)
            assert hinted.cursor == before[1]
        # Data without a text takes the hint away: each moment's screen is compared, not the last one alone.
        hinted.tell(Started(0.0, "m", None))
        assert picture(hinted) == before == picture(plain)
    hinted.stall(11)
    plain.end()
    hinted.end()
    assert picture(hinted) == picture(plain)


# The thread -----------------------------------------------------------------------------------------------------------


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "stall hint"]


def wait_until(condition) -> None:
    deadline = time.perf_counter() + 60
    while not condition():
        assert time.perf_counter() < deadline
        time.sleep(0.001)


def test_the_thread_draws_and_ends_with_the_turn():
    scene = Scene(patience=0.02, tick=0.01, clock=time.perf_counter)
    scene.tell(Sent(0.0))
    wait_until(lambda: scene.tube.written)
    assert len(threads()) == 1
    scene.text("text")
    scene.end()
    assert threads() == []
    assert scene.rows == ["text"]
    scene.hint.close()


def test_while_data_flows_the_thread_sleeps():
    scene = Scene(patience=0.5, clock=time.perf_counter)
    looks = []
    look = scene.hint._draw_if_due
    scene.hint._draw_if_due = lambda: looks.append(1) or look()
    scene.tell(Sent(0.0))
    began = time.perf_counter()
    while time.perf_counter() < began + 0.8:
        scene.text("x")
        time.sleep(0.001)
    scene.end()
    # Once for each patience, and not for each text.
    assert len(looks) <= 2 + (time.perf_counter() - began) / 0.5


def test_a_closed_terminal_ends_the_thread_and_not_the_answer():
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stream:
        output = Output(stream, is_terminal=True, color=False)
        hint = StallHint(output, output, patience=0.01, columns=lambda: 80)
        hint.handle(Sent(0.0))
        wait_until(lambda: not threads())
        hint.make_way("text")
        hint.handle(TextDelta(0.0, "text"))
        hint.close()


def test_data_that_comes_while_the_place_is_measured_keeps_the_hint_away():
    scene = Scene(columns=80)
    scene.hint._columns = lambda: scene.text("just now") or 80
    scene.stall(15)
    assert scene.rows == ["just now"]


def test_a_hint_and_a_text_never_mix():
    scene = Scene(60, patience=0.0, tick=0.0001, clock=time.perf_counter, lines=5)
    scene.tell(Sent(0.0))
    words = [f"w{number} " + "\n" * (number % 9 == 0) for number in range(600)]
    for word in words[:300]:
        scene.text(word)
        time.sleep(0.0002)
    wait_until(lambda: any("no data" in written for written in list(scene.tube.written)))
    for word in words[300:]:
        scene.text(word)
        time.sleep(0.0002)
    scene.end()
    quiet = Scene(60, lines=5)
    quiet.text(*words)
    quiet.end()
    assert any("no data" in written for written in scene.tube.written)
    assert picture(scene) == picture(quiet)


def test_nothing_is_said_while_the_terminal_has_yet_to_take_some_of_the_answer():
    stream = io.BytesIO()
    output = Output(stream, is_terminal=True, color=False)
    output._backlog = bytearray(b"what a stopped terminal has not taken")
    hint = StallHint(output, output, patience=0.05, tick=0.01, columns=lambda: 80)
    looks = []
    look = hint._draw_if_due
    hint._draw_if_due = lambda: looks.append(1) or look()
    hint.handle(Sent(0.0))
    wait_until(lambda: len(looks) > 5)
    assert not stream.getvalue()
    output._backlog = None
    wait_until(lambda: b"no data" in stream.getvalue())
    hint.end(None)


def test_an_interrupt_at_any_place_leaves_neither_hint_nor_lock():
    fired = []

    def interrupt(number, _frame):
        fired.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    gc.disable()  # An interrupt inside a callback of the collector is nobody's.
    hints = 0
    try:
        for number in range(400):
            fired.clear()
            # Only a stream that is not written in Python takes a text wholly or not at all, as the real one does.
            stream = io.BytesIO()
            output = Output(stream, is_terminal=True, color=True)
            hint = StallHint(output, output, patience=0.0, tick=0.00005, columns=lambda: 80)
            renderer = TerminalRenderer(output, output, hint=hint)
            try:
                if number % 2:
                    signal.setitimer(signal.ITIMER_REAL, 0.0003 + number * 0.000003)
                hint.handle(Sent(0.0))
                if not number % 2:
                    # Of every other one a hint is there first, however busy the machine is.
                    while not hint._shown:
                        time.sleep(0)
                    signal.setitimer(signal.ITIMER_REAL, 0.0001 + number * 0.000003)
                while not fired:
                    for event in (TextDelta(0.0, "w"), Started(0.0, "m", None)):
                        while not (hint._shown or fired):
                            time.sleep(0)
                        renderer.handle(event)
                        hint.handle(event)
            except KeyboardInterrupt:
                pass
            renderer.end(None)  # Hangs if a lock is held.
            hint.handle(FINISHED)
            hint.end(None)
            terminal = Terminal(80, 100)
            terminal.feed(stream.getvalue().replace(b"\n", b"\r\n"))
            assert re.fullmatch("w*", "".join(terminal.rows_text())), number
            hints += b"no data" in stream.getvalue()
            assert not hint._lock.locked()
            wait_until(lambda: not threads())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    assert hints >= 200


def test_an_interrupted_end_is_made_up_for_by_the_next_renderer():
    scene = Scene()
    scene.text("text")
    scene.stall(15)
    # The renderer's own end never came.
    scene.hint.handle(FINISHED)
    scene.hint.end(None)
    assert scene.rows == ["text"]


# The program ----------------------------------------------------------------------------------------------------------


def test_the_program_shows_it_and_goes_on_where_it_was(chat, server):
    on = threading.Event()
    end = [Send(frame(sse(chunk(" world")))), Send(frame(sse("[DONE]"))), Send(LAST_FRAME)]
    server.play([*answer(["Hello"], finish_reason=None, done=False)[:-1], Gate(on), *end], [Hang()])
    # One stalls in its text; one gets not even headers, and is ended by Ctrl-C. Side by side, as a stall takes its time.
    in_text, before_headers, quiet = chat(), chat(), chat("--quiet")
    in_text.line("hi")
    in_text.wait_for("Hello")
    before_headers.line("hi")
    quiet.line("hi")
    first = in_text.wait_for(re.compile(r"Hello no data for (1\d)s - Ctrl-C ends the answer"))
    assert in_text.cursor[1] == len("Hello")
    in_text.wait_for(re.compile(rf"Hello no data for (?!{first[1]})\d\ds - Ctrl-C ends the answer"))
    before_headers.wait_for(re.compile(r":\nno data for \d\ds · Ctrl-C ends the answer\Z"))
    assert b"no data" not in quiet.raw
    on.set()
    in_text.wait_for(re.compile(r"^Hello world\n\(first token: .*\n\nYou:\Z", re.MULTILINE))
    before_headers.key("ctrl-c")
    before_headers.wait_for(re.compile(r"You: hi\nAssistant \(streaming\.\.\.\):\nnotice: interrupted.*\n(.*\n)*You:\Z"))
    for screen in (in_text, before_headers):
        assert "no data" not in screen.text
