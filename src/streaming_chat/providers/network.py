"""Connections that are there before they are needed, and stay for as long as people think.

Strategy: the HTTP library asks a network backend for its connections (https://www.encode.io/httpcore/network-backends/).
This one may have one already: `open_ahead` connects and shakes hands while the SDK is imported or the user types, so that
from Enter to the request no way to the server and back is lost. A connection that has served is kept by the library's pool;
one that the server has closed meanwhile is replaced, and nobody hears of it.

Rule: no request is sent ahead, and none is sent twice unless its connection had been idle and brought no byte of an answer.

Nothing here imports the HTTP library, which differs between SDK 2 and 3: its modules are handed in.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from typing import Any, Final

from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import TooMuchSent
from streaming_chat.core.limits import LONGEST_HEAD
from streaming_chat.engine import deadline

#: Seconds for which an idle connection is kept: longer than most thoughts, shorter than a network address translation
#: remembers one that says nothing (350 s at the load balancers of AWS, five minutes in many routers).
KEPT_FOR: Final = 240.0
#: Seconds after which the next address of a name is tried beside the one before it: RFC 8305, section 5.
_NEXT_ADDRESS: Final = 0.25
#: Milliseconds after which data that nobody has confirmed means that the connection is gone.
_UNHEARD: Final = 15_000
#: A connection that is younger than this many seconds has not been closed for want of a request.
_FRESH: Final = 3.0
#: A failure to connect ahead that is older than this many seconds says nothing any more.
_STALE_FAILURE: Final = 0.4


def connect(host: str, port: int, timeout: float | None) -> socket.socket:
    """A connection to the first address of `host` that answers, IPv6 or IPv4 (RFC 8305). OSError when there is none.

    `timeout` is in seconds, for the look-up of the name too.
    """
    end = None if timeout is None else time.monotonic() + timeout
    waiting = _interleaved(addresses(host, port, timeout))
    trying: list[socket.socket] = []
    failure: OSError = TimeoutError("timed out")
    try:
        while waiting or trying:
            if waiting:
                try:
                    trying.append(_begin(*waiting.pop(0)))
                except OSError as problem:
                    failure = problem
                    continue
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError("timed out")
            patience = min(_NEXT_ADDRESS, left or _NEXT_ADDRESS) if waiting else left
            _, writable, _ = select.select([], trying, trying, patience)
            for one in writable:
                trying.remove(one)
                number = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if number:
                    failure = OSError(number, os.strerror(number))
                    one.close()
                    continue
                one.setblocking(True)
                _set_up(one)
                return one
        raise failure
    finally:
        for one in trying:
            one.close()


def addresses(host: str, port: int, timeout: float | None) -> list[Any]:
    """What the system's resolver gives, within `timeout` seconds: it has limits of its own, and none of them is ours."""

    def look_up() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as problem:  # noqa: BLE001 # raised by the other thread
            found.put(problem)

    if timeout is None or _is_address(host):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found: SimpleQueue[list[Any] | Exception] = SimpleQueue()
    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        answer = found.get(timeout=timeout)
    except Empty:
        raise TimeoutError("timed out") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(host.partition("%")[0]))
    return False


def _set_up(connection: socket.socket) -> None:
    # Small writes are not to wait for one another.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # One that a network has forgotten is noticed while nobody waits for it, or soon after something was sent on it.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", _UNHEARD)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _interleaved(addresses: Iterable[Any]) -> list[tuple[int, Any]]:
    """Family and address, IPv6 and IPv4 in turn, beginning with the family that the system prefers."""
    families: dict[int, list[tuple[int, Any]]] = {}
    for family, _, _, _, address in addresses:
        families.setdefault(family, []).append((family, address))
    ordered: list[tuple[int, Any]] = []
    while any(families.values()):
        ordered += [some.pop(0) for some in families.values() if some]
    return ordered


def _begin(family: int, address: Any) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setblocking(False)
    try:
        with suppress(BlockingIOError):
            one.connect(address)
    except OSError:
        one.close()
        raise
    return one


def tls_context(ca: str | None) -> ssl.SSLContext:
    """What certificates are checked with: the authorities in `ca`, else those that the environment or certifi names.

    OSError when they cannot be read.
    """
    file, folder = ca or os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        return ssl.create_default_context(cafile=file)
    if folder:
        return ssl.create_default_context(capath=folder)
    try:
        import certifi
    except ImportError:
        return ssl.create_default_context()
    return ssl.create_default_context(cafile=certifi.where())


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


@contextmanager
def _failures_of_connect(errors: Any) -> Iterator[None]:
    """The HTTP library's exceptions for the system's."""
    try:
        yield
    except TimeoutError as problem:
        deadline.check()
        raise errors.ConnectTimeout(problem) from problem
    except OSError as problem:
        raise errors.ConnectError(problem) from problem


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


class ProxiedConnector:
    """A network backend for connections through a proxy. `core` is the lower half of the HTTP library."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self._inner = core.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> ProxiedStream:
        """A connection to the proxy."""
        with _failures_of_connect(self._core):
            if deadline.left() is not None:
                addresses(host, port, deadline.capped(timeout))  # The library's own look-up takes as long as it likes.
        try:
            inner = self._inner.connect_tcp(host, port, deadline.capped(timeout), local_address, socket_options)
        except self._core.ConnectTimeout:
            deadline.check()
            raise
        return ProxiedStream(inner, self._core)

    def sleep(self, seconds: float) -> None:
        """Wait between two attempts of the HTTP library, of which it makes none here."""
        time.sleep(seconds)


class Connector:
    """A network backend that may have opened its connection ahead. `timeout` is in seconds; `ca` a file of authorities."""

    def __init__(self, host: str, port: int, *, tls: bool, ca: str | None, timeout: float) -> None:
        self._place = (host, port)
        self._tls = tls
        self._ca = ca
        self._timeout = timeout
        self._lock = threading.Lock()
        self._context_lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._ready: socket.socket | None = None
        self._failure: tuple[float, OSError] | None = None
        #: When the last one was opened ahead.
        self.opened = float("-inf")
        #: The HTTP library's exceptions.
        self.errors: Any = None
        self.heard = Heard()

    def context(self) -> ssl.SSLContext | bool:
        """What certificates are checked with; False where there is no TLS. OSError when they cannot be read."""
        with self._context_lock:
            if self._tls and self._context is None:
                self._context = tls_context(self._ca)
                self._context.set_alpn_protocols(["http/1.1"])
            return self._context or False

    def open_ahead(self) -> None:
        """Have a connection ready, unless there is one. A failure is told by whoever needs the connection."""
        with self._lock:
            if self._ready is not None and is_open(self._ready):
                return
            self._drop()
            try:
                self._ready = self._open()
                self.opened = time.monotonic()
            except OSError as problem:
                self._failure = (time.monotonic(), problem)
            except (ValueError, OverflowError):
                return  # A host or a port that cannot be one.

    @property
    def has_one(self) -> bool:
        """Whether a connection is ready that the server has not closed, or on its way."""
        if not self._lock.acquire(blocking=False):
            return True
        try:
            return self._ready is not None and is_open(self._ready)
        finally:
            self._lock.release()

    def ready_since(self, now: float) -> float:
        """Since when a connection is ready; `now` where there is none, or one on its way."""
        if not self._lock.acquire(blocking=False):
            return now
        try:
            return now if self._ready is None else self.opened
        finally:
            self._lock.release()

    def _open(self) -> socket.socket:
        connection = connect(*self._place, self._timeout)
        context = self.context()
        if not isinstance(context, ssl.SSLContext):
            return connection
        connection.settimeout(self._timeout)
        try:
            return context.wrap_socket(connection, server_hostname=self._place[0])
        except OSError:
            connection.close()
            raise

    def _drop(self) -> None:
        if self._ready is not None:
            self._ready.close()
            self._ready = None

    def close(self) -> None:
        """Let go of the connection that nobody needed. One that is on its way is left to the end of the process."""
        if self._lock.acquire(blocking=False):
            self._drop()
            self._lock.release()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 # httpcore's face, as are the next ones
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> Stream:
        """A connection: that which is ready or on its way, else a new one."""
        # As one that is on its way may take as long.
        timeout = deadline.capped(timeout)
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            deadline.check()
            raise self.errors.ConnectTimeout
        try:
            with _failures_of_connect(self.errors):
                ready, failure = self._ready, self._failure
                self._ready = self._failure = None
                if ready is not None:
                    if is_open(ready, may_speak=time.monotonic() - self.opened < _FRESH):
                        return Stream(ready, self.errors, self.heard)
                    ready.close()
                elif failure is not None and time.monotonic() - failure[0] < _STALE_FAILURE:
                    raise failure[1]
                return Stream(connect(host, port, deadline.capped(timeout)), self.errors, self.heard)
        finally:
            self._lock.release()

    def sleep(self, seconds: float) -> None:
        """Wait between two attempts of the HTTP library, of which it makes none here."""
        time.sleep(seconds)


class KeptConnections:
    """An HTTP transport whose connections outlive a request. `http` and `core` are the library's two halves."""

    def __init__(self, http: Any, core: Any, connector: Connector) -> None:
        self._http = http
        self._connector = connector
        connector.errors = core
        context = connector.context()
        self._transport = http.HTTPTransport(verify=context)
        # The transport has no parameter for it.
        self._transport._pool = self._pool = core.ConnectionPool(  # noqa: SLF001
            ssl_context=context or None, keepalive_expiry=KEPT_FOR, network_backend=connector
        )

    @property
    def is_warm(self) -> bool:
        """Whether a request would find a connection; one that still reads the end of an answer will be free by then."""
        self._drop_talkative()
        kept = (one for one in self._pool.connections if not one.is_closed())
        return any(not one.is_idle() or not one.has_expired() for one in kept) or self._connector.has_one

    def _drop_talkative(self) -> None:
        """Close the connections on which more has come than the answer: it would be taken for the next one."""
        for one in self._pool.connections:
            # The library keeps it, and tells nobody.
            state = getattr(getattr(one, "_connection", None), "_h11_state", None)
            if one.is_idle() and state is not None and state.trailing_data[0]:
                one.close()

    @property
    def _has_idle(self) -> bool:
        return any(one.is_idle() and not one.has_expired() for one in self._pool.connections)

    def _idle_since(self, now: float) -> float:
        """Since when the connection that a request would take has not been used."""
        if not self._has_idle:
            return self._connector.ready_since(now)
        # The library knows when it will give each one up, and tells nobody.
        ends = [
            getattr(getattr(one, "_connection", None), "_expire_at", None) for one in self._pool.connections if one.is_idle()
        ]
        return min((end - KEPT_FOR for end in ends if end is not None), default=now)

    def handle_request(self, request: Any) -> Any:
        """Send a request; the response once its headers are there."""
        self._drop_talkative()
        now, heard = time.monotonic(), self._connector.heard.bytes
        was_idle = now - self._idle_since(now) > _FRESH
        try:
            return self._transport.handle_request(request)
        except (self._http.RemoteProtocolError, self._http.ReadError, self._http.WriteError) as failure:
            # The server closed it at the same moment. An answer that had begun would have raised something else, later.
            is_hang_up = not isinstance(failure, self._http.RemoteProtocolError) or "without sending" in str(failure)
            if not was_idle or not is_hang_up or self._connector.heard.bytes != heard:
                raise
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Close all connections."""
        self._connector.close()
        self._transport.close()
