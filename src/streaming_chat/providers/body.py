"""The body of a response in pieces of bounded size, and no more of it than anybody needs.

The HTTP library decompresses what one read brought in one piece: 64 KiB become 64 MiB, and with `gzip, gzip` far more. It
reads the body of an error to its end. So a hook, which it calls between the head of a response and its body, puts a stream
of its own in the body's place where there is something to bound; the usual answer, which is neither compressed nor an error,
goes on as it is.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from streaming_chat.core.errors import TimedOut
from streaming_chat.core.limits import LONGEST_ERROR_BODY, MOST_ENCODINGS
from streaming_chat.engine import deadline
from streaming_chat.providers.socket_stream import Bounded

#: What is asked for, and what is understood: no more, whichever other libraries are installed.
ACCEPTED: Final = "gzip, deflate"
#: Seconds in which the body of an error has to come.
_ERROR_TIME: Final = 5.0
#: Bytes of a piece.
_PIECE: Final = 64 << 10
#: Bytes after which it is known which of its two forms `deflate` has.
_ZLIB_HEAD: Final = 2
#: Python has codecs that decompress, or take the square of the length. A server may ask for these.
_CHARSETS: Final = frozenset(
    {
        *("utf-8", "utf-16", "utf-32", "ascii", "iso8859-1", "iso8859-15", "cp1252", "cp1251", "koi8-r"),
        *("gbk", "gb2312", "gb18030", "big5", "shift_jis", "cp932", "euc_jp", "iso2022_jp", "euc_kr", "cp949"),
    }
)


def response_hook(http: Any) -> Callable[[Any], None]:
    """A hook for the client of the HTTP library `http`."""

    class Body(http.SyncByteStream):  # type: ignore[misc] # what a class of a module in a variable is
        """`pieces` in the place of `stream`, which is closed with it."""

        def __init__(self, pieces: Iterator[bytes], stream: Any) -> None:
            self._pieces = pieces
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            return self._pieces

        def close(self) -> None:
            self._stream.close()

    def begin(response: Any) -> None:
        connection = response.extensions.get("network_stream")
        if isinstance(connection, Bounded):
            connection.head_is_over()
        encodings = [one.strip().lower() for one in response.headers.get("content-encoding", "").split(",")]
        known = [one for one in encodings if one in _DECODERS]
        if known:
            del response.headers["content-encoding"]
        elif response.is_success:
            return
        pieces: Iterator[bytes] = iter(response.stream)
        if not response.is_success:
            failures = (zlib.error, http.TransportError, TimedOut)
            pieces = _start(_decoded(pieces, known, zlib.error), failures)
            response.encoding = _charset(response.charset_encoding)
        else:
            pieces = _decoded(pieces, known, http.DecodingError)
        response.stream = Body(pieces, response.stream)

    return begin


def _decoded(pieces: Iterator[bytes], encodings: list[str], damaged: type[Exception]) -> Iterator[bytes]:
    """The pieces without their encodings, of which the last was put on last; `damaged` is raised where that fails."""
    if len(encodings) > MOST_ENCODINGS:
        raise damaged("too many encodings")
    try:
        for encoding in reversed(encodings):
            pieces = _DECODERS[encoding](pieces)
        for piece in pieces:
            deadline.check()  # Much can come of one read.
            yield piece
    except zlib.error as problem:
        raise damaged(str(problem)) from None


def _start(pieces: Iterator[bytes], failures: tuple[type[Exception], ...]) -> Iterator[bytes]:
    """The beginning of an error's body, as much as comes before one of the `failures` and within `_ERROR_TIME`.

    The status has said what is wrong: it is not kept back for words that come slowly, or not at all.
    """
    yield from _taken(pieces, failures)


def _taken(pieces: Iterator[bytes], failures: tuple[type[Exception], ...]) -> list[bytes]:
    taken: list[bytes] = []
    length = LONGEST_ERROR_BODY
    left = deadline.left()
    with deadline.at_most(_ERROR_TIME if left is None else min(left, _ERROR_TIME)), suppress(*failures):
        for piece in pieces:
            taken.append(piece[:length])
            length -= len(piece)
            if length <= 0:
                break
    return taken


def _gunzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return _inflated(pieces, _GZIP_WINDOW)


def _deflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Both forms of `deflate`: that of the standard (RFC 9110, 8.4.1.2), and the one without a head, as common."""
    source = iter(pieces)
    head = b""
    for piece in source:
        head += piece
        if len(head) >= _ZLIB_HEAD:
            break
    # RFC 1950, 2.2: the method, and a check of both bytes.
    has_head = len(head) >= _ZLIB_HEAD and head[0] & 15 == zlib.DEFLATED and int.from_bytes(head[:2], "big") % 31 == 0

    def all_of_them() -> Iterator[bytes]:
        yield head
        yield from source

    return _inflated(all_of_them(), zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS)


def _inflated(pieces: Iterable[bytes], window: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj(window)
    rest = b""
    for piece in pieces:
        rest += piece
        while rest:
            if inflater.eof:
                if len(rest) < len(_GZIP) and _GZIP.startswith(rest):
                    break  # It may be cut in here.
                if window != _GZIP_WINDOW or not rest.startswith(_GZIP):
                    # What follows is read, so that the connection serves for the next request, and is nothing.
                    rest = b""
                    break
                inflater = zlib.decompressobj(window)  # A further member (RFC 1952, 2.2).
            inflated = inflater.decompress(rest, _PIECE)
            if inflated:
                yield inflated
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        while not inflater.eof and (inflated := inflater.decompress(inflater.unconsumed_tail, _PIECE)):
            yield inflated


#: What zlib calls the format (zlib.h, inflateInit2), and how a member of it begins.
_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16
_GZIP: Final = b"\x1f\x8b"
_DECODERS: Final[dict[str, Callable[[Iterable[bytes]], Iterator[bytes]]]] = {
    "gzip": _gunzipped,
    "x-gzip": _gunzipped,
    "deflate": _deflated,
}


def _charset(name: str | None) -> str:
    """The codec for the charset that a server names; UTF-8 for any that is not one of the usual."""
    with suppress(LookupError, ValueError):
        found = codecs.lookup(name or "utf-8").name
        return found if found in _CHARSETS else "utf-8"
    return "utf-8"
