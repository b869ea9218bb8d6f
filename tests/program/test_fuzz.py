"""Whatever bytes a server sends: a turn with an outcome, no character lost, no byte obeyed by a terminal.

Strategy: bytes → `ChunkStream` → `run_turn` → every renderer at once, with nothing replaced but the socket. The bytes are
streams of the API's grammar, damaged in the ways in which streams get damaged. `corpus/` holds inputs that a longer,
coverage-guided run found interesting (each reaches code that the others do not); they are played at every run.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import signal
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from http_library import httpx
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ChatError
from streaming_chat.core.events import Event, Finished, Outcome, RefusalDelta, Sent, TextDelta
from streaming_chat.core.turn import Turn
from streaming_chat.engine.loop import run_turn
from streaming_chat.engine.protocols import Provider, TurnObserver
from streaming_chat.providers.endpoint import Endpoint
from streaming_chat.providers.openai_sdk import ChunkStream
from streaming_chat.renderers.ndjson import NDJSONRenderer
from streaming_chat.renderers.plain import PlainRenderer, TerminalRenderer
from streaming_chat.renderers.status import StatusRenderer
from streaming_chat.terminal.notices import Notices
from streaming_chat.terminal.output import STYLES, Output

CORPUS = Path(__file__).parent / "corpus"
ENDPOINT = Endpoint("http://127.0.0.1:1/v1", "sk-test-0123456789abcdef", "OPENAI_API_KEY", 30.0)
REQUEST = ChatRequest("asked-for", (Message("user", "Why?"),))
#: Far more than any test here needs, seconds: what is not over by then hangs.
HANG = 120

_fuzz = settings(
    derandomize=True,
    deadline=None,
    max_examples=800,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# The way of the bytes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Response:
    """A response as the provider reads it. `failure` is what the connection ends with, None for an orderly end."""

    pieces: Sequence[bytes]
    headers: Mapping[str, str]
    failure: Exception | None = None

    @property
    def http_response(self) -> SimpleNamespace:
        return SimpleNamespace(extensions={})

    def iter_bytes(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.failure is not None:
            raise self.failure


@dataclass(frozen=True)
class Wire(Provider):
    """A provider whose every answer is this response."""

    response: Response
    secret = ENDPOINT.secret

    @contextmanager
    def stream(self, _request: ChatRequest) -> Iterator[ChunkStream]:
        yield ChunkStream(self.response, ENDPOINT)


class Witness(TurnObserver):
    """A renderer that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.turns: list[Turn] = []

    def handle(self, event: Event) -> None:
        self.events.append(event)

    def end(self, turn: Turn) -> None:
        self.turns.append(turn)


@dataclass(frozen=True)
class Played:
    """What came of some bytes: everything, except the times."""

    turn: Turn
    events: list[Event]
    plain: bytes
    ndjson: bytes
    terminal: bytes

    @property
    def essence(self) -> str:
        """What must not depend on the cut."""
        turn = self.turn
        error = turn.error and (type(turn.error), turn.error.message, turn.error.code)
        events = [
            (type(event), {name: value for name, value in vars(event).items() if name != "at"}) for event in self.events
        ]
        whole = (turn.text, turn.reasoning, turn.refusal, turn.tool_calls, turn.outcome, turn.finish_reason)
        # NaN is not equal to itself: as it is written, it is.
        return repr((whole, error, events))


def play(pieces: Sequence[bytes], content_type: str = "text/event-stream", failure: Exception | None = None) -> Played:
    witness, plain, ndjson, terminal = Witness(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    screen = Output(terminal, is_terminal=True, color=True)
    ticks = itertools.count()
    turn = run_turn(
        REQUEST,
        Wire(Response(pieces, {"content-type": content_type, "x-request-id": "req\x1b[2J\u202e"}, failure)),
        [
            witness,
            PlainRenderer(Output(plain, is_terminal=False, color=False)),
            NDJSONRenderer(Output(ndjson, is_terminal=False, color=False)),
            TerminalRenderer(screen, screen),
            StatusRenderer(Notices(screen), in_chat=False, latency=True, calls_are_shown=False),
        ],
        retries=0,
        clock=lambda: float(next(ticks)),
    )
    assert witness.turns == [turn]
    return Played(turn, witness.events, plain.getvalue(), ndjson.getvalue(), terminal.getvalue())


# What holds for all of them -------------------------------------------------------------------------------------------

_SGR = re.compile("\x1b\\[(?:0|" + "|".join(map(re.escape, STYLES.values())) + ")m")
#: Shown or dropped by no terminal: they turn text round, or hide in it.
_INVISIBLE = re.compile("[\xad\u180e\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_LONE_CLOSE = re.compile(r"^[ \t]*</think>[ \t]*$", re.MULTILINE)


def check(played: Played, size: int) -> None:
    turn = played.turn
    assert isinstance(turn.outcome, Outcome)
    assert turn.error is None or isinstance(turn.error, ChatError)
    assert turn.error is None or not turn.error.message.startswith("unexpected"), turn.error.message
    assert isinstance(turn.exit_status, int)
    assert (turn.exit_status == 0) == (turn.outcome is Outcome.COMPLETE)
    assert isinstance(played.events[0], Sent)
    assert isinstance(played.events[-1], Finished)
    # Work is bounded: nothing comes from nothing.
    assert len(played.events) <= 4 + size
    check_text(played)
    check_plain(played)
    check_ndjson(played)
    check_terminal(played.terminal)
    check_secret(played)


def check_secret(played: Played) -> None:
    """The key that the request carried comes out nowhere, however the server cuts it."""
    turn = played.turn
    calls = [text for call in turn.tool_calls for text in (call.name, call.arguments)]
    for text in (turn.text, turn.reasoning, turn.refusal, *calls, played.plain.decode(), played.ndjson.decode()):
        assert ENDPOINT.secret not in text


def check_text(played: Played) -> None:
    """No character is lost: the deltas are the text, but for what a lone `</think>` turns into reasoning afterwards."""
    shown = "".join(event.text for event in played.events if isinstance(event, TextDelta))
    shown.encode()  # No half of a character is left.
    played.turn.text.encode()
    if played.turn.text != shown:
        assert _LONE_CLOSE.search(shown)
        assert shown.endswith(played.turn.text)
        assert played.turn.reasoning.endswith(shown.removesuffix(played.turn.text).rpartition("</think>")[0].strip())


def check_plain(played: Played) -> None:
    text = "".join(event.text for event in played.events if isinstance(event, (TextDelta, RefusalDelta)))
    assert played.plain.decode() == text + ("\n" if text and not text.endswith("\n") else "")


def check_ndjson(played: Played) -> None:
    lines = [json.loads(line, parse_constant=no_json) for line in played.ndjson.decode().split("\n")[:-1]]
    assert [line["event"] for line in lines].count("end") == 1
    end = lines[-1]
    assert (end["event"], end["text"], end["outcome"]) == ("end", played.turn.text, played.turn.outcome.value)
    assert [line["text"] for line in lines if line["event"] == "delta"] == [
        event.text for event in played.events if isinstance(event, TextDelta)
    ]


def no_json(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


def check_terminal(written: bytes) -> None:
    """Printable text, LF, TAB and this program's own styles: nothing else reaches a terminal."""
    text = _SGR.sub("", written.decode())
    obeyed = {char for char in set(text) - {"\n", "\t"} if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")}
    assert not obeyed, text
    assert not _INVISIBLE.search(text), ascii(text)


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    def hangs(_number: int, _frame: FrameType | None) -> NoReturn:
        raise AssertionError(f"not over after {HANG} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(HANG)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# Grammar --------------------------------------------------------------------------------------------------------------

#: Pieces of texts that mean something to somebody: a terminal, a splitter, a decoder.
_NOTABLE = [
    *("\x1b[2J", "\x1b]52;c;QUJD\x07", "\x1b]8;;http://h\x1b\\", "\x1bP$qm\x1b\\", "\x9b31m", "\x1b", "\x07\x07\x07\x07"),
    *("\r", "\r\n", "\n", "\t", "\x00", "\x7f", "\x85", "\u2028", "\x08\x08", " ", "\u3000"),
    *("<think>", "</think>", "<thi", "nk>", "\n</think>\n", "</thi", "<think></think>"),
    *("\ud83d", "\ude00", "\ud83d\ude00", "\U0001f600", "\ufeff", "\u202e", "\u2066", "\u200b", "\u200d", "\u200e"),
    *("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\U000e0041", "e" + "\u0301" * 20, "\u05d0"),
    *(ENDPOINT.secret, ENDPOINT.secret[:9], ENDPOINT.secret[9:], "sk-"),
    *("data: x\n\n", "[DONE]", '"', "\\", "雪", "é", "word ", ""),
]
texts = st.lists(st.sampled_from(_NOTABLE) | st.text(max_size=5), max_size=5).map("".join)
#: Values of a wrong type, and numbers at the edges of what JSON, Python and SQLite can hold.
wrong = st.sampled_from(
    [None, True, False, 0, -1, 2**70, 1.5, float("nan"), float("inf"), -1e308, [], {}, [None], {"a": []}, "", "text"]
)
_FINISH = ["stop", "length", "content_filter", "tool_calls", "function_call", "error", "abort", "eos", "\x1b[31mstop", ""]


def usually(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """`strategy`, and now and then something that has no business there."""
    return st.one_of(strategy, strategy, strategy, wrong)


functions = st.fixed_dictionaries({}, optional={"name": usually(texts), "arguments": usually(texts)})
calls = st.lists(
    usually(st.fixed_dictionaries({"function": usually(functions)}, optional={"index": usually(st.integers(-1, 3))})),
    max_size=3,
)
parts = st.lists(usually(st.fixed_dictionaries({"type": st.just("text"), "text": usually(texts)})), max_size=3)
deltas = st.fixed_dictionaries(
    {},
    optional={
        "role": usually(st.just("assistant")),
        "content": usually(texts | parts),
        "reasoning_content": usually(texts),
        "reasoning": usually(texts),
        "reasoning_details": usually(parts),
        "refusal": usually(texts),
        "tool_calls": usually(calls),
        "function_call": usually(functions),
    },
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "index": usually(st.integers(0, 2)),
        "delta": usually(deltas),
        "message": usually(deltas),
        "text": usually(texts),
        "finish_reason": usually(st.sampled_from(_FINISH)),
        "logprobs": usually(st.dictionaries(texts, wrong, max_size=2)),
    },
)
errors = texts | st.fixed_dictionaries(
    {"message": usually(texts)}, optional={"code": usually(texts), "type": usually(texts)}
)
usages = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": usually(st.integers(0, 9)),
        "completion_tokens": usually(st.integers(0, 9)),
        "completion_tokens_details": usually(st.fixed_dictionaries({"reasoning_tokens": usually(st.integers(0, 9))})),
    },
)
plain_chunks = texts.map(lambda text: {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
odd_chunks = st.fixed_dictionaries(
    {},
    optional={"model": usually(texts), "choices": usually(st.lists(usually(choices), max_size=3)), "usage": usually(usages)},
)


def choice(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A chunk with one choice that has these fields."""
    return st.fixed_dictionaries(fields).map(lambda one: {"choices": [one]})


# Each of them often enough: what stands deep inside another strategy is hardly ever drawn.
chunks = st.one_of(
    plain_chunks,
    plain_chunks,
    odd_chunks,
    choice(delta=deltas),
    choice(delta=st.fixed_dictionaries({"tool_calls": calls})),
    choice(delta=st.fixed_dictionaries({"refusal": texts})),
    choice(delta=st.just({}), finish_reason=st.sampled_from(_FINISH)),
    choice(delta=st.just({}), logprobs=st.dictionaries(texts, wrong, min_size=1, max_size=2)),
    choice(index=wrong, delta=st.dictionaries(texts, wrong, max_size=2)),
    st.fixed_dictionaries({"choices": st.just([]), "usage": usages}),
    st.fixed_dictionaries({"error": usually(errors)}),
    wrong,
)


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """One server-sent event, with a chunk or not."""
    line_end = draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r"]))
    kind = draw(st.integers(0, 11))
    if kind == 0:
        return b"data: [DONE]" + line_end * 2
    if kind == 1:
        odd = [
            b": keep-alive",
            b"event: ping",
            b"id: 1",
            b"id: \0",
            b"retry: 1",
            b"retry: x",
            b"data",
            b"data:",
            b"",
            b"x: y",
        ]
        return line_end.join(draw(st.lists(st.sampled_from(odd), max_size=4))) + line_end * draw(st.integers(1, 2))
    value = draw(chunks)
    # Escapes keep halves of characters; without them they are what UTF-8 makes of them.
    data = json.dumps(value, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    if kind == 2:  # An indented object is several `data:` lines.
        data = line_end.join(b"data: " + line for line in json.dumps(value, indent=1).encode().split(b"\n"))
        return data + line_end * 2
    return (b"data:" if kind == 3 else b"data: ") + data + line_end * 2


streams = st.one_of(
    st.lists(events(), max_size=8).map(b"".join),
    st.lists(events(), max_size=8).map(lambda some: b"".join(some) + b"data: [DONE]\n\n"),
    # Not a stream at all: a whole completion, an error, a page, something else.
    odd_chunks.map(lambda value: json.dumps(value, indent=1).encode()),
    st.fixed_dictionaries({"error": usually(errors)}).map(lambda value: json.dumps(value).encode()),
    texts.map(lambda text: f"<html><title>{text}</title></html>".encode(errors="surrogatepass")),
)

_GARBAGE = [
    b"\xff",
    b"\xc3",
    b"\xed\xa0\xbd",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\0",
    b"data: ",
    b"{",
    b"]",
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A stream after some accidents."""
    stream = draw(streams)
    for _ in range(draw(st.integers(0, 3))):
        at, to = sorted((draw(st.integers(0, len(stream))), draw(st.integers(0, len(stream)))))
        accident = draw(st.integers(0, 4))
        if accident == 0:
            stream = stream[:to]  # cut
        elif accident == 1:
            stream = stream[:at] + stream[to:]  # a hole
        elif accident == 2:
            stream = stream[:to] + stream[at:]  # sent twice
        elif accident == 3:
            stream = stream[:at] + draw(st.sampled_from(_GARBAGE) | st.binary(max_size=8)) + stream[at:]
        else:
            stream = stream[:at] + draw(streams)[:200] + stream[to:]  # spliced
    return stream


def segmented(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


cuts = st.lists(st.integers(0, 4000), max_size=12)
content_types = st.sampled_from(["text/event-stream", "application/json", "text/html", ""])
failures = st.sampled_from([None, None, httpx.ReadError("x"), httpx.RemoteProtocolError("x"), httpx.ReadTimeout("x")])


# Tests ----------------------------------------------------------------------------------------------------------------


@_fuzz
@given(damaged(), cuts, content_types, failures)
def test_any_damaged_stream_has_an_outcome_and_loses_nothing(
    stream: bytes, cuts: list[int], content_type: str, failure: Exception | None
) -> None:
    whole = play([stream], content_type, failure)
    check(whole, len(stream))
    assert play(segmented(stream, cuts), content_type, failure).essence == whole.essence


@_fuzz
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_random_bytes_have_an_outcome(pieces: list[bytes]) -> None:
    whole = play([b"".join(pieces)])
    check(whole, sum(map(len, pieces)))
    assert play(pieces).essence == whole.essence


@_fuzz
@given(st.lists(texts, min_size=1, max_size=8), st.sampled_from([None, "stop", "length"]), st.booleans())
def test_the_words_of_an_answer_come_out_as_they_were_sent(pieces: list[str], reason: str | None, done: bool) -> None:
    sent = [*({"choices": [{"delta": {"refusal": piece}}]} for piece in pieces)]
    stream = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in sent)
    if reason:
        stream += b"data: " + json.dumps({"choices": [{"delta": {}, "finish_reason": reason}]}).encode() + b"\n\n"
    played = play([stream + (b"data: [DONE]\n\n" if done else b"")])
    # What JSON has cut in two is one character again, and half a one is U+FFFD.
    whole = "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assume(ENDPOINT.secret not in whole)
    assert played.turn.refusal == whole
    outcome = Outcome.LENGTH if reason == "length" else Outcome.REFUSED if whole else Outcome.EMPTY
    assert played.turn.outcome is (outcome if reason or done else Outcome.TRUNCATED)


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*.sse")), ids=lambda file: file.stem)
def test_what_the_fuzzer_found_interesting_stays_harmless(file: Path) -> None:
    stream = file.read_bytes()
    whole = play([stream])
    check(whole, len(stream))
    assert play([stream[at : at + 1] for at in range(len(stream))]).essence == whole.essence
    for cut in range(0, len(stream), max(1, len(stream) // 16)):
        # Cut off there, the beginning is a stream as well.
        check(play([stream[:cut]], failure=httpx.ReadError("x")), cut)


def test_the_corpus_has_every_outcome_that_a_server_can_cause() -> None:
    outcomes = {play([file.read_bytes()]).turn.outcome for file in CORPUS.glob("*.sse")}
    assert outcomes == set(Outcome) - {Outcome.INTERRUPTED}
