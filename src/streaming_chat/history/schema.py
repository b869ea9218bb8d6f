"""The schema of the file, and how an older one is brought up to date.

Schema (version 3; `MIGRATIONS` brings every earlier version up to date, a later one is refused):

turns   id                          the number that users see; never given twice
        session                     turns of one start of the program share it
        started_at                  UTC, `2025-12-10T17:34:32.123Z`: sorts as text
        endpoint                    base URL, without user, password, query
        model, served_model         as requested; as the server names it
        request_id                  the server's
        outcome                     an `Outcome`; NULL while the turn runs, and for ever when the process was killed
        finish_reason               the server's
        prompt_tokens … reasoning_tokens    as the server counted; NULL where it did not say
        headers … total, gap_*      seconds, see core/timing.py; tokens_per_second; attempts
        error                       JSON object: type, message, hint, status_code, code
        settings                    JSON object of what the user set: temperature, top_p, max_tokens, extra; never a key
        prompt                      the user's last words
        text, reasoning, refusal    as they came
        tool_calls                  JSON list of {name, arguments}
        messages                    JSON list of {role, content}: all that was sent
        arrivals                    core/arrivals.py
        conversation                `id` of a conversation; NULL in turns of earlier versions: the session is one
        parent                      id of the turn before it in the conversation: the last one with a complete answer, or one
                                    that the user kept. NULL for the first one; the turn may have been deleted since
conversations
        number                      the number that users see; never given twice
        id                          the name of the session that began it, or a random one: the same in every file
        name                        what the user calls it, NULL for none; two may have the same name
        created_at                  as `started_at`: that of its first turn
pieces  turn_id, seq                what one periodic save adds to a turn without outcome
        text, reasoning, refusal, arrivals
        tool_calls                  JSON list of [index, name, arguments], a piece each
words   prompt, text                full-text index (FTS5) of ended turns; its texts are those of `turns`

Small columns stand before the long ones: SQLite reads a row from its left end, so figures never touch the answers. A
column of a later version is the exception: to put it before them, every row would have to be written again.

A turn has its place in a conversation whether or not the turns before it were sent as context: `messages` has what was sent.
So a tree of turns can be drawn, a conversation can be continued from any of them, and a chat can become stateful later.

Text is stored as it came; only lone surrogates, which UTF-8 cannot express, become U+FFFD, one for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streaming_chat.core.record import COLUMNS

#: version → the statements that lead to it from the version before, except for columns of turns that it adds. Append only:
#: files of every version are out there.
_STATEMENTS: Final[Mapping[int, tuple[str, ...]]] = {
    1: (
        """
        CREATE TABLE turns (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            session TEXT NOT NULL,
            started_at TEXT NOT NULL,
            endpoint TEXT NOT NULL,
            model TEXT NOT NULL,
            served_model TEXT,
            request_id TEXT,
            outcome TEXT,
            finish_reason TEXT,
            prompt_tokens INTEGER,
            completion_tokens INTEGER,
            cached_tokens INTEGER,
            reasoning_tokens INTEGER,
            headers REAL,
            first_token REAL,
            first_reasoning REAL,
            total REAL,
            gap_p50 REAL,
            gap_p95 REAL,
            gap_max REAL,
            tokens_per_second REAL,
            attempts INTEGER,
            error TEXT,
            settings TEXT NOT NULL,
            prompt TEXT NOT NULL,
            text TEXT NOT NULL DEFAULT '',
            reasoning TEXT NOT NULL DEFAULT '',
            refusal TEXT NOT NULL DEFAULT '',
            tool_calls TEXT NOT NULL DEFAULT '[]',
            messages TEXT NOT NULL,
            arrivals BLOB NOT NULL DEFAULT x''
        )
        """,
        """
        CREATE TABLE pieces (
            turn_id INTEGER NOT NULL REFERENCES turns (id),
            seq INTEGER NOT NULL,
            text TEXT NOT NULL,
            reasoning TEXT NOT NULL,
            refusal TEXT NOT NULL,
            tool_calls TEXT NOT NULL,
            arrivals BLOB NOT NULL,
            PRIMARY KEY (turn_id, seq)
        )
        """,
    ),
    2: (
        """
        CREATE VIRTUAL TABLE words USING fts5 (
            prompt, text, content = 'turns', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
        )
        """,
        """
        CREATE TRIGGER turn_begun AFTER INSERT ON turns BEGIN
            INSERT INTO words (rowid, prompt, text) VALUES (new.id, new.prompt, new.text);
        END
        """,
        """
        CREATE TRIGGER turn_changed AFTER UPDATE OF prompt, text ON turns BEGIN
            INSERT INTO words (words, rowid, prompt, text) VALUES ('delete', old.id, old.prompt, old.text);
            INSERT INTO words (rowid, prompt, text) VALUES (new.id, new.prompt, new.text);
        END
        """,
        """
        CREATE TRIGGER turn_deleted AFTER DELETE ON turns BEGIN
            INSERT INTO words (words, rowid, prompt, text) VALUES ('delete', old.id, old.prompt, old.text);
        END
        """,
        "INSERT INTO words (words) VALUES ('rebuild')",
    ),
    3: (
        """
        CREATE TABLE conversations (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            name TEXT,
            created_at TEXT NOT NULL
        )
        """,
        # What was kept of a session so far is one conversation.
        """
        INSERT INTO conversations (id, created_at)
        SELECT session, min(started_at) FROM turns GROUP BY session ORDER BY min(id)
        """,
    ),
}


def _added(version: int) -> list[str]:
    """The statements for the columns of a turn that `version` brought."""
    added = (column for column in COLUMNS if 1 < column.since == version)
    return [f"ALTER TABLE turns ADD COLUMN {column.name} {column.kind.sql}" for column in added]


VERSION: Final = max(*_STATEMENTS, *(column.since for column in COLUMNS))
#: version → all statements that lead to it from the version before.
MIGRATIONS: Final[Mapping[int, tuple[str, ...]]] = {
    version: (*_added(version), *_STATEMENTS.get(version, ())) for version in range(1, VERSION + 1)
}
#: How the index of this version takes texts apart.
TOKENIZER: Final = "unicode61 remove_diacritics 2"
