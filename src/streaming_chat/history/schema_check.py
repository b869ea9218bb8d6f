"""Whether the schema of a file is the one that this program makes, so that nothing in it runs or grows when a turn is read.

A view in the place of a table, a trigger, a generated column, a CHECK, an index on an expression: each is code of whoever
made the file, and SQLite runs it. So rule: what has the name of ours is ours, word for word, and whatever else there is
must be a plain table, which no statement of ours touches. Nothing is read here but the schema itself.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from typing import Final

_CREATE: Final = re.compile(r"\s*CREATE (TABLE|VIRTUAL TABLE|TRIGGER) (\w+)")
_ADD_COLUMN: Final = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (.+)")
#: The tables that FTS5 makes for itself have columns and keys. Their statements differ between versions of SQLite, so they
#: are checked for having nothing else: no expression, no constraint.
_PLAIN_TABLE: Final = re.compile(
    r"CREATE TABLE '\w+'\((?:(?!\b(?:AS|CHECK|DEFAULT|REFERENCES)\b)[\w ,()])*\)(?: WITHOUT ROWID)?", re.I
)
_PARTS_OF_INDEX: Final = ("data", "idx", "docsize", "config")
#: SQLite's own: AUTOINCREMENT's, and what ANALYZE makes.
_OF_SQLITE: Final = ("sqlite_sequence", "sqlite_stat1", "sqlite_stat4")

_SELECT_ANY: Final = "SELECT 1 FROM {} LIMIT 1"


def difference(connection: sqlite3.Connection, statements: Iterable[str]) -> str | None:
    """What the schema has that `statements`, this program's own, do not make, or lacks; None when it is ours."""
    ours = _made_by(statements)
    missing = set(ours)
    for kind, name, is_stored, sql in _schema(connection):
        if name in ours:
            if (kind, _on_one_line(sql)) != ours[name]:
                return f"its {kind} {name} is not the one that this program makes"
            missing.discard(name)
        elif not _is_harmless(kind, name, is_stored, sql, ours):
            return f"it has the {kind} {name}"
    return f"it has no {ours[min(missing)][0]} {min(missing)}" if missing else None


def has_turns(connection: sqlite3.Connection) -> bool:
    """Whether there is anything of the name under which every version of this program keeps turns."""
    return any(name == "turns" for _, name, _, _ in _schema(connection))


def is_new(connection: sqlite3.Connection) -> bool:
    """Whether nothing has been kept in the file: it has no tables, or empty ones."""
    return all(
        _is_key(kind, name, sql)
        or (kind == "table" and is_stored and connection.execute(_SELECT_ANY.format(_quoted(name))).fetchone() is None)
        for kind, name, is_stored, sql in _schema(connection)
    )


def _schema(connection: sqlite3.Connection) -> list[tuple[str, str, bool, str]]:
    """Kind, name, whether it has pages in the file, and statement of all that there is. SQLite takes no note of case."""
    rows = connection.execute("SELECT type, name, rootpage, sql FROM sqlite_master").fetchall()
    return [(str(row[0]), str(row[1]).lower(), bool(row[2]), str(row[3] or "")) for row in rows]


def _made_by(statements: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Name → kind and statement, as SQLite keeps it."""
    made: dict[str, tuple[str, str]] = {}
    for statement in statements:
        if match := _CREATE.match(statement):
            made[match[2]] = ("trigger" if match[1] == "TRIGGER" else "table", _on_one_line(statement))
        elif added := _ADD_COLUMN.match(statement):
            # SQLite writes an added column into the statement of the table, before its last bracket.
            kind, sql = made[added[1]]
            made[added[1]] = kind, _on_one_line(f"{sql.removesuffix(')')}, {added[2]})")
    return made


def _is_harmless(kind: str, name: str, is_stored: bool, sql: str, ours: dict[str, tuple[str, str]]) -> bool:
    if kind != "table" or not is_stored:
        return _is_key(kind, name, sql)
    index, _, part = name.rpartition("_")
    if index in ours and part in _PARTS_OF_INDEX:
        return _PLAIN_TABLE.fullmatch(_on_one_line(sql)) is not None
    return name in _OF_SQLITE or not name.startswith("sqlite_")


def _is_key(kind: str, name: str, sql: str) -> bool:
    """Whether it is the index of a key, which is on columns, not on expressions."""
    return kind == "index" and name.startswith("sqlite_autoindex_") and not sql


def _on_one_line(sql: str) -> str:
    return " ".join(sql.split()).replace(" ,", ",").replace(" )", ")")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
