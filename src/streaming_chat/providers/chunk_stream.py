"""The body of a response → chunk dicts, as they arrive.

Rule: the stream is over at `[DONE]`, at the end of the body, or a short while after a `finish_reason`: there are servers
that send neither of the others and keep the connection.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from streaming_chat.core.chunk import finish_reason_of, index_of
from streaming_chat.core.errors import ChatError, ServerError
from streaming_chat.core.reply import DONE
from streaming_chat.core.sse import ServerSentEvent, SSEDecoder
from streaming_chat.providers.endpoint import Endpoint
from streaming_chat.providers.failures import not_a_stream, of_error_chunk, request_id_of, translate

#: What is kept of a body that has shown no event yet, bytes: enough for a whole JSON completion.
_LONGEST_HEAD: Final = 4 << 20
#: Seconds after `finish_reason` in which usage and `[DONE]` may come.
_GRACE: Final = 2.0
#: What the JSON parser raises: the second for brackets nested without a bottom.
_NO_JSON: Final = (ValueError, RecursionError)


class ChunkStream:
    """The chunks of one answer, `DONE` for `[DONE]`."""

    def __init__(self, response: Any, endpoint: Endpoint) -> None:
        self.request_id = request_id_of(response.headers, endpoint)
        self._response = response
        self._endpoint = endpoint

    def __iter__(self) -> Iterator[Any]:
        """Yield until the stream is over; ChatError when it fails."""
        decoder = SSEDecoder()
        head = bytearray()
        finished = False
        grace = self._grace()
        try:
            for received in self._response.iter_bytes():
                for event in decoder.feed(received):
                    # A keep-alive may be an event without data.
                    if event.data:
                        chunk = self._parsed(event)
                        yield from self._told(chunk)
                        if chunk is DONE:
                            return
                        finished = finished or _is_finished(chunk)
                        if finished:
                            # Anew with every chunk: what still comes is not cut off.
                            grace.cancel()
                            grace = self._grace()
                            grace.start()
                if not decoder.saw_event_stream and len(head) < _LONGEST_HEAD:
                    head += received
        except Exception as failure:  # noqa: BLE001 # every failure is translated
            raise translate(failure, self._endpoint, began=decoder.saw_event_stream) from None
        finally:
            grace.cancel()
        yield from self._last_words(decoder)
        if not decoder.saw_event_stream:
            yield from self._whole_body(bytes(head))

    def _told(self, chunk: Any) -> Iterator[Any]:
        """The chunk; then ChatError if it holds an error, as the text beside one is a part of the answer still."""
        error = _error_in(chunk)
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
                    yield from self._told(self._parsed(event))

    def _parsed(self, event: ServerSentEvent) -> Any:
        if event.data.strip() == "[DONE]":
            return DONE
        try:
            # A server that repeats the key must not bring it into an answer, a log or the history.
            chunk = json.loads(self._endpoint.without_secret(event.data))
            return {"error": chunk} if event.event == "error" and _error_in(chunk) is None else chunk
        except _NO_JSON:
            raise _NotJSON(
                f"{self._endpoint.host} sent an event that is not JSON",
                "ask again; what came before it is kept",
                request_id=self.request_id,
            ) from None

    def _whole_body(self, body: bytes) -> Iterator[Any]:
        """What a body without a single event is: a completion that was not streamed, or a failure."""
        text = self._endpoint.without_secret(body.decode(errors="replace"))
        with suppress(*_NO_JSON):
            completion = json.loads(text)
            if isinstance(completion, dict) and (completion.get("choices") or _error_in(completion) is not None):
                yield from self._told(completion)
                return
        content_type = str(self._response.headers.get("content-type", ""))
        raise not_a_stream(content_type, text[:10_000], self._endpoint, self.request_id)

    def _grace(self) -> threading.Timer:
        timer = threading.Timer(_GRACE, self._hang_up)
        timer.daemon = True
        return timer

    def _hang_up(self) -> None:
        """End the wait of another thread for more: it reads the end of the body."""
        # Neither SDK nor HTTP library can be told to wait less than when the request was sent.
        with suppress(OSError, AttributeError):
            stream = self._response.http_response.extensions["network_stream"]
            stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


class _NotJSON(ServerError):
    """An event whose data is no JSON."""


def _error_in(chunk: Any) -> object:
    """The error that a chunk holds: `error`, in the chunk or in a choice, or the chunk itself (docs/wire.md tells whose)."""
    if not isinstance(chunk, dict):
        return None
    choices = chunk.get("choices")
    inside = [one.get("error") for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
    return chunk.get("error") or next(filter(None, inside), None) or (chunk if chunk.get("object") == "error" else None)


def _is_finished(chunk: Any) -> bool:
    """Whether the only answer is finished. Of several, the others may be slower."""
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
        return False
    return index_of(choices[0]) == 0 and bool(finish_reason_of(choices[0]))
