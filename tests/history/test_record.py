"""A field of a turn is one line of the program: SQL, JSON, import and export follow."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

import streaming_chat
from conftest import KEY, World
from server import Server, answer
from streaming_chat.core.events import Usage
from streaming_chat.core.record import COLUMNS
from streaming_chat.core.timing import Timing
from streaming_chat.history import schema

#: The line after which it is added → the line.
ADDED = {
    "core/record.py": (
        '    finish_reason: str | None = field(metadata=_taken("finish_reason"))\n',
        "    size: int | None = field(default=None, kw_only=True, metadata={'since': 4, 'taken': lambda t: len(t.text)})\n",
    ),
    "core/timing.py": (
        "    attempts: int = 1\n\n\n",
        '    slowest: float | None = field(default=2.5, metadata={"since": 4})\n\n\n',
    ),
}


@pytest.mark.parametrize(("file", "name", "value"), [("core/record.py", "size", 5), ("core/timing.py", "slowest", 2.5)])
def test_a_field_that_is_added_is_kept_shown_exported_and_imported(
    world: World, server: Server, tmp_path: Path, file: str, name: str, value: object
) -> None:
    environment = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}
    server.play(answer(["Old"]), answer(["Hel", "lo"]))
    assert world.run("before", env=environment).returncode == 0
    # The program with one line more.
    package = tmp_path / "changed" / "streaming_chat"
    shutil.copytree(Path(streaming_chat.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    source = (package / file).read_text(encoding="utf-8")
    before, line = ADDED[file]
    assert source.count(before) == 1
    changed = source.replace(before, before.rstrip("\n") + "\n" + line)
    if "field" not in source.split("@dataclass")[0]:
        changed = changed.replace("import dataclass\n", "import dataclass, field\n")
    (package / file).write_text(changed, encoding="utf-8")
    environment["PYTHONPATH"] = str(package.parent)
    program = (
        (sys.executable, "-P", "-m", "streaming_chat")
        if sys.version_info >= (3, 11)
        else (sys.executable, "-m", "streaming_chat")
    )

    def run(*arguments: str) -> bytes:
        done = world.run(*arguments, env=environment, program=program)
        assert (done.returncode, done.stderr) == (0, b"") or arguments == ("after",), done.stderr
        return done.stdout

    def found(turn: dict[str, object]) -> object:
        return (turn["timing"] if file == "core/timing.py" else turn)[name]

    run("after")
    path = world.state / "history.db"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(f"SELECT {name} FROM turns ORDER BY id").fetchall() == [(None,), (value,)]
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION + 1,)
    assert found(json.loads(run("history", "show", "2", "--json"))) == value
    assert found(json.loads(run("history", "list", "--json").splitlines()[1])) == value
    run("history", "export", "--all", "-o", "all.json")
    exported = json.loads((world.folder / "all.json").read_text())["turns"]
    path.unlink()
    run("history", "import", "all.json")
    assert json.loads(run("history", "export", "--all", "--json"))["turns"] == exported
    assert found(exported[1]) == value
    # The program of today leaves such a file alone.
    assert world.run("history").returncode == 2


def test_every_figure_has_a_column() -> None:
    names = {column.name for column in COLUMNS}
    assert names >= {one.name for one in fields(Usage)}
    assert names >= {one.name for one in fields(Timing) if one.name != "gaps"} | {"gap_p50", "gap_p95", "gap_max"}


def test_what_json_says_of_a_turn_is_what_the_history_keeps_of_it(world: World, server: Server) -> None:
    server.play(answer(["Hel", "lo"], usage={"prompt_tokens": 2, "completion_tokens": 3}))
    done = world.run("--json", "hi", env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY})
    end = json.loads(done.stdout.splitlines()[-1])
    kept = json.loads(world.run("history", "show", "1", "--json").stdout)
    assert {
        name: kept[name] for name in ("outcome", "finish_reason", "text", "reasoning", "refusal", "tool_calls", "usage")
    } == {name: end[name] for name in ("outcome", "finish_reason", "text", "reasoning", "refusal", "tool_calls", "usage")}
    assert set(kept["timing"]) == set(end["timing"])
