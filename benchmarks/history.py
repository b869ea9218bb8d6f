"""What a history costs after a week's use: 10,000 turns of 10 KB are listed, searched, added up and exported.

    python benchmarks/history.py [TURNS]

The times are of whole commands, from start to end: the median and the longest of nine runs. The first row is what starting
takes (`--version`); the goals are for a hundred megabytes: 100 ms for a list and 200 ms for a search.
"""

from __future__ import annotations

import os
import platform
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.record import begun
from streaming_chat.history.open_file import open_file, transaction
from streaming_chat.history.rows import INSERT_CONVERSATION, INSERT_TURN, row_of

RUNS = 9
_VOCABULARY = [f"word{number}" for number in range(20_000)]


def main() -> None:
    """Make the file, and print the table."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "streaming-chat" / "history.db"
        fill(path, turns)
        versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
        print(f"{platform.machine()}, {versions}, {time.strftime('%Y-%m-%d')}")
        print(f"{turns:,} turns, {path.stat().st_size / 1e6:.0f} MB\n\n| command | median | longest |\n|---|---:|---:|")
        environment = {
            **os.environ,
            "XDG_STATE_HOME": folder,
            "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "src"),
        }
        for arguments in (
            ["--version"],
            ["history", "list"],
            ["history", "list", "--model", "model-3", "--since", "30d"],
            ["history", "search", "word777"],
            ["history", "search", '"word1 word2"'],
            ["history", "search", "the"],
            ["history", "search", "the", "--model", "none"],
            ["history", "stats"],
            ["history", "export", "7"],
        ):
            times = [timed(arguments, environment) for _ in range(RUNS)]
            print(
                f"| {' '.join(arguments)} | {statistics.median(times) * 1000:.0f} ms | {max(times) * 1000:.0f} ms |",
                flush=True,
            )


def fill(path: Path, turns: int) -> None:
    """Write `turns` answers of some 10 KB."""
    chance = random.Random(1)  # noqa: S311 # no secret
    with closing(open_file(path, create=True)) as connection, transaction(connection, "BEGIN"):
        for number in range(turns):
            text = " ".join(["the", *chance.choices(_VOCABULARY, k=1_100)])
            request = ChatRequest(f"model-{number % 5}", (Message("user", f"Question {number}?"),))
            turn = begun(
                request,
                number=0,
                session=f"session-{number // 10}",
                conversation="",
                parent=number if number % 10 else None,
                started_at=datetime.now(timezone.utc),
                endpoint="http://localhost:8080/v1",
            )
            row = row_of(turn)
            connection.execute(INSERT_CONVERSATION, row)
            key = connection.execute(INSERT_TURN, row).lastrowid
            ended = "UPDATE turns SET text = ?, outcome = 'complete', total = 1.5, attempts = 1 WHERE id = ?"
            connection.execute(ended, (text, key))


def timed(arguments: list[str], environment: dict[str, str]) -> float:
    """Seconds for one command."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "streaming_chat", *arguments]
    # That nothing was found is said on standard error.
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
