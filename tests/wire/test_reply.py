from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import (
    ChatError,
    ConnectionCut,
    OutputClosed,
    OutputFailed,
    QuotaError,
    ServerError,
    TimedOut,
)
from streaming_chat.core.events import (
    Event,
    Logprobs,
    NotStreamed,
    OtherChoice,
    Outcome,
    ReasoningDelta,
    RefusalDelta,
    Sent,
    Skipped,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from streaming_chat.core.turn import ToolCall, Turn
from streaming_chat.wire.chunk import plain_text_of
from streaming_chat.wire.reply import DONE, FAILURES, OUTCOME_OF_FINISH_REASON, Reply

REQUEST = ChatRequest("asked-for", (Message("user", "Why?"),))
#: 😀 as JSON escapes it, in two halves.
HIGH, LOW = "\ud83d", "\ude00"


def chunk(delta: object = None, finish_reason: object = None, **more: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason, **more}]}


def text(content: object, **more: object) -> dict[str, Any]:
    return chunk({"content": content, **more})


STOP = chunk({}, "stop")


def play(
    *chunks: object, error: ChatError | None = None, interrupted: bool = False, request: ChatRequest = REQUEST
) -> tuple[list[Event], Turn]:
    """All events but the first, and the turn. Chunk number n arrives at n seconds."""
    reply = Reply(request, 0.0)
    reply.begin(0.0)
    events = [event for at, one in enumerate(chunks, 1) for event in reply.feed(one, float(at))]
    last, turn = reply.finish(len(chunks) + 1.0, error=error, interrupted=interrupted)
    return events + last, turn


def turn_of(*chunks: object, error: ChatError | None = None, interrupted: bool = False) -> Turn:
    return play(*chunks, error=error, interrupted=interrupted)[1]


def deltas(*chunks: object) -> list[Event]:
    return [event for event in play(*chunks)[0] if not isinstance(event, Started)]


# Shapes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        3,
        2.5,
        True,
        [],
        [{"choices": [{"delta": {"content": "no"}}]}],
        {},
        {"choices": None},
        {"choices": []},
        {"choices": {}},
        {"choices": "no"},
        {"choices": [None, 3, "no", []]},
        {"choices": [{}]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": []}]},
        {"choices": [{"delta": "no", "message": 3, "text": 4}]},
        chunk({}),
        chunk({"role": "assistant"}),
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": None, "refusal": None, "tool_calls": None, "function_call": None, "reasoning": None}),
        chunk({"content": 3, "refusal": {}, "reasoning": 1.5, "reasoning_content": [], "tool_calls": "no"}),
        chunk({"content": {"text": 3, "refusal": None}}),
        chunk({"content": [None, 3, [], {"type": "image_url", "image_url": {}}, {"text": None}]}),
        chunk({"tool_calls": [None, 3, {}, {"function": None}, {"function": "no"}], "function_call": "no"}),
        chunk({}, ""),
        chunk({}, 3),
        chunk({}, ["stop"]),
    ],
    ids=repr,
)
def test_a_chunk_without_text_changes_nothing(nothing: object) -> None:
    assert deltas(nothing) == []
    turn = turn_of(nothing, text("Yes"), nothing)
    assert (turn.text, turn.outcome, turn.finish_reason) == ("Yes", Outcome.TRUNCATED, None)
    # It is not a first token either.
    assert turn.timing.first_token == 2.0


def test_what_is_no_chunk_but_a_text_is_told_and_is_no_answer() -> None:
    events, turn = play("ping", text("Yes"), STOP)
    assert events[0] == Skipped(1.0, "ping")
    assert (turn.text, turn.outcome) == ("Yes", Outcome.COMPLETE)


@pytest.mark.parametrize(
    "spoken",
    [
        text("Yes"),
        text("Yes", role="assistant"),
        text(["Y", "es"]),
        text([{"type": "text", "text": "Y"}, {"type": "image_url"}, None, {"type": "text", "text": "es"}]),
        text({"type": "text", "text": "Yes"}),
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes"}}]},
        {"choices": [{"index": 0, "delta": None, "message": {"content": "Yes"}}]},
        {"choices": [{"index": 0, "text": "Yes"}]},
        {"choices": [{"delta": {"content": "Yes"}}]},
        {"choices": [{"index": None, "delta": {"content": "Yes"}}]},
        {"choices": [{"index": "0", "delta": {"content": "Yes"}}]},
        {"choices": [{"index": [], "delta": {"content": "Yes"}}]},
        {"choices": [None, {"index": 1, "delta": {"content": "No"}}, {"index": 0, "delta": {"content": "Yes"}}]},
        {"id": None, "created": 1.5, "model": 3, "object": [], "usage": "no", "unknown": {}, **text("Yes")},
        chunk({"content": "Yes"}, 3),
        chunk({"content": "Yes"}, None, logprobs={"content": []}),
    ],
    ids=repr,
)
def test_text_is_found_in_whatever_form_it_comes(spoken: object) -> None:
    assert [event for event in deltas(spoken) if isinstance(event, TextDelta)] == [TextDelta(1.0, "Yes")]


def test_other_choices_and_log_probabilities_are_told_as_they_came() -> None:
    logprobs = {"content": [{"token": "Yes", "logprob": -0.1}]}
    first = {"index": 0, "delta": {"content": "Yes"}, "logprobs": logprobs}
    second = {"index": 1, "delta": {"content": "No"}, "finish_reason": "stop"}
    several = ChatRequest("m", (Message("user", "U"),), extra={"n": 3})
    chunks = ({"choices": [second, first]}, {"choices": [{"index": 2.0, "delta": {}}]}, STOP)
    events, turn = play(*chunks, request=several)
    assert events[1:4] == [
        TextDelta(1.0, "Yes"),
        Logprobs(1.0, logprobs),
        OtherChoice(1.0, 1, {"content": "No"}, "stop"),
    ]
    assert events[4] == OtherChoice(2.0, 2, {}, None)
    assert (turn.text, turn.outcome) == ("Yes", Outcome.COMPLETE)


@pytest.mark.parametrize(
    ("finish_reason", "outcome"),
    [
        ("MAX_TOKENS", Outcome.LENGTH),
        ("Length", Outcome.LENGTH),
        ("model_length", Outcome.LENGTH),
        ("content-filter", Outcome.FILTERED),
        ("SAFETY", Outcome.FILTERED),
        ("refusal", Outcome.REFUSED),
        ("SERVER_ERROR", Outcome.ERROR),
        ("STOP", Outcome.COMPLETE),
        ("eos", Outcome.COMPLETE),
    ],
)
def test_a_finish_reason_is_known_in_other_clothes(finish_reason: str, outcome: Outcome) -> None:
    turn = turn_of(text("Half"), chunk({}, finish_reason), DONE)
    assert (turn.outcome, turn.finish_reason) == (outcome, finish_reason)


def test_a_finish_reason_that_says_null_is_none() -> None:
    assert turn_of(chunk({"content": "Half"}, "null")).outcome is Outcome.TRUNCATED


@pytest.mark.parametrize("finish_reason", sorted(FAILURES))
def test_a_finish_reason_can_be_a_failure(finish_reason: str) -> None:
    turn = turn_of(text("Half"), chunk({}, finish_reason), DONE)
    assert (turn.text, turn.outcome, turn.finish_reason) == ("Half", Outcome.ERROR, finish_reason)
    assert isinstance(turn.error, ServerError)
    assert finish_reason in turn.error.message


@pytest.mark.parametrize(
    "details",
    [
        [{"type": "reasoning.text", "text": "Hm"}],
        [{"type": "reasoning.summary", "summary": "H"}, None, {"type": "reasoning.text", "text": "m"}],
    ],
)
def test_reasoning_may_come_in_details(details: object) -> None:
    assert turn_of(chunk({"reasoning_details": details, "content": "Yes"}), STOP).reasoning == "Hm"
    assert turn_of(chunk({"reasoning": "Hm", "reasoning_details": details}), STOP).reasoning == "Hm"


@pytest.mark.parametrize(
    ("content", "reasoning", "answer"),
    [
        ("<think>Hm</think>Yes", "Hm", "Yes"),
        ("<think>\nHm\n</think>\n\nYes\n", "\nHm\n", "Yes\n"),
        ("\n<think>Hm</think>Yes", "Hm", "\nYes"),
        ("<think></think>Yes", "", "Yes"),
        ("<think>Hm <b> </thin </think>a < b", "Hm <b> </thin ", "a < b"),
        ("<think>never closed", "never closed", ""),
        ("<think>cut </thi", "cut </thi", ""),
        ("<thinking aloud>", "", "<thinking aloud>"),
        ("<thi", "", "<thi"),
        ("The tag <think> opens, </think> closes.", "", "The tag <think> opens, </think> closes."),
        ("Hm\nhm\n</think>\n\nYes", "Hm\nhm", "Yes"),
        ("</think>\nYes", "", "Yes"),
        ("\u3000</think>\nYes", "", "\u3000</think>\nYes"),
        ("`\n</think>x\n` is a tag", "", "`\n</think>x\n` is a tag"),
        ("a" * 300 + "\n  </think>  \nYes", "a" * 300, "Yes"),
        ("<think>Hm</think>Yes\n</think>\nNo", "Hm", "Yes\n</think>\nNo"),
        # Quoted: in a fence, as code, behind the tag that opens.
        ("So:\n```\nHm\n</think>\nYes\n```\n", "", "So:\n```\nHm\n</think>\nYes\n```\n"),
        ("So:\n~~~~\n~~~\n</think>\n~~~~\n", "", "So:\n~~~~\n~~~\n</think>\n~~~~\n"),
        ("```\nHm\n```\n</think>\nYes", "```\nHm\n```", "Yes"),
        ("So:\n\n    </think>\nYes", "", "So:\n\n    </think>\nYes"),
        ("It writes\n<think>\nHm\n</think>\nfirst", "", "It writes\n<think>\nHm\n</think>\nfirst"),
        ("Hm\r\n</think>\r\nYes", "Hm", "Yes"),
        ("</think>" + " " * 80 + "x\nYes", "", "</think>" + " " * 80 + "x\nYes"),
    ],
)
def test_what_a_model_thinks_aloud_is_reasoning_however_it_is_cut(content: str, reasoning: str, answer: str) -> None:
    for size in range(1, len(content) + 1):
        turn = turn_of(*(text(content[at : at + size]) for at in range(0, len(content), size)), STOP)
        assert (turn.reasoning, turn.text) == (reasoning, answer), size


def test_text_and_its_end_may_share_a_chunk() -> None:
    events, turn = play(chunk({"content": "Yes"}, "stop"))
    assert TextDelta(1.0, "Yes") in events
    assert (turn.text, turn.outcome) == ("Yes", Outcome.COMPLETE)


def test_that_an_answer_came_in_one_piece_is_told_before_it() -> None:
    whole = {"object": "chat.completion", "choices": [{"message": {"content": "Yes"}, "finish_reason": "stop"}]}
    assert play(whole)[0] == [NotStreamed(1.0), Started(1.0, "asked-for", None), TextDelta(1.0, "Yes")]
    # Behind what was streamed it is the same once more.
    events, turn = play(text("Yes"), whole)
    assert (events[1:], turn.text) == ([TextDelta(1.0, "Yes")], "Yes")


def test_text_after_the_finish_is_text_all_the_same() -> None:
    assert turn_of(text("Yes"), STOP, text(" and no"), DONE, text("!")).text == "Yes and no!"


def test_the_first_chunk_names_the_model_and_the_headers_the_request() -> None:
    reply = Reply(REQUEST, 0.0)
    assert reply.begin(5.0) == Sent(5.0)
    reply.headers(5.5, "req_7")
    assert reply.feed({"model": "served", **text("Yes")}, 6.0) == [Started(6.0, "served", "req_7"), TextDelta(6.0, "Yes")]
    assert reply.feed({"model": "another", **text("!")}, 7.0) == [TextDelta(7.0, "!")]
    turn = reply.finish(8.0)[1]
    assert (turn.model, turn.request_id, turn.request) == ("served", "req_7", REQUEST)
    assert (turn.timing.headers, turn.timing.first_token, turn.timing.total) == (0.5, 1.0, 3.0)


@pytest.mark.parametrize("model", [None, "", 3, ["m"]])
def test_a_server_that_names_no_model_is_taken_at_its_request(model: object) -> None:
    assert play({"model": model})[0] == [Started(1.0, "asked-for", None)]


# Kinds of text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept_apart_from_the_answer(field: str) -> None:
    events, turn = play(chunk({field: "Hm", "content": ""}), chunk({field: "m", "content": "Yes"}), STOP)
    assert events[1:] == [ReasoningDelta(1.0, "Hm"), ReasoningDelta(2.0, "m"), TextDelta(2.0, "Yes")]
    assert (turn.text, turn.reasoning) == ("Yes", "Hmm")
    assert (turn.timing.first_reasoning, turn.timing.first_token) == (1.0, 2.0)


def test_reasoning_that_comes_under_both_names_comes_once() -> None:
    assert turn_of(chunk({"reasoning": "Hm", "reasoning_content": "Hm"})).reasoning == "Hm"


def test_a_refusal_is_a_text_of_its_own() -> None:
    events, turn = play(chunk({"refusal": "I can't"}), chunk({"content": None, "refusal": " do that."}), STOP)
    assert events[1:] == [RefusalDelta(1.0, "I can't"), RefusalDelta(2.0, " do that.")]
    assert (turn.text, turn.refusal, turn.outcome) == ("", "I can't do that.", Outcome.REFUSED)
    assert turn.timing.first_token == 1.0


def test_a_refusal_may_be_a_part_of_the_content() -> None:
    turn = turn_of(
        text([{"type": "refusal", "refusal": "I can't"}]), text({"type": "refusal", "refusal": " do that."}), STOP
    )
    assert (turn.text, turn.refusal, turn.outcome) == ("", "I can't do that.", Outcome.REFUSED)


def call(name: object = None, arguments: object = None, **more: object) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **more}


def test_tool_calls_come_in_pieces_and_side_by_side() -> None:
    events, turn = play(
        chunk({"tool_calls": [call("rain", "", index=1), call("sun", "", index=0)]}),
        chunk({"tool_calls": [call(arguments='{"a":', index=0)]}),
        chunk({"tool_calls": [call(None, "1}", index=0), call(None, "{}", index=1)]}, "tool_calls"),
    )
    assert [event for event in events if isinstance(event, ToolCallDelta)] == [
        # Numbered as they appear: servers leave the index out, or give every call the same.
        ToolCallDelta(1.0, 0, "rain", ""),
        ToolCallDelta(1.0, 1, "sun", ""),
        ToolCallDelta(2.0, 1, "", '{"a":'),
        ToolCallDelta(3.0, 1, "", "1}"),
        ToolCallDelta(3.0, 0, "", "{}"),
    ]
    assert turn.tool_calls == (ToolCall("rain", "{}"), ToolCall("sun", '{"a":1}'))
    assert turn.outcome is Outcome.TOOL_CALLS
    assert turn.timing.first_token is None


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [call("rain", "{}", index=0, id="call_1", type="function")]},
        {"tool_calls": [call("rain", "{}")]},
        {"tool_calls": [call("rain", "{}", index="0", id=None)]},
        {"function_call": {"name": "rain", "arguments": "{}"}},
        {"tool_calls": [], "function_call": {"name": "rain", "arguments": "{}"}},
        {"tool_calls": None, "function_call": {"name": "rain", "arguments": "{}"}},
        {"tool_calls": [call("rain", {})]},
        {"tool_calls": [call("rain", "{}", index=0.0)]},
        {"tool_calls": call("rain", "{}")},
        {"tool_calls": [{"name": "rain", "arguments": {}}]},
        {"tool_calls": [{"type": "custom", "custom": {"name": "rain", "input": "{}"}}]},
    ],
    ids=repr,
)
def test_a_call_is_found_in_whatever_form_it_comes(delta: object) -> None:
    assert deltas(chunk(delta)) == [ToolCallDelta(1.0, 0, "rain", "{}")]


def test_a_call_with_neither_name_nor_arguments_is_one_all_the_same() -> None:
    assert deltas(chunk({"tool_calls": [{"id": "call_1", "function": {}}]})) == [ToolCallDelta(1.0, 0, "", "")]


def test_arguments_that_are_an_object_are_told_as_json() -> None:
    turn = turn_of(chunk({"tool_calls": [call("rain", {"place": "Köln", "days": [1]})]}), STOP)
    assert turn.tool_calls == (ToolCall("rain", '{"place": "Köln", "days": [1]}'),)


def test_calls_with_a_fraction_of_nothing_in_their_index_are_told_apart() -> None:
    first, second = call("rain", "{}", index=0.0), call("sun", "{}", index=1.0)
    assert turn_of(chunk({"tool_calls": [first]}), chunk({"tool_calls": [second]}), STOP).tool_calls == (
        ToolCall("rain", "{}"),
        ToolCall("sun", "{}"),
    )


@pytest.mark.parametrize(
    "lists",
    [
        # One piece after another, with nothing to say whose it is.
        [[call("rain", '{"a":')], [call(None, "1")], [call(None, "}"), call("sun", "{}")]],
        # It goes on with the call that was last, not with the first one.
        [[call("rain", '{"a":1}', index=4), call("sun", "{", index=2)], [call(None, "}")]],
        # Several in one list are several calls.
        [[call("rain", '{"a":', index=0, id="one")], [call(None, "1}"), call("sun", "{}")]],
        [[call("rain", '{"a":1}'), call("sun", "{")], [call(None, "}")]],
    ],
)
def test_a_piece_with_neither_index_nor_id_goes_on_with_the_call_before_it(lists: list[object]) -> None:
    turn = turn_of(*(chunk({"tool_calls": pieces}) for pieces in lists), STOP)
    assert turn.tool_calls == (ToolCall("rain", '{"a":1}'), ToolCall("sun", "{}"))


@pytest.mark.parametrize(
    ("second", "calls"),
    [
        (call("rain", "{}", index=0, id="two"), (("rain", "{}"), ("rain", "{}"))),
        (call("sun", "{}", index=0), (("rain", "{}"), ("sun", "{}"))),
        # The same id, the same name or neither goes on.
        (call("rain", " ", index=0, id="one"), (("rain", "{} "),)),
        (call("rain", " ", index=0), (("rain", "{} "),)),
        (call(None, " ", index=0), (("rain", "{} "),)),
    ],
)
def test_another_id_or_name_at_the_same_index_is_another_call(
    second: dict[str, Any], calls: tuple[tuple[str, str], ...]
) -> None:
    first = call("rain", "{}", index=0, id="one")
    turn = turn_of(chunk({"tool_calls": [first]}), chunk({"tool_calls": [second]}), STOP)
    assert turn.tool_calls == tuple(ToolCall(*fields) for fields in calls)


def test_a_name_in_pieces_is_one_name() -> None:
    pieces = [call("ra", None, index=0), call("in", "{}", index=0)]
    assert turn_of(*(chunk({"tool_calls": [piece]}) for piece in pieces), STOP).tool_calls == (ToolCall("rain", "{}"),)


def test_arguments_too_deep_to_be_written_do_no_harm() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert turn_of(chunk({"tool_calls": [call("rain", deep)]}), STOP).tool_calls == (ToolCall("rain", ""),)


@pytest.mark.parametrize(
    "chunks",
    [
        [{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}],
        [{"usage": None}, {"usage": {"prompt_tokens": 3, "completion_tokens": 5}}, {"usage": None}, {"usage": {}}],
        [text("a", usage=None), {**text("b"), "usage": {"prompt_tokens": 3, "completion_tokens": 5}}],
        [{"usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8, "prompt_tokens_details": None}}] * 3,
        [{"usage": {"prompt_tokens": 3, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": -1}}}],
    ],
)
def test_usage_is_reported_once_wherever_it_comes(chunks: list[object]) -> None:
    events, turn = play(*chunks)
    assert [event for event in events if isinstance(event, UsageReported)] == [UsageReported(Usage(3, 5))]
    assert turn.usage == Usage(3, 5)


def test_the_last_of_several_counts_is_the_one_that_is_kept() -> None:
    events, turn = play(*({"usage": {"completion_tokens": count}} for count in (1, 2, 3)))
    assert len([event for event in events if isinstance(event, UsageReported)]) == 3
    assert turn.usage == Usage(completion_tokens=3)


def test_usage_has_its_details() -> None:
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    turn = turn_of(text("a"), text("b"), {"choices": [], "usage": usage})
    assert turn.usage == Usage(30, 50, 20, 40)
    assert turn.timing.tokens_per_second == 49.0


@pytest.mark.parametrize("count", [None, -1, True, 2.0, "5", [], {}, 2**63, 10**400])
def test_a_count_that_is_no_count_is_none(count: object) -> None:
    assert turn_of({"usage": {"prompt_tokens": count, "completion_tokens": count}}).usage is None


# How it ended ---------------------------------------------------------------------------------------------------------

CALLS = chunk({"tool_calls": [call("rain", "{}", index=0)]})
REFUSAL = chunk({"refusal": "No."})


@pytest.mark.parametrize(
    ("finish_reason", "outcome"),
    [
        ("stop", Outcome.COMPLETE),
        ("length", Outcome.LENGTH),
        ("max_tokens", Outcome.LENGTH),
        ("content_filter", Outcome.FILTERED),
        ("tool_calls", Outcome.TOOL_CALLS),
        ("function_call", Outcome.TOOL_CALLS),
        ("end_turn", Outcome.COMPLETE),
        ("something new", Outcome.COMPLETE),
    ],
)
def test_the_finish_reason_tells_how_an_answer_ended(finish_reason: str, outcome: Outcome) -> None:
    turn = turn_of(text("Yes"), chunk({}, finish_reason), DONE)
    assert (turn.outcome, turn.finish_reason, turn.text, turn.error) == (outcome, finish_reason, "Yes", None)


def test_every_finish_reason_of_the_table_means_that_the_answer_is_not_whole() -> None:
    assert Outcome.COMPLETE not in OUTCOME_OF_FINISH_REASON.values()


@pytest.mark.parametrize(
    ("chunks", "outcome"),
    [
        ([], Outcome.TRUNCATED),
        ([text("Yes")], Outcome.TRUNCATED),
        ([text("Yes"), chunk({}, "")], Outcome.TRUNCATED),
        ([text("Yes"), {"object": "[DONE]"}], Outcome.TRUNCATED),
        ([REFUSAL], Outcome.TRUNCATED),
        ([CALLS], Outcome.TRUNCATED),
        ([text("Yes"), STOP], Outcome.COMPLETE),
        ([text("Yes"), DONE], Outcome.COMPLETE),
        ([text("Yes"), STOP, STOP, DONE, DONE], Outcome.COMPLETE),
        ([STOP], Outcome.EMPTY),
        ([DONE], Outcome.EMPTY),
        ([text(""), chunk({"reasoning": "Hm"}), STOP], Outcome.EMPTY),
        ([REFUSAL, STOP], Outcome.REFUSED),
        ([text("Well."), REFUSAL, DONE], Outcome.REFUSED),
        ([CALLS, STOP], Outcome.TOOL_CALLS),
        ([CALLS, DONE], Outcome.TOOL_CALLS),
        ([text("Yes"), CALLS, STOP], Outcome.COMPLETE),
        ([chunk({}, "length")], Outcome.LENGTH),
        ([chunk({}, "content_filter")], Outcome.FILTERED),
        ([REFUSAL, chunk({}, "content_filter")], Outcome.FILTERED),
        # The first reason that takes something stands.
        ([text("Yes"), chunk({}, "length"), STOP, DONE], Outcome.LENGTH),
        ([text("Yes"), chunk({}, "error"), STOP, DONE], Outcome.ERROR),
        ([text("Yes"), STOP, chunk({}, "length"), DONE], Outcome.LENGTH),
        ([text("Yes"), STOP, text(" and no")], Outcome.COMPLETE),
    ],
)
def test_an_answer_is_whole_when_the_server_says_so_and_has_said_something(chunks: list[object], outcome: Outcome) -> None:
    assert turn_of(*chunks).outcome is outcome


FAILED = ServerError("it failed", "ask again")
CUT = ConnectionCut("it broke", "ask again")
LATE = TimedOut("nothing came", "ask again")
CLOSED = OutputClosed()
FULL = OutputFailed("disk full")


@pytest.mark.parametrize(
    ("chunks", "error", "interrupted", "outcome", "kept"),
    [
        ([text("Yes")], FAILED, False, Outcome.ERROR, FAILED),
        ([text("Yes")], LATE, False, Outcome.ERROR, LATE),
        ([text("Yes")], CUT, False, Outcome.TRUNCATED, CUT),
        ([text("Yes")], CLOSED, False, Outcome.INTERRUPTED, CLOSED),
        ([text("Yes")], FULL, False, Outcome.INTERRUPTED, FULL),
        ([text("Yes")], None, True, Outcome.INTERRUPTED, None),
        ([], None, True, Outcome.INTERRUPTED, None),
        ([], FAILED, False, Outcome.ERROR, FAILED),
        ([], QuotaError("no money", "pay"), False, Outcome.ERROR, ...),
        # What fails after the end takes nothing from the answer.
        ([text("Yes"), STOP], CUT, False, Outcome.COMPLETE, None),
        ([text("Yes"), STOP], LATE, False, Outcome.COMPLETE, None),
        ([text("Yes"), DONE], FAILED, False, Outcome.COMPLETE, None),
        ([text("Yes"), STOP], None, True, Outcome.COMPLETE, None),
        ([text("Yes"), chunk({}, "length")], CUT, False, Outcome.LENGTH, None),
        ([STOP], CUT, False, Outcome.EMPTY, None),
        # What goes on behind a finish_reason is not over before the stream is.
        ([text("Yes"), STOP, text(" and")], CUT, False, Outcome.TRUNCATED, CUT),
        ([text("Yes"), STOP, text(" and")], LATE, False, Outcome.ERROR, LATE),
        ([text("Yes"), STOP, text(" and")], None, True, Outcome.INTERRUPTED, None),
        ([text("Yes"), STOP, text(" and"), STOP], CUT, False, Outcome.COMPLETE, None),
        ([text("Yes"), STOP, text(" and"), DONE], CUT, False, Outcome.COMPLETE, None),
        # Except that it could not be written.
        ([text("Yes"), STOP], CLOSED, False, Outcome.COMPLETE, CLOSED),
        ([text("Yes"), DONE], FULL, False, Outcome.COMPLETE, FULL),
    ],
)
def test_an_end_by_failure_is_told_apart_from_a_failure_after_the_end(
    chunks: list[object], error: ChatError | None, interrupted: bool, outcome: Outcome, kept: object
) -> None:
    turn = turn_of(*chunks, error=error, interrupted=interrupted)
    assert turn.outcome is outcome
    assert turn.error is (error if kept is ... else kept)


def test_a_further_attempt_begins_with_nothing_of_the_one_before() -> None:
    reply = Reply(REQUEST, 0.0)
    reply.begin(1.0)
    reply.headers(2.0, "req_1")
    reply.feed({"model": "first", "usage": {"completion_tokens": 9}, **text(HIGH)}, 2.5)
    assert not reply.has_output
    reply.attempt(2)
    reply.headers(4.0, None)
    assert reply.feed({"model": "second", **text(LOW + "Yes")}, 5.0) == [
        Started(5.0, "second", None),
        TextDelta(5.0, "\ufffdYes"),
    ]
    turn = reply.finish(6.0)[1]
    assert (turn.model, turn.request_id, turn.usage, turn.timing.attempts) == ("second", None, None, 2)
    # The start is the first attempt's.
    assert (turn.timing.headers, turn.timing.first_token, turn.timing.total) == (3.0, 4.0, 5.0)


@pytest.mark.parametrize(
    ("fed", "has_output"),
    [
        (chunk({"role": "assistant", "content": ""}), False),
        ({"usage": {"completion_tokens": 1}}, False),
        (text("Yes"), True),
        (chunk({"reasoning": "Hm"}), True),
        (REFUSAL, True),
        (CALLS, True),
    ],
    ids=repr,
)
def test_whatever_was_shown_stands_against_another_attempt(fed: object, has_output: bool) -> None:
    reply = Reply(REQUEST, 0.0)
    reply.feed(fed, 1.0)
    assert reply.has_output is has_output


# Halves of characters -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["a" + HIGH, LOW + "b"], ["a", "😀b"]),
        ([HIGH, LOW], ["😀"]),
        ([HIGH, "b"], ["\ufffdb"]),
        ([LOW, "b"], ["\ufffd", "b"]),
        (["a", HIGH], ["a", "\ufffd"]),
    ],
)
@pytest.mark.parametrize(
    ("field", "event"), [("content", TextDelta), ("reasoning", ReasoningDelta), ("refusal", RefusalDelta)]
)
@pytest.mark.parametrize("end", [[], [STOP], [DONE]], ids=["cut", "stop", "done"])
def test_a_character_that_is_cut_in_two_is_joined(
    pieces: list[str], shown: list[str], field: str, event: type[Any], end: list[object]
) -> None:
    events, turn = play(*(chunk({field: piece}) for piece in pieces), *end)
    assert [one.text for one in events if isinstance(one, event)] == shown
    assert {"content": turn.text, "reasoning": turn.reasoning, "refusal": turn.refusal}[field] == "".join(shown)


@pytest.mark.parametrize(
    ("pieces", "arguments"), [(["a" + HIGH, LOW + "b"], "a😀b"), (["a" + HIGH], "a\ufffd"), ([LOW, "b"], "\ufffdb")]
)
def test_the_arguments_of_a_call_are_whole_characters_too(pieces: list[str], arguments: str) -> None:
    events, turn = play(*(chunk({"tool_calls": [call(None, piece, index=0)]}) for piece in pieces))
    assert "".join(event.arguments for event in events if isinstance(event, ToolCallDelta)) == arguments
    assert turn.tool_calls == (ToolCall("", arguments),)


def test_half_a_character_in_a_name_stays_one() -> None:
    turn = turn_of({"model": "m" + HIGH, **chunk({"tool_calls": [call("f" + HIGH)]}, "odd" + LOW)})
    assert (turn.model, turn.finish_reason, turn.tool_calls) == ("m\ufffd", "odd\ufffd", (ToolCall("f\ufffd", ""),))


def test_halves_of_different_texts_do_not_meet() -> None:
    turn = turn_of(text(HIGH), chunk({"reasoning": LOW}), text(LOW))
    assert (turn.text, turn.reasoning) == ("😀", "\ufffd")


# Whatever comes -------------------------------------------------------------------------------------------------------

ANY_TEXT = st.text(st.one_of(st.characters(exclude_categories=()), st.sampled_from([HIGH, LOW])), max_size=8)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.integers(), st.floats(), ANY_TEXT)
FIELDS = st.one_of(
    st.sampled_from(
        [
            "choices",
            "index",
            "delta",
            "message",
            "text",
            "content",
            "role",
            "refusal",
            "reasoning",
            "reasoning_content",
            "tool_calls",
            "function_call",
            "function",
            "name",
            "arguments",
            "finish_reason",
            "usage",
            "prompt_tokens",
            "completion_tokens",
            "prompt_tokens_details",
            "cached_tokens",
            "model",
            "id",
            "error",
            "object",
        ]
    ),
    st.text(max_size=4),
)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(FIELDS, inner, max_size=6)), max_leaves=25
)


def shaped(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Chunks of the right outline with any value in any place."""
    fields = ["content", "refusal", "reasoning", "reasoning_content", "tool_calls", "function_call"]
    delta = st.one_of(values, st.fixed_dictionaries({}, optional=dict.fromkeys(fields, values)))
    choice = st.fixed_dictionaries(
        {}, optional={"index": values, "delta": delta, "message": delta, "text": values, "finish_reason": values}
    )
    return st.fixed_dictionaries(
        {}, optional={"choices": st.lists(st.one_of(values, choice), max_size=3), "model": values, "usage": values}
    )


@given(st.lists(st.one_of(ANY_JSON, shaped(ANY_JSON), st.just(DONE)), max_size=6))
def test_no_json_raises_or_is_changed_and_the_turn_is_what_was_told(chunks: list[Any]) -> None:
    before = copy.deepcopy([None if one is DONE else one for one in chunks])
    events, turn = play(*chunks)
    assert repr([None if one is DONE else one for one in chunks]) == repr(before)

    def told(kind: type[Any]) -> str:
        return "".join(event.text for event in events if isinstance(event, kind))

    assert (turn.text, turn.reasoning, turn.refusal) == (told(TextDelta), told(ReasoningDelta), told(RefusalDelta))
    # All of it can be written, and no event is empty.
    names = [turn.model or "", turn.finish_reason or "", *(one.name + one.arguments for one in turn.tool_calls)]
    "".join([turn.text, turn.reasoning, turn.refusal, *names]).encode()
    assert all(event.text for event in events if isinstance(event, (TextDelta, ReasoningDelta, RefusalDelta)))
    assert (turn.outcome is Outcome.COMPLETE) <= bool(turn.text)
    # Once, at the first chunk that is more than Azure's word about the prompt.
    assert len([event for event in events if isinstance(event, Started)]) == any(
        isinstance(one, Mapping) and one is not DONE and bool(one.get("model") or one.get("choices") != []) for one in chunks
    )
    told_first = [event for event in events if not isinstance(event, Skipped)]
    assert not told_first or not turn.text or isinstance(told_first[0], Started)


# Without what may begin a `<think>`, for which it would wait.
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<"), max_size=5)))
def test_the_text_is_all_deltas_one_behind_the_other(pieces: list[str]) -> None:
    events, turn = play(*(text(piece) for piece in pieces), DONE)
    assert [event.text for event in events if isinstance(event, TextDelta)] == [piece for piece in pieces if piece]
    assert turn.text == "".join(pieces)


# The short way of nearly all chunks -----------------------------------------------------------------------------------

ODDS = st.sampled_from([None, "", [], {}, False, 0, 0.0, 1, "x", ["x"], {"x": 1}])


@st.composite
def nearly_plain(draw: st.DrawFn) -> dict[str, Any]:
    """A chunk of one text, with things beside it that may or may not matter."""

    def odds(*fields: str) -> dict[str, Any]:
        return {field: draw(ODDS) for field in draw(st.sets(st.sampled_from(fields), max_size=1))}

    delta = {"content": draw(st.sampled_from(["a", "<think>", "</think>", "\n", HIGH, LOW, "", None]))}
    delta |= odds("role", "refusal", "reasoning", "reasoning_details", "tool_calls", "function_call", "content")
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    choice |= odds("index", "finish_reason", "logprobs", "message", "text", "delta", "error")
    whole = {"object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return whole | odds("object", "choices", "usage", "error", "model")


@given(st.lists(nearly_plain(), max_size=8))
def test_the_short_way_says_what_the_long_one_does(chunks: list[dict[str, Any]]) -> None:
    # A field that nobody knows changes nothing, and is a reason to look closely.
    unknown = [
        {**one, "choices": [{**choice, "unknown": 1} if isinstance(choice, dict) else choice for choice in one["choices"]]}
        if isinstance(one["choices"], list)
        else one
        for one in chunks
    ]
    assert all(plain_text_of(one) is None for one in unknown)
    short, long = play(*chunks, DONE), play(*unknown, DONE)
    assert [repr(one) for one in short[0]] == [repr(one) for one in long[0]]
    assert short[1] == long[1]


def test_a_chunk_of_the_api_is_read_the_short_way() -> None:
    assert plain_text_of({"object": "chat.completion.chunk", **text("a")}) == "a"


@pytest.mark.parametrize(
    "shape", [None, [], "a", {}, {"choices": None}, {"choices": []}, {"choices": [None]}, chunk("a"), chunk({})]
)
def test_a_chunk_of_another_shape_is_not(shape: Any) -> None:
    assert plain_text_of(shape) is None
    assert plain_text_of({**shape, "object": "chat.completion.chunk"} if isinstance(shape, dict) else shape) is None


def test_a_long_text_is_whole() -> None:
    pieces = [f"w{number} " for number in range(1000)]
    assert play(*map(text, pieces), DONE)[1].text == "".join(pieces)
