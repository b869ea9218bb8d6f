import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_chat.wire.sse import ServerSentEvent, SSEDecoder


def decode(*pieces: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()


def data(*pieces: bytes) -> list[str]:
    return [event.data for event in decode(*pieces)]


def reference(stream: bytes) -> list[ServerSentEvent]:
    """The standard's algorithm, word for word, on a whole stream; with the deviations of the module."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    events, buffer, name, last_id, retry = [], "", "", "", None
    for line in [*lines, ""]:
        if line == "":
            if buffer:
                events.append(ServerSentEvent(name or "message", buffer.removesuffix("\n"), last_id, retry))
            buffer = name = ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            buffer += value + "\n"
        elif field == "error":  # The other deviation.
            name, buffer = field, buffer + value + "\n"
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            last_id = value
        elif field == "retry" and value.isascii() and value.isdigit() and len(value) < 19:
            retry = int(value)
    return events


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_each_kind_of_line_end_ends_lines(end: bytes) -> None:
    assert data(b"data: a" + end + b"data: b" + end + end + b"data: c" + end + end) == ["a\nb", "c"]


def test_line_ends_may_be_mixed() -> None:
    assert data(b"data: a\r\ndata: b\r\n\ndata: c\n\rdata: d\r\r\n") == ["a\nb", "c", "d"]


def test_an_event_is_returned_by_the_feed_that_ends_its_blank_line() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert [event.data for event in decoder.feed(b"\ndata: b")] == ["a"]
    assert [event.data for event in decoder.feed(b"\n\n")] == ["b"]
    assert decoder.finish() == []


def test_a_cr_at_the_end_of_a_feed_is_not_waited_for() -> None:
    decoder = SSEDecoder()
    assert [event.data for event in decoder.feed(b"data: a\r\n\r")] == ["a"]
    assert decoder.feed(b"") == []
    # Were this LF a line end of its own, the data lines would be two events.
    assert decoder.feed(b"\ndata: b\r") == []
    assert [event.data for event in decoder.feed(b"\ndata: c\r\n\r\n")] == ["b\nc"]


def test_a_bom_is_skipped_at_the_start_only() -> None:
    assert data(b"\xef", b"\xbb", b"\xbfdata: a\n\n") == ["a"]
    assert data(b"\xef\xbb\xbfdata: a") == ["a"]
    assert data(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n") == []
    assert data(b"data: a\n\n\xef\xbb\xbfdata: b\n\n") == ["a"]


def test_one_space_after_the_colon_is_not_data() -> None:
    assert data(b"data:a\n\ndata: b\n\ndata:  c\n\ndata:\td\n\n") == ["a", "b", " c", "\td"]


def test_empty_data_is_an_event_and_no_data_is_none() -> None:
    # The standard's own example: the first block has empty data, the second a single LF.
    assert data(b"data\n\ndata\ndata\n\n") == ["", "\n"]
    assert data(b"data:\n\n") == [""]
    assert data(b"event: ping\n\nid: 1\n\nretry: 5\n\n: comment\n\n\n\n") == []


def test_a_type_belongs_to_its_own_block() -> None:
    events = decode(b"event: ping\n\ndata: a\n\nevent: error\ndata: b\n\ndata: c\n\nevent: x\nevent\ndata: d\n\n")
    assert [(event.event, event.data) for event in events] == [
        ("message", "a"),
        ("error", "b"),
        ("message", "c"),
        ("message", "d"),
    ]


def test_an_id_stays_until_the_next() -> None:
    events = decode(b"id: 1\n: comment\n\ndata: a\n\ndata: b\nid: 2\n\nid: 3\0\ndata: c\n\nid\ndata: d\n\n")
    assert [event.id for event in events] == ["1", "2", "2", ""]


def test_a_retry_is_digits_or_nothing() -> None:
    events = decode(
        b"data: a\n\nretry: 1500\ndata: b\n\nretry: 1.5\nretry: -1\nretry:\nretry: " + b"9" * 5000 + b"\ndata: c\n\n"
    )
    assert [event.retry for event in events] == [None, 1500, 1500]


def test_comments_and_unknown_fields_are_skipped() -> None:
    assert data(b": PROCESSING\ndata: a\nfoo: bar\n:\nfoo\nDATA: x\n data: y\ndata : z\n\n") == ["a"]


def test_a_character_may_be_cut_anywhere() -> None:
    stream = 'data: "größe 東京 👩‍🚀"\n\n'.encode()
    for at in range(len(stream)):
        assert data(stream[:at], stream[at:]) == ['"größe 東京 👩‍🚀"']


def test_invalid_utf8_becomes_replacement_characters() -> None:
    assert data(b"data: a\xffb\xe6\x9d\n\ndata: \xed\xa0\x80\n\n") == ["a\ufffdb\ufffd", "\ufffd" * 3]
    assert decode(b"event: \xff\nid: \xff\ndata: a\n\n") == [ServerSentEvent("\ufffd", "a", "\ufffd", None)]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_a_last_event_without_its_blank_line_is_not_lost(end: bytes) -> None:
    assert data(b"data: a\n\ndata: last words" + end) == ["a", "last words"]


def test_finishing_twice_returns_nothing_new() -> None:
    decoder = SSEDecoder()
    assert decoder.finish() == []
    decoder.feed(b"data: a")
    assert len(decoder.finish()) == 1
    assert decoder.finish() == []


@pytest.mark.parametrize("body", [b"data: a\n", b"data:a\n", b": ping\n", b"event: x\n", b"id: 1\n", b"retry: 1\n"])
def test_an_event_stream_is_told_from_something_else(body: bytes) -> None:
    decoder = SSEDecoder()
    assert not decoder.saw_event_stream
    decoder.feed(body)
    assert decoder.saw_event_stream


@pytest.mark.parametrize(
    "body",
    [b"", b"\n\n", b"<!doctype html>\n<p style='color: red'>\n\n", b'{\n  "data": [1]\n}\n', b"upstream: busy\n"],
)
def test_other_bodies_are_no_event_stream(body: bytes) -> None:
    decoder = SSEDecoder()
    assert decoder.feed(body) + decoder.finish() == []
    assert not decoder.saw_event_stream


fields = [b"data", b"data:", b"data: ", b"event:", b"id:", b"retry:", b":", b" ", b"\xef\xbb\xbf"]
line_ends = [b"\n", b"\r", b"\r\n", b"\n\n"]
values = [b"a", b"7", b"\0", "é".encode(), b"\xc3", b"\xff", "👩".encode(), "\u2028\x85".encode(), b"\x0b"]
tokens = st.sampled_from([*fields, *line_ends, *values])
streams = st.lists(tokens, max_size=40).map(b"".join)


@settings(deadline=None)  # Another process may have the machine.
@given(streams, st.data())
def test_any_cut_gives_the_events_of_the_standard(stream: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*pieces) == reference(stream)
    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == reference(stream)


@settings(deadline=None)  # Another process may have the machine.
@given(st.lists(st.binary(max_size=30), max_size=10))
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    assert decode(*pieces) == reference(b"".join(pieces))


def seconds(pieces: list[bytes]) -> float:
    """The processor's time."""
    started = time.process_time()
    decode(*pieces)
    return time.process_time() - started


def cut(stream: bytes, size: int) -> list[bytes]:
    return [stream[at : at + size] for at in range(0, len(stream), size)]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(cut(b"data: " + b"x" * 5_000_000 + b"\n\n", 16), id="one line in small pieces"),
        pytest.param(cut(b"data: x\n" * 600_000 + b"\n", 16), id="one event of many lines"),
        pytest.param([b"data: {}\n\n" * 100_000], id="many events in one feed"),
        pytest.param([b"\r", b"\n"] * 200_000, id="cr and lf apart"),
    ],
)
def test_the_cost_is_linear(pieces: list[bytes]) -> None:
    # Linear is under half a second on a slow machine; quadratic would be many minutes.
    assert seconds(pieces) < 60


LONGEST = 12


def bounded(*pieces: bytes) -> tuple[list[ServerSentEvent], bool]:
    """The events before the first line or event of more than `LONGEST` bytes, and whether there was one."""
    decoder = SSEDecoder(LONGEST)
    events = [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()
    return events, decoder.is_too_long


long_streams = st.lists(
    st.sampled_from(
        [b"data: ", b"data:", b"x" * 6, b"x", b"\n", b"\r\n", b"\r", b"\n\n", b": ping", b"data\n", b"event: e\n"]
    )
).map(b"".join)


@given(long_streams, st.data())
def test_any_cut_finds_the_same_limit(stream: bytes, draw: st.DataObject) -> None:
    edges = sorted({0, len(stream), *draw.draw(st.lists(st.integers(0, len(stream)), max_size=8))})
    pieces = [stream[left:right] for left, right in pairwise(edges)]
    assert bounded(*pieces) == bounded(stream) == bounded(*(bytes([byte]) for byte in stream))
    events, is_too_long = bounded(stream)
    if not is_too_long:
        assert events == decode(stream)
    else:
        assert events == decode(stream)[: len(events)]


@pytest.mark.parametrize(
    ("stream", "is_too_long"),
    [
        (b"data: " + b"x" * 6 + b"\n\n", False),
        (b"data: " + b"x" * 7 + b"\n\n", True),
        (b": " + b"x" * 11, True),
        (b"data:\n" * 12 + b"\n", False),
        (b"data:\n" * 14 + b"\n", True),
        (b"data: 1234\n" * 2 + b"\n", False),
        (b"data: 1234\n" * 3 + b"\n", True),
        (b"data: a\n\n" * 100, False),
    ],
)
def test_a_line_and_an_event_have_a_longest(stream: bytes, is_too_long: bool) -> None:
    first = b"data: a\n\n"
    events, found = bounded(first + stream)
    assert events[0].data == "a"
    assert found is is_too_long
