"""What the program tells the shell: every exit status, and which outcome of an answer has which.

Numbers are a contract (README, "Exit status"). An error brings its own (`ChatError.exit_status`, in core/errors.py); an
answer that ended without an error has the one of its outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from streaming_chat.core.events import Outcome


class ExitStatus(IntEnum):
    """The exit statuses of the program."""

    COMPLETE = 0
    UNEXPECTED = 1
    USAGE = 2
    CREDENTIALS = 3
    RATE_LIMIT = 4
    SERVER = 5
    TIMEOUT = 6
    INCOMPLETE = 7
    REJECTED = 8
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141


#: How an answer ended → exit status.
STATUS_OF_OUTCOME: Final[Mapping[Outcome, ExitStatus]] = {
    Outcome.COMPLETE: ExitStatus.COMPLETE,
    Outcome.LENGTH: ExitStatus.INCOMPLETE,
    Outcome.FILTERED: ExitStatus.INCOMPLETE,
    Outcome.REFUSED: ExitStatus.INCOMPLETE,
    Outcome.TOOL_CALLS: ExitStatus.INCOMPLETE,
    Outcome.EMPTY: ExitStatus.INCOMPLETE,
    Outcome.TRUNCATED: ExitStatus.INCOMPLETE,
    Outcome.INTERRUPTED: ExitStatus.INTERRUPTED,
    Outcome.ERROR: ExitStatus.INCOMPLETE,
}

#: What each status says, for help and documents.
MEANINGS: Final[Mapping[int, str]] = {
    0: "the complete answer",
    1: "unexpected",
    2: "usage or settings",
    3: "no or bad credentials",
    4: "rate limit or quota",
    5: "connection or server failure",
    6: "timeout or stall",
    7: "incomplete answer",
    8: "the server rejected the request",
    130: "interrupted",
    141: "output closed",
}
