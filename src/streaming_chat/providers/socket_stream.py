"""One connection as the HTTP library wants it (httpcore's NetworkStream), within the bounds of the turn.

The classes of the library's exceptions are handed in, since the library differs between SDK 2 and 3.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import TooMuchSent
from streaming_chat.core.limits import LONGEST_HEAD
from streaming_chat.engine import deadline


class Heard:
    """How many bytes have come, on all connections to one server."""

    def __init__(self) -> None:
        self.bytes = 0


class Bounded:
    """What every connection has to keep to: the end of the turn, and a head of bounded length.

    A server may send informational responses (1xx) without end, and the HTTP library reads them all.
    """

    def __init__(self) -> None:
        self._head_left: int | None = None

    def head_begins(self) -> None:
        """A request is sent."""
        self._head_left = LONGEST_HEAD

    def head_is_over(self) -> None:
        """The response has begun: from here on, whoever reads its body decides how much is enough."""
        self._head_left = None

    def received(self, count: int) -> None:
        """So many bytes have come. TooMuchSent when a response should have begun by now."""
        if self._head_left is not None:
            self._head_left -= count
            if self._head_left < 0:
                raise TooMuchSent(
                    f"the server sent {LONGEST_HEAD >> 20} MiB of headers and no answer", kind=Kind.HEADERS_TOO_LONG
                )


class Stream(Bounded):
    """One connection, as the HTTP library wants it (httpcore's NetworkStream)."""

    def __init__(self, connection: socket.socket, errors: Any, heard: Heard) -> None:
        super().__init__()
        self._socket = connection
        self._errors = errors
        self._heard = heard
        #: Called, with the file number, when all that has come was read, and more is waited for.
        self.before_waiting: Callable[[int], None] | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Wait for bytes, at most `timeout` seconds; b"" at the end."""
        if self.before_waiting is not None:
            self.before_waiting(self._socket.fileno())
        try:
            self._socket.settimeout(deadline.capped(timeout))
            data = self._socket.recv(max_bytes)
        except TimeoutError as problem:
            deadline.check()
            # One with a number is the system's word that the connection is gone.
            raise (self._errors.ReadError if problem.errno else self._errors.ReadTimeout)(problem) from problem
        except OSError as problem:
            raise self._errors.ReadError(problem) from problem
        self._heard.bytes += len(data)
        self.received(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send it all."""
        self.head_begins()
        try:
            self._socket.settimeout(deadline.capped(timeout))
            self._socket.sendall(buffer)
        except TimeoutError as problem:
            deadline.check()
            raise self._errors.WriteTimeout(problem) from problem
        except OSError as problem:
            raise self._errors.WriteError(problem) from problem

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Stream:
        """The same connection, encrypted; it may be so already."""
        if isinstance(self._socket, ssl.SSLSocket):
            return self
        try:
            self._socket.settimeout(deadline.capped(timeout))
            return Stream(ssl_context.wrap_socket(self._socket, server_hostname=server_hostname), self._errors, self._heard)
        except TimeoutError as problem:
            self.close()
            deadline.check()
            raise self._errors.ConnectTimeout(problem) from problem
        except OSError as problem:
            self.close()
            raise self._errors.ConnectError(problem) from problem

    def get_extra_info(self, info: str) -> Any:
        """What the HTTP library asks: `socket`, `ssl_object`, `is_readable` and the two addresses."""
        if info == "socket":
            return self._socket
        if info == "ssl_object":
            return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
        if info == "is_readable":
            return is_readable(self._socket)
        if info == "client_addr":
            return self._socket.getsockname()
        return self._socket.getpeername() if info == "server_addr" else None


def is_readable(connection: socket.socket) -> bool:
    """Whether something has come: of an idle connection, its end."""
    if connection.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([connection], [], [], 0)[0])
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def is_open(connection: socket.socket, *, may_speak: bool = False) -> bool:
    """Whether a connection on which nothing has been sent is still of use: the server has neither closed it nor spoken.

    One that is new may do so if it `may_speak`: then it speaks another protocol, and the request is to find out.
    """
    connection.setblocking(False)
    try:
        if isinstance(connection, ssl.SSLSocket):
            # TLS has things of its own to say after the handshake, and this reads them. What the server said would be lost.
            connection.recv(1)
            return False
        return bool(connection.recv(1, socket.MSG_PEEK)) and may_speak
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    finally:
        connection.setblocking(True)


class ProxiedStream(Bounded):
    """A connection of the HTTP library's own, which knows TLS inside TLS, with the bounds of ours."""

    def __init__(self, inner: Any, errors: Any) -> None:
        super().__init__()
        self._inner = inner
        self._errors = errors

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Wait for bytes, at most `timeout` seconds; b"" at the end."""
        try:
            data: bytes = self._inner.read(max_bytes, deadline.capped(timeout))
        except self._errors.ReadTimeout:
            deadline.check()
            raise
        self.received(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send it all."""
        self.head_begins()
        try:
            self._inner.write(buffer, deadline.capped(timeout))
        except self._errors.WriteTimeout:
            deadline.check()
            raise

    def close(self) -> None:
        """Hang up."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> ProxiedStream:
        """The same connection, encrypted once more."""
        try:
            inner = self._inner.start_tls(ssl_context, server_hostname, deadline.capped(timeout))
        except self._errors.ConnectTimeout:
            deadline.check()
            raise
        return ProxiedStream(inner, self._errors)

    def get_extra_info(self, info: str) -> Any:
        """What the HTTP library asks."""
        return self._inner.get_extra_info(info)


@contextmanager
def failures_of_connect(errors: Any) -> Iterator[None]:
    """The HTTP library's exceptions for the system's."""
    try:
        yield
    except TimeoutError as problem:
        deadline.check()
        raise errors.ConnectTimeout(problem) from problem
    except OSError as problem:
        raise errors.ConnectError(problem) from problem
