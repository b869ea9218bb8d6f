"""Words in turns: the full-text index, and the turns whose text is not in it.

The index has the text of turns that have ended. That of one which runs, or whose process was killed, lies in `pieces`. These
turns are few: when words are asked for, they are put into an index of the connection's own, in memory. So the same words
find them in the same way, and nobody needs to know whether there is still a process that will end the turn.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from streaming_chat.history.open_file import transaction
from streaming_chat.history.rows import SELECT_FOUND, SELECT_NUMBERS, SELECT_NUMBERS_FOUND
from streaming_chat.history.schema import TOKENIZER
from streaming_chat.history.selection import PIECES_OF_TURN, Selection

_CREATE: Final = f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.unended USING fts5 (prompt, text, tokenize = '{TOKENIZER}')"
_EMPTY: Final = "DELETE FROM temp.unended"
_NOT_UNENDED: Final = "turns.id NOT IN (SELECT rowid FROM temp.unended)"
_FILL: Final = f"""
    INSERT INTO temp.unended (rowid, prompt, text) SELECT id, prompt, {PIECES_OF_TURN}
    FROM turns WHERE id IN (SELECT turn_id FROM pieces)
"""  # noqa: S608 # a constant


def found_rows(connection: sqlite3.Connection, selection: Selection, limit: int) -> list[sqlite3.Row]:
    """What `SELECT_FOUND` gives of the last `limit` turns (-1: of all) that hold the words of `selection`, newest first."""
    query = selection.index_query
    rows: list[sqlite3.Row] = []
    for index, where, values in _indexes(connection, selection):
        rows += connection.execute(SELECT_FOUND.format(index=index, where=where), [query, *values, limit])
    rows.sort(key=lambda row: -row["id"])
    return rows if limit < 0 else rows[:limit]


def numbers(connection: sqlite3.Connection, selection: Selection) -> list[int]:
    """The numbers of the turns in `selection`, the lowest first."""
    query = selection.index_query
    if query is None:
        where, values = selection.where()
        return [row["id"] for row in connection.execute(SELECT_NUMBERS.format(where), values)]
    found: list[int] = []
    for index, where, values in _indexes(connection, selection):
        rows = connection.execute(SELECT_NUMBERS_FOUND.format(index=index, where=where), [query, *values])
        found += [row["id"] for row in rows]
    return sorted(found)


def mend_index(connection: sqlite3.Connection) -> bool:
    """Make the full-text index anew if nothing but that can be damaged; whether it was done.

    The turns hold all that the index is made of. sqlite3.Error when it fails.
    """
    # SQLite looks into the index itself from 3.44 on; before that, what it finds sound must be the index.
    problems = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    if not all(problem == "ok" or "FTS5 table" in problem for problem in problems):
        return False
    with transaction(connection, "BEGIN IMMEDIATE"):
        # The averages and the structure of an empty index, as FTS5 begins one (fts5_index.c, sqlite3Fts5IndexReinit): one
        # whose structure cannot be read is not opened, not even to be made anew.
        connection.execute("REPLACE INTO words_data (id, block) VALUES (1, x''), (10, zeroblob(7))")
        connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
    return True


def _indexes(connection: sqlite3.Connection, selection: Selection) -> Iterator[tuple[str, str, list[object]]]:
    """Each index to ask, with the conditions on its turns and their values."""
    where, values = selection.where()
    if not connection.execute("SELECT EXISTS (SELECT 1 FROM pieces)").fetchone()[0]:
        yield "words", where, values
        return
    for statement in (_CREATE, _EMPTY, _FILL):
        connection.execute(statement)
    yield "words", f"{where} AND {_NOT_UNENDED}", values
    yield "unended", where, values
