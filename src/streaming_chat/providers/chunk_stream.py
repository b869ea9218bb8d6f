"""The body of a response → chunk dicts, as they arrive.

Rule: the stream is over at `[DONE]`, at the end of the body, or a short while after a `finish_reason`: there are servers
that send neither of the others and keep the connection. So there are for whole answers in JSON.

Whatever ends the stream, what had arrived by then is read first: a last event without its blank line, an answer in one piece
behind which the connection broke.
"""

from __future__ import annotations

import codecs
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any, Final

from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ChatError, NotAStream, ServerError
from streaming_chat.core.json_text import has_too_many_values
from streaming_chat.core.limits import LONGEST_EVENT, TOO_LONG, TOO_MANY_VALUES
from streaming_chat.engine.protocols import ChunkSource
from streaming_chat.providers.endpoint import Endpoint
from streaming_chat.providers.failures import not_a_stream, of_error_chunk, request_id_of, too_much, translate
from streaming_chat.providers.socket_stream import Stream
from streaming_chat.wire.chunk import finish_reason_of, has_answer, index_of, plain_text_of
from streaming_chat.wire.reply import DONE
from streaming_chat.wire.sse import ServerSentEvent, SSEDecoder

#: Seconds after `finish_reason` in which usage and `[DONE]` may come.
_GRACE: Final = 2.0
#: As much may stand before the JSON of an answer in one piece, bytes: white space, a byte order mark, comments.
_BEFORE_JSON: Final = 4096
#: Lines of an event stream around it.
_STREAM_LINES: Final = (":", "data:", "event:", "id:", "retry:")
#: The same in a body.
_STREAM_LINE_STARTS: Final = tuple(start.encode() for start in _STREAM_LINES)
#: What a piece of JSON has that may hold a piece of the answer. What has none of it (`ping`) was never meant to be a chunk.
_IN_JSON: Final = re.compile(r'[{}"]|^\[')
#: Around the data of an event; a byte order mark too.
_BLANKS: Final = " \t\r\n\ufeff"
#: Values of `code` that say that all is well.
_NO_ERROR_CODES: Final = (None, "", 0, 200, "0", "200", "success", "ok", "OK")
#: What the JSON parser raises: the second for brackets nested without a bottom.
_NO_JSON: Final = (ValueError, RecursionError)


class ChunkStream(ChunkSource):
    """The chunks of one answer, `DONE` for `[DONE]`."""

    def __init__(self, response: Any, endpoint: Endpoint) -> None:
        self.request_id = request_id_of(response.headers, endpoint)
        self._response = response
        #: Kept, because a generator that is dropped closes the connection.
        self._received = response.iter_bytes()
        self._endpoint = endpoint
        self._finished = False  # A finish_reason has come.
        self._is_done = False  # `[DONE]` has.
        self._is_stream = False  # What is too long for a head was found to be one.
        self._has_chunks = False
        self._has_answer = False  # A piece of an answer has come.
        self._failure: ChatError | None = None  # What ended the body.
        self._is_alive = False  # What came last is more than a keep-alive.

    def __iter__(self) -> Iterator[object]:
        """Yield until the stream is over; ChatError when it fails."""
        decoder = SSEDecoder()
        head = bytearray()
        try:
            for event in self._events(decoder, head):
                for chunk in self._parsed(event):
                    if plain_text_of(chunk) is not None:
                        self._has_chunks = self._is_alive = self._has_answer = True
                        yield chunk
                        continue
                    yield from self._of_any_kind(chunk, head)
                    if self._is_done:
                        return
                chunk = None  # A large one is not kept while the next one is read.
        except ChatError:
            raise  # The stream has said so itself: what stands behind it is no part of the answer.
        except Exception as problem:  # noqa: BLE001 # every failure is translated
            self._failure = translate(problem, self._endpoint, began=decoder.saw_event_stream)
        yield from self._at_end(decoder, head)

    def _of_any_kind(self, chunk: Any, head: bytearray) -> Iterator[Any]:
        """The chunk, which is not a piece of text alone; before `[DONE]`, the answer in one piece that `head` may be."""
        if chunk is DONE and not self._has_chunks and (answer := self._answer_in_one_piece(head)) is not None:
            yield from self._told(answer)
        yield from self._told(chunk)
        if chunk is DONE:
            self._is_done = True
        else:
            self._look_at(chunk)

    def _at_end(self, decoder: SSEDecoder, head: bytearray) -> Iterator[Any]:
        """What is left when the body has ended without `[DONE]`; ChatError for a failure."""
        if decoder.is_too_long:
            raise self._too_much(f"an event {TOO_LONG}" if decoder.saw_event_stream else f"a line {TOO_LONG}")
        yield from self._last_words(decoder)
        if not self._has_chunks:
            answer = self._answer_in_one_piece(head)
            if answer is not None:
                yield from self._told(answer)
                return
            if not decoder.saw_event_stream:
                self._failure = self._failure or self._not_a_stream(head)
        if self._failure is not None:
            raise self._failure from None

    def _events(self, decoder: SSEDecoder, head: bytearray) -> Iterator[ServerSentEvent]:
        """The events with data, and errors without; `head` is what comes as long as there is no chunk among them."""
        grace: threading.Timer | None = None
        try:
            while (received := self._read(decoder)) is not None:
                self._is_alive = False
                if not self._has_chunks:
                    head += received
                    self._is_alive = bool(received.strip())
                for event in decoder.feed(received):
                    # A keep-alive may be an event without data.
                    if event.data or event.event == "error":
                        yield event
                if decoder.is_too_long:
                    return
                if head:
                    self._look_at_head(head)
                if self._is_alive:  # A keep-alive does not prolong the wait.
                    grace = self._next_grace(grace, head)
        finally:
            if grace is not None:
                grace.cancel()

    def _next_grace(self, grace: threading.Timer | None, head: bytearray) -> threading.Timer | None:
        """A timer in place of `grace` that ends the wait for more; None where the answer cannot be over."""
        # Again with each piece: what still comes is not cut off.
        if grace is not None:
            grace.cancel()
        if self._finished:
            return _after_grace(self._hang_up)
        if not self._has_chunks and b"{" in head[:_BEFORE_JSON]:
            return _after_grace(partial(self._hang_up_if_whole, head))
        return None

    def _read(self, decoder: SSEDecoder) -> bytes | None:
        """The next piece of the body; None at its end, and where it breaks off."""
        try:
            return next(self._received, None)
        except Exception as problem:  # noqa: BLE001 # every failure is translated
            self._failure = translate(problem, self._endpoint, began=decoder.saw_event_stream)
            return None

    def _look_at_head(self, head: bytearray) -> None:
        """Forget what came before the first chunk, once that is there, or too long; ServerError when it is no stream."""
        if self._has_chunks:
            head.clear()
        if len(head) <= LONGEST_EVENT:
            return
        if self._is_stream:
            head.clear()
            return
        start = head[:_BEFORE_JSON].decode(errors="replace")
        if start.lstrip(_BLANKS).startswith("{"):
            raise self._too_much(f"an answer {TOO_LONG}")
        *lines, last = start.strip(_BLANKS).splitlines() or [""]
        # The last one is cut.
        is_stream = last.startswith(_STREAM_LINES) or any(line.startswith(last) for line in _STREAM_LINES)
        if not is_stream or not all(line.startswith(_STREAM_LINES) for line in lines if line.strip()):
            raise self._not_a_stream(head)
        # Once for all: what comes after this begins anywhere in a line.
        self._is_stream = True
        head.clear()

    def _too_much(self, what: str) -> ServerError:
        error = too_much(self._endpoint, what, began=self._has_answer)
        error.request_id = self.request_id
        return error

    def _told(self, chunk: Any) -> Iterator[Any]:
        """The chunk; then ChatError if it holds an error, as the text beside one is a part of the answer still."""
        error = _error_in(chunk) or (chunk if _is_bare_error(chunk) else None)
        if error is None or chunk.get("choices"):
            yield chunk
        if error is not None:
            raise self._error(error)

    def _error(self, error: object) -> ChatError:
        return of_error_chunk(error, self._endpoint, self.request_id)

    def _last_words(self, decoder: SSEDecoder) -> Iterator[Any]:
        """The event whose blank line is missing: servers end so. Cut in two, it is no JSON, and no loss either."""
        for event in decoder.finish():
            if event.data:
                with suppress(_NotJSON):
                    for chunk in self._parsed(event):
                        # Half a word is no word.
                        if isinstance(chunk, str) and self._failure is not None:
                            continue
                        self._look_at(chunk)
                        yield from self._told(chunk)

    def _look_at(self, chunk: Any) -> None:
        """Notice what a chunk says about the stream."""
        if not isinstance(chunk, dict):
            return
        choices = chunk.get("choices")
        self._has_chunks = True
        self._has_answer = self._has_answer or has_answer(chunk)
        self._is_alive = bool(choices) or not self._finished
        if not isinstance(choices, list):
            return
        numbers = {index_of(one): bool(finish_reason_of(one)) for one in choices if isinstance(one, Mapping)}
        # Of several answers, the others may be slower.
        self._finished = self._finished or numbers == {0: True}

    def _parsed(self, event: ServerSentEvent) -> list[Any]:
        """The chunks in an event: one as a rule, `DONE`, its data as text when it never was JSON; ChatError for damage."""
        data = event.data.strip(_BLANKS)
        if not data.startswith("{") and data.upper().strip('"') == "[DONE]":
            return [DONE]
        if has_too_many_values(data):
            raise self._too_much(f"an event {TOO_MANY_VALUES}")
        try:
            # A server that repeats the key must not bring it into an answer, a log or the history.
            chunk = self._endpoint.from_json(data)
        except _NO_JSON:
            if event.event == "error":
                return [{"error": self._endpoint.without_secret(data) or "it gives no reason"}]
            if not _IN_JSON.search(data):
                return [self._endpoint.without_secret(data)]
            raise _NotJSON(
                f"{self._endpoint.host} sent an event that is not JSON",
                kind=Kind.ANSWER_CUT,
                request_id=self.request_id,
            ) from None
        if event.event == "error" and _error_in(chunk) is None:
            return [{"error": chunk or "it gives no reason"}]
        # A list around it.
        return [one for one in chunk if isinstance(one, dict)] if isinstance(chunk, list) else [chunk]

    def _answer_in_one_piece(self, body: bytearray) -> Any:
        """The completion, or the error, that a body without a single event is; None when it is neither."""
        with suppress(*_NO_JSON):
            if b"{" not in body:
                return None
            data = bytes(body).removeprefix(codecs.BOM_UTF8)
            if not data.lstrip().startswith(b"{") or data.rstrip().endswith(b"[DONE]"):
                # Not as a list: a body of line ends alone would take forty times its memory. In JSON, CR is white space.
                data = _without_stream_lines(BytesIO(data.replace(b"\r", b"\n")))
            text = data.decode(errors="replace")
            if has_too_many_values(text):
                raise self._too_much(f"an answer {TOO_MANY_VALUES}")
            completion = self._endpoint.from_json(text.strip(_BLANKS))
            if isinstance(completion, dict) and (completion.get("choices") or _error_in(completion) is not None):
                return completion
        return None

    def _not_a_stream(self, body: bytearray) -> NotAStream:
        content_type = str(self._response.headers.get("content-type", ""))
        # Before it is cut: half a key would not be found.
        text = self._endpoint.without_secret(bytes(body).decode(errors="replace"))
        return not_a_stream(content_type, text[:10_000], self._endpoint, self.request_id)

    def call_before_waiting(self, callback: Callable[[int], None]) -> bool:
        """Have `callback` called whenever all that has arrived was read, with the file number of what is waited for.

        False where the connection cannot do that.
        """
        stream = self._response.http_response.extensions.get("network_stream")
        if not isinstance(stream, Stream):
            return False
        stream.before_waiting = callback
        return True

    def close(self) -> None:
        """The answer is over. What is left of the body is read aside, so that the connection serves for the next one."""
        self.call_before_waiting(_nothing)
        if self._is_done:
            threading.Thread(target=self._drain, daemon=True).start()
        else:
            self._response.close()

    def _drain(self) -> None:
        grace = _after_grace(self._hang_up)
        # Whatever goes wrong now is no part of the answer: the connection is of no use any more, and is closed.
        with suppress(Exception):
            for _ in self._received:
                pass
        grace.cancel()
        with suppress(Exception):
            self._response.close()

    def _hang_up_if_whole(self, body: bytearray) -> None:
        # One that is too long is told by whoever reads it.
        with suppress(ChatError):
            if self._answer_in_one_piece(body) is not None:
                self._hang_up()

    def _hang_up(self) -> None:
        """End the wait of another thread for more: it reads the end of the body."""
        # Neither SDK nor HTTP library can be told to wait less than when the request was sent.
        with suppress(OSError, AttributeError):
            stream = self._response.http_response.extensions["network_stream"]
            stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def _without_stream_lines(lines: Iterable[bytes]) -> bytes:
    """What is no line of an event stream, put together."""
    kept = bytearray()
    for line in lines:
        if not line.startswith(_STREAM_LINE_STARTS):
            kept += line
    return bytes(kept)


def _after_grace(do: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(_GRACE, do)
    timer.daemon = True
    timer.start()
    return timer


def _nothing(_source: int) -> None:
    """What is done before waiting for what belongs to no answer."""


class _NotJSON(ServerError):
    """An event whose data is no JSON."""


def _error_in(chunk: Any) -> object:
    """The error that a chunk holds: `error`, in the chunk or in a choice, or the chunk itself (docs/wire.md tells whose)."""
    if not isinstance(chunk, dict):
        return None
    choices = chunk.get("choices")
    inside = [one.get("error") for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
    error = chunk.get("error") or next(filter(None, inside), None)
    return error or (chunk if chunk.get("object") == "error" else None)


def _is_bare_error(chunk: Any) -> bool:
    """Whether the chunk is an error without the word: `{"detail": …}`, `{"code": …, "message": …}`, `{"type": "error"}`."""
    if not isinstance(chunk, dict) or chunk.get("choices"):
        return False
    says = chunk.get("message") or chunk.get("msg")
    has_code = any(chunk.get(field) not in _NO_ERROR_CODES for field in ("code", "status", "status_code"))
    said = chunk.get("type") == "error" or chunk.get("detail") or chunk.get("errors") or chunk.get("error_msg")
    return bool(said) or (isinstance(says, str) and has_code)
