"""Every turn in one SQLite file, from the moment that it is sent.

Strategy: the streaming loop hands its events to a `Recorder`, which only appends them to a list. A writer thread saves
what has come every half second, so a killed process loses less than one second, and a stall loses nothing. The text so
far goes into rows of `pieces`, because a growing row rewritten twice a second costs the square of the answer's length;
at the end the pieces give way to the whole turn, in one transaction.

Rule: the answer is worth more than its record. Whatever fails in writing is told once, and then nothing more is saved; but
a file that is damaged gives way to a new one (damage.py), and saving goes on.
"""

from streaming_chat.core.record import StoredTurn, TurnSummary, kept_endpoint
from streaming_chat.core.turn import StoredError
from streaming_chat.history.rows import MARKS, FoundTurn
from streaming_chat.history.selection import OUTCOMES, Selection
from streaming_chat.history.store import History, Recorder

__all__ = [
    "MARKS",
    "OUTCOMES",
    "FoundTurn",
    "History",
    "Recorder",
    "Selection",
    "StoredError",
    "StoredTurn",
    "TurnSummary",
    "kept_endpoint",
]
