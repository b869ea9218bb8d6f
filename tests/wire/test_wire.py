"""Every case of wire_cases.py against the real provider, a real socket and `run_turn`, whole and cut at any place."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import KEY, World
from server import Script, Send, Server, Step, answer, byte_by_byte, frame, http_error, split
from streaming_chat.cli.hints import Hints
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.events import Outcome
from streaming_chat.core.turn import Turn
from streaming_chat.engine.loop import run_turn
from streaming_chat.providers import chunk_stream
from streaming_chat.providers.openai_sdk import OpenAISDK
from wire_cases import ANY, CASES, DONE, STOP, WireCase, event, printable, stream

HINTS = Hints()

CASE = {case.name: case for case in CASES}
CUT_CASES = [case for case in CASES if case.cut]

#: Longest text that a failing test prints, characters.
LONGEST_SHOWN = 300


class Seen(NamedTuple):
    """What a turn was, as far as the bytes decide about it."""

    outcome: Outcome
    text: str
    reasoning: str
    refusal: str
    tool_calls: tuple[Any, ...]
    finish_reason: str | None
    usage: object
    status: int
    error: str | None

    def __repr__(self) -> str:
        return " ".join(f"{name}={_short(value)}" for name, value in self._asdict().items() if value or name == "status")


def _short(value: object) -> str:
    shown = str(value) if isinstance(value, Outcome) else repr(value)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}… ({len(shown)} characters)"


def seen(turn: Turn) -> Seen:
    return Seen(
        turn.outcome,
        turn.text,
        turn.reasoning.strip(),
        turn.refusal,
        turn.tool_calls,
        turn.finish_reason,
        turn.usage,
        turn.exit_status,
        type(turn.error).__name__ if turn.error else None,
    )


class Wire:
    """One server, and a client for each timeout."""

    def __init__(self, server: Server, open_clients: ExitStack) -> None:
        self.server = server
        self._open_clients = open_clients
        self._clients: dict[float, OpenAISDK] = {}
        self._whole: dict[str, Seen] = {}

    def client(self, timeout: float) -> OpenAISDK:
        if timeout not in self._clients:
            self._clients[timeout] = client = OpenAISDK(self.server.base_url, KEY, timeout)
            self._open_clients.callback(client.close)
        return self._clients[timeout]

    def ask(self, case: WireCase, script: Script | None = None) -> Turn:
        """The turn that comes of the case, with its bytes cut as in `script`."""
        self.server.play(case.script if script is None else script, *([] if case.then is None else [case.then]))
        request = ChatRequest("asked-for", (Message("user", "Hi"),), extra=case.extra)
        return run_turn(request, self.client(case.timeout), [], retries=case.retries, sleep=lambda _: None)

    def uncut(self, case: WireCase) -> Seen:
        """What comes of the case as it is written."""
        if case.name not in self._whole:
            self._whole[case.name] = seen(self.ask(case))
        return self._whole[case.name]


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Server() as server, ExitStack() as clients:
        yield Wire(server, clients)


def frame_by_byte(script: Script) -> list[Step]:
    """The script with every byte of a chunked body in a frame of its own: so it arrives, however fast it is read."""
    return [Send(_frames_of_one(step.data)) if isinstance(step, Send) else step for step in script]


def _frames_of_one(data: bytes) -> bytes:
    found = re.fullmatch(rb"([0-9a-f]+)\r\n(.+)\r\n", data, re.DOTALL)
    if not found or len(found[2]) != int(found[1], 16):
        return data
    return b"".join(frame(found[2][place : place + 1]) for place in range(len(found[2])))


def size(script: Script) -> int:
    return sum(len(step.data) for step in script if isinstance(step, Send))


# What each case is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(wire: Wire, case: WireCase, monkeypatch: pytest.MonkeyPatch) -> None:
    if case.at_once:
        monkeypatch.setattr(chunk_stream, "_GRACE", 120.0)
    before = len(wire.server.chats)
    start = time.perf_counter()
    turn = wire.ask(case)
    took = time.perf_counter() - start
    got = seen(turn)
    wanted = Seen(
        case.outcome,
        case.text,
        case.reasoning,
        case.refusal,
        case.tool_calls,
        got.finish_reason if case.finish_reason is ANY else case.finish_reason,
        case.usage,
        case.status,
        # A subclass will do.
        got.error if isinstance(turn.error, case.error or type(None)) else (case.error and case.error.__name__),
    )
    # Not a comparison in the assert: pytest would look for the difference in megabytes.
    agrees = got == wanted
    assert agrees, f"\n  got    {got}\n  wanted {wanted}\n  error  {turn.error}"
    if case.says:
        assert turn.error is not None
        assert re.search(case.says, f"{turn.error.message}\n{HINTS.hint_of(turn.error)}")
    assert len(wire.server.chats) - before == case.requests
    # What has to end by itself has a timeout that is longer.
    assert took < 60


# The cut between segments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CUT_CASES, ids=lambda case: case.name)
@given(data=st.data())
@settings(max_examples=5, deadline=None, database=None)
def test_the_cut_between_segments_does_not_matter(wire: Wire, case: WireCase, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(1, max(1, size(case.script) - 1)), max_size=8), label="cuts")
    # A pause, so that two segments are not read as one.
    assert seen(wire.ask(case, split(case.script, cuts, pause=0.0005))) == wire.uncut(case)


@pytest.mark.parametrize("case", CUT_CASES, ids=lambda case: case.name)
def test_byte_by_byte_it_is_the_same(wire: Wire, case: WireCase) -> None:
    assert seen(wire.ask(case, byte_by_byte(case.script))) == wire.uncut(case)
    assert seen(wire.ask(case, frame_by_byte(case.script))) == wire.uncut(case)


# From outside ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "finish-and-done",
        "finish-insufficient-system-resource",
        "several-choices",
        "error-object",
        "think-tags-cut",
        "utf-8-invalid",
        "json-completion",
        "html-200",
        "reset-after-text",
        "stall-after-text",
    ],
)
def test_the_program_gives_the_text_and_the_status_of_the_case(ask: Callable[..., Any], server: Server, name: str) -> None:
    case = CASE[name]
    server.play(case.script)
    flags = [f"--param={key}={value}" for key, value in case.extra.items()]
    done = ask("--retries", "0", "--timeout", f"{case.timeout:g}", *flags, "hi")
    said = done.stderr.decode()
    assert (done.returncode, done.stdout.decode()) == (case.status, f"{case.text}\n" if case.text else ""), said
    assert "Traceback" not in said
    # Whole, or said so.
    assert (case.status == 0) == ("error: " not in said)


def test_a_server_that_does_not_stream_is_told_of(ask: Callable[..., Any], server: Server) -> None:
    server.play(CASE["json-completion"].script)
    assert re.search(r"^notice: .*stream", ask("hi").stderr.decode(), re.MULTILINE)


def test_events_that_are_no_chunks_are_told_of(ask: Callable[..., Any], server: Server) -> None:
    server.play(CASE["data-ping"].script)
    done = ask("hi")
    assert done.stdout == b"Hello world\n"
    assert re.search(r"^notice: an event that is no chunk was skipped: ping$", done.stderr.decode(), re.MULTILINE)
    assert next(line for line in json_lines(ask("--json", "hi")) if line["event"] == "skipped")["data"] == "ping"


@pytest.mark.parametrize("pieces", [[KEY[:10], KEY[10:]], list(KEY), [KEY]], ids=["halves", "characters", "whole"])
def test_a_key_that_the_server_repeats_is_nowhere(
    world: World, ask: Callable[..., Any], server: Server, pieces: list[str]
) -> None:
    escaped = "".join(f"\\u{ord(char):04x}" for char in KEY).encode()
    whole = event("KEY").replace(b"KEY", escaped)
    kinds = ("content", "reasoning_content")
    deltas = [event(delta={kind: piece}) for kind in kinds for piece in pieces]
    server.play(stream(*deltas, whole, STOP, DONE))
    seen = ask("--json", "--log-dir", str(world.folder), "hi")
    plain = ask("hi")
    kept = b"".join(file.read_bytes() for file in [*world.state.rglob("*"), *world.folder.rglob("*")] if file.is_file())
    for text in (seen.stdout, seen.stderr, plain.stdout, plain.stderr, kept):
        assert KEY.encode() not in text
        assert KEY[8:-4].encode() not in text
    # What the deltas hold together is searched as well.
    last = json_lines(seen)[-1]
    assert KEY[8:-4] not in last["text"] + last["reasoning"]
    assert last["text"].count(KEY[-4:]) == 2


def test_a_finish_reason_that_nobody_knows_is_shown_as_it_is(ask: Callable[..., Any], server: Server) -> None:
    server.play(CASE["finish-unknown"].script)
    done = ask("hi")
    assert done.returncode == 0
    assert re.search(r"^notice: .*eos_token", done.stderr.decode(), re.MULTILINE)


def json_lines(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_other_choices_are_events_with_their_number(ask: Callable[..., Any], server: Server) -> None:
    server.play(CASE["several-choices"].script)
    done = ask("--json", "--param", "n=2", "hi")
    lines = json_lines(done)
    assert "".join(line["text"] for line in lines if line["event"] == "delta" and not line.get("choice")) == "Hello world"
    other = [line for line in lines if line.get("choice") == 1]
    # The name of the event is not the matter here: all of the choice is there, in order.
    assert re.search('"Good".*" day"', json.dumps(other))
    assert (lines[-1]["text"], lines[-1]["finish_reason"], done.returncode) == ("Hello world", "stop", 0)


def test_logprobs_are_kept_in_json(ask: Callable[..., Any], server: Server) -> None:
    server.play(CASE["logprobs"].script)
    lines = json_lines(ask("--json", "hi"))
    assert [line for line in lines if "-0.25" in json.dumps(line) and "logprobs" in json.dumps(line)]
    assert lines[-1]["text"] == "Hello world"


def test_what_came_before_a_lone_closing_tag_is_reasoning_in_the_last_line(ask: Callable[..., Any], server: Server) -> None:
    server.play(CASE["think-tag-not-opened"].script)
    last = json_lines(ask("--json", "hi"))[-1]
    assert (last["text"], last["reasoning"].strip()) == ("Hello world", "Hm, well")


@pytest.mark.parametrize("name", ["reasoning-content", "reasoning-details", "thinking-parts"])
def test_reasoning_never_goes_into_a_pipe(ask: Callable[..., Any], server: Server, name: str) -> None:
    server.play(CASE[name].script)
    assert ask("hi").stdout == b"Hello world\n"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_place_of_a_redirect_sees_nothing(wire: Wire, status: int) -> None:
    with Server(answer(["No"])) as elsewhere:
        place = f"{elsewhere.base_url}/chat/completions"
        turn = wire.ask(CASE[f"redirect-{status}"], http_error(status, headers={"Location": place}))
        assert elsewhere.connections == []
    assert turn.error is not None
    assert place in HINTS.hint_of(turn.error)


# The table itself -----------------------------------------------------------------------------------------------------


def test_every_case_has_a_name_of_its_own() -> None:
    assert len(CASE) == len(CASES)
    assert not [name for name in CASE if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_excerpt_is_of_the_bytes(case: WireCase) -> None:
    text = printable(case.data[:20_000])
    place = 0
    for part in re.split(r" … |…", case.excerpt):
        # What no excerpt can show stands in brackets.
        if not re.fullmatch(r" ?\([\w ,]+\)", part):
            found = text.find(part.strip(), place)
            assert found >= 0, part
            place = found + len(part.strip())
    assert case.excerpt.strip()
    assert case.excerpt.isprintable()


def test_every_group_of_the_issue_has_cases() -> None:
    assert {case.group for case in CASES} == {"Whole or not", "Shape", "Text kinds", "Framing", "Not a stream", "Ends"}


def test_a_case_that_is_not_whole_says_so() -> None:
    quiet = [case.name for case in CASES if case.outcome is not Outcome.COMPLETE and case.status == 0]
    loud = [case.name for case in CASES if case.outcome is Outcome.COMPLETE and case.status != 0]
    assert (quiet, loud) == ([], [])
