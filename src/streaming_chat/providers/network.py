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
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

from streaming_chat.engine import deadline
from streaming_chat.providers.dial import addresses, connect
from streaming_chat.providers.socket_stream import Heard, ProxiedStream, Stream, failures_of_connect, is_open

#: Seconds for which an idle connection is kept: longer than most thoughts, shorter than a network address translation
#: remembers one that says nothing (350 s at the load balancers of AWS, five minutes in many routers).
KEPT_FOR: Final = 240.0
#: A connection that is younger than this many seconds has not been closed for want of a request.
_FRESH: Final = 3.0
#: A failure to connect ahead that is older than this many seconds says nothing any more.
_STALE_FAILURE: Final = 0.4


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
        with failures_of_connect(self._core):
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
        self._is_closed = False
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
            if self._is_closed or (self._ready is not None and is_open(self._ready)):
                return
            self._drop()
            try:
                self._ready = self._open()
                self.opened = time.monotonic()
                if self._is_closed:  # Meanwhile.
                    self._drop()
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
        """Close the connection that nobody needed. One that is on its way is closed when it is there."""
        self._is_closed = True
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
            with failures_of_connect(self.errors):
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
