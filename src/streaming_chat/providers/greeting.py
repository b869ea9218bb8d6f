"""What a server says before it is asked anything: the sign that it does not speak HTTP.

SSH, mail and database servers greet whoever connects, and hang up on a request. The HTTP library then tells of a connection
that was closed, whatever stood in front. So the question is put to the server itself, with nothing sent: once, because what
did not greet the first time is a server of the right kind in trouble, and its next attempts are not to wait for this.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

#: Seconds in which a server on its own initiative greets.
_PATIENCE: Final = 0.5
_LONGEST: Final = 200


@lru_cache(maxsize=1)
def greeting_of(base_url: str) -> str | None:
    """The first line that the server at an `http://` address says by itself; None when it says nothing, or is not there."""
    parts = urlsplit(base_url)
    if parts.scheme != "http" or not parts.hostname:
        return None
    try:
        with socket.create_connection((parts.hostname, parts.port or 80), timeout=_PATIENCE) as connection:
            said = connection.recv(_LONGEST)
    except (OSError, ValueError):
        return None
    line = said.decode(errors="replace").strip().partition("\n")[0].strip()
    # What answers in HTTP, unasked (408), is a server of the right kind in trouble.
    return None if line.startswith("HTTP/") else line or None
