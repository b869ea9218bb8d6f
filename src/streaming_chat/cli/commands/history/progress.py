"""How far a long job has got: a line after a second, and one a second from then on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

#: Seconds between two lines.
_INTERVAL: Final = 1.0


class Progress:
    """What takes no longer than a second says nothing. `tell` takes a line; `now` is a clock in seconds."""

    def __init__(self, tell: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._now = now
        self._last = now()

    def __call__(self, doing: str, done: int, total: int) -> None:
        """So many of `total` turns are `done`."""
        now = self._now()
        if now - self._last >= _INTERVAL:
            self._last = now
            self._tell(f"{doing}: {done} of {total} turns")
