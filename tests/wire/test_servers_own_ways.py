"""What servers do that neither the API nor the standard of event streams knows."""

from __future__ import annotations

from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.events import NotStreamed
from streaming_chat.wire.reply import Reply
from streaming_chat.wire.sse import ServerSentEvent, SSEDecoder

COMPLETION = {"object": "chat.completion", "choices": [{"message": {"content": "All of it"}, "finish_reason": "stop"}]}


def test_an_answer_in_one_piece_is_remarked_once() -> None:
    reply = Reply(ChatRequest("asked-for", (Message("user", "Why?"),)), 0.0)
    events = [*reply.feed(COMPLETION, 1.0), *reply.feed(COMPLETION, 2.0)]
    assert [event for event in events if isinstance(event, NotStreamed)] == [NotStreamed(1.0)]


def test_a_field_error_is_an_event_of_that_type() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b'error: {"code":500}\n\ndata: x\n\n') == [
        ServerSentEvent("error", '{"code":500}', "", None),
        ServerSentEvent("message", "x", "", None),
    ]
    assert decoder.saw_event_stream


def test_a_character_cut_in_two_behind_a_lone_end_of_thinking_is_whole_again() -> None:
    reply = Reply(ChatRequest("asked-for", (Message("user", "Why?"),)), 0.0)
    for content in ("hm\n</think>\nHi \ud83d", "\ude00!"):
        reply.feed({"choices": [{"delta": {"content": content}}]}, 1.0)
    _, turn = reply.finish(2.0)
    assert (turn.text, turn.reasoning) == ("Hi \U0001f600!", "hm")
