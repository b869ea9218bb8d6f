"""A host and a port → a connected socket: the look-up of the name, and its addresses tried beside one another."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from typing import Any, Final

#: Seconds after which the next address of a name is tried beside the one before it: RFC 8305, section 5.
_NEXT_ADDRESS: Final = 0.25
#: Milliseconds after which data that nobody has confirmed means that the connection is gone.
_UNHEARD: Final = 15_000


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
