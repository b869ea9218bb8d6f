"""Brings the excerpts in README.md and docs/ up to date: `python docs/regenerate.py`.

An excerpt stands between `<!-- generated: NAME -->` and `<!-- end -->`. What it says comes from the program itself: from
running it, or from its own tables. With `--check` nothing is written, and the status is 1 when a page is stale;
tests/test_docs.py does the same.

Rule: an excerpt is the same on every machine and every Python, so help is laid out here, as Python 3.13 does it in 100
columns. Only the layout is normalised: every word of it comes from the program.
"""

from __future__ import annotations

import ast
import dataclasses
import os
import pty
import re
import runpy
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from streaming_chat.chat.commands import COMMANDS
from streaming_chat.cli.man_page import man_page
from streaming_chat.cli.specification import Argument, every, specifications
from streaming_chat.config.options import GROUPS, OPTIONS, Settings
from streaming_chat.core import errors
from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.events import Outcome
from streaming_chat.core.exit_status import MEANINGS
from streaming_chat.core.prices import NO_PRICES
from streaming_chat.core.timing import Timing
from streaming_chat.core.turn import Turn
from streaming_chat.renderers.ndjson import NAMES, end_line

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "streaming_chat"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
#: The man page, as the wheel installs it.
MAN_PAGE = ROOT / "data" / "share" / "man" / "man1" / "streaming-chat.1"
#: The picture of the rooms.
STRUCTURE = ROOT / "docs" / "structure.svg"

#: The width of the help, columns.
WIDTH = 100
#: The column in which argparse begins an option's help, at most.
_LATEST_COLUMN = 24
#: Wide enough that argparse breaks no line: `_laid_out` does that.
_WITHOUT_BREAKS = "1000"

#: A line of help without an argument before it.
_ALONE = re.compile(r" {10,}\S")

_EXCERPT = re.compile(r"(?<=<!-- generated: )(?P<name>[a-z-]+)(?P<marker> -->\n).*?(?=<!-- end -->)", re.DOTALL)


def regenerated(page: str) -> str:
    """`page` with the excerpts as they should be. KeyError for an excerpt that nothing makes."""
    return _EXCERPT.sub(lambda found: f"{found['name']}{found['marker']}\n{EXCERPTS[found['name']]()}\n\n", page)


def main(arguments: list[str]) -> int:
    """Rewrite what is stale, or with `--check` name it."""
    current = {page: regenerated(page.read_text(encoding="utf-8")) for page in PAGES}
    current |= {MAN_PAGE: man_page(), STRUCTURE: picture()}
    stale = [path for path, text in current.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
        if "--check" not in arguments:
            path.write_text(current[path], encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


# What the program prints


def help_text(*command: str, columns: str = _WITHOUT_BREAKS) -> str:
    """What `streaming-chat COMMAND --help` prints."""
    return _run([*command, "--help"], columns=columns).stdout


def _main_help() -> str:
    return _block(_run(["--help"]).stdout)


def _history_help() -> str:
    actions = ((), *((name,) for name in ("list", "search", "show", "replay", "export", "import", "stats", "delete")))
    return _block("\n".join(laid_out(help_text("history", *action)) for action in actions))


def _chat_commands() -> str:
    """What `/help` shows. The chat needs a terminal to type into; what it says of itself goes to stderr, here a pipe."""
    inner, outer = pty.openpty()
    try:
        os.write(inner, b"/help\n/exit\n")
        # Nothing is asked, so nobody needs to listen at this address.
        done = _run(["--quiet", "--no-history", "--base-url", "http://127.0.0.1:9/v1"], stdin=outer)
    finally:
        os.close(inner)
        os.close(outer)
    return _block("\n".join(line.removeprefix("You: ") for line in done.stderr.splitlines() if "  /" in line))


def _run(
    arguments: list[str], *, columns: str = str(WIDTH), stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "HOME": home,
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONIOENCODING": "utf-8",
            "COLUMNS": columns,
            "TERM": "dumb",
        }
        return subprocess.run(
            [sys.executable, "-m", "streaming_chat", *arguments],
            stdin=stdin,
            capture_output=True,
            encoding="utf-8",
            env=environment,
            cwd=home,
            timeout=60,
            check=True,
        )


def laid_out(text: str) -> str:
    """Help that was printed without line breaks, as Python 3.13 lays it out in `WIDTH` columns.

    Python 3.12 and earlier repeat the value's name (`-m NAME, --model NAME`), which moves the column of all the help.
    """
    entries = list(_entries(text.splitlines()))
    column = min(_LATEST_COLUMN, 2 + max(len(entry.invocation) for entry in entries if isinstance(entry, _Argument)))
    lines: list[str] = []
    for entry in entries:
        if isinstance(entry, str):
            lines.append(entry)
            continue
        help_ = textwrap.wrap(entry.help, WIDTH - 2 - column)
        beside = help_.pop(0) if help_ and len(entry.invocation) <= column - 2 else ""
        lines.append(f"{entry.invocation:<{column}}{beside}".rstrip())
        lines += [" " * column + line for line in help_]
    return "\n".join(lines) + "\n"


class _Argument(NamedTuple):
    """One argument as argparse lists it; `invocation` with its indentation."""

    invocation: str
    help: str


def _entries(lines: list[str]) -> Iterator[str | _Argument]:
    """The arguments that `lines` describe, and the lines that describe none."""
    in_list = False
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith("  "):
            # A list of arguments has a heading, and ends with a blank line.
            in_list = line in ("positional arguments:", "options:")
        if not in_list or not line.startswith("  "):
            yield line
        elif not _ALONE.match(line):
            invocation, _, help_ = line.strip().partition("  ")
            indentation = line[: len(line) - len(line.lstrip())]
            # An invocation that is too long has its help below it.
            beside = help_ or (after if _ALONE.match(after) else "")
            yield _Argument(indentation + _as_from_3_13(invocation), beside.strip())


def _as_from_3_13(invocation: str) -> str:
    """`-m NAME, --model NAME` → `-m, --model NAME`."""
    *others, last = invocation.split(", ")
    value = last.partition(" ")[2]
    return ", ".join([*(one.removesuffix(f" {value}") for one in others), last])


# What the program's tables say


def _options() -> str:
    """Every option, a table a group."""
    parts = []
    for group, title in GROUPS.items():
        rows = []
        for name, option in OPTIONS.items():
            if option.group != group:
                continue
            flags = ", ".join(f"`{flag}{' ' + option.metavar if option.metavar else ''}`" for flag in option.flags)
            environment = f"`{option.environment}`" if option.environment else "–"
            key = f"`{name}`" if option.in_config_file else "–"
            rows.append(tuple(map(_cell, (flags or "–", environment, key, _built_in(name), option.help))))
        parts.append(f"### {title}\n\n{_table(('Flag', 'Environment', 'config.toml', 'Built-in', 'Meaning'), rows)}")
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    """`text` in a cell of a table: a pipe in it would end the cell, in code too."""
    return text.replace("|", "\\|")


def _commands() -> str:
    """Every sub-command and action, with its own arguments."""
    parts = []
    for one in every(specifications()):
        rows = [_argument_row(argument) for argument in one.arguments if "-h" not in argument.flags]
        table = f"\n\n{_table(('Argument', 'Meaning'), rows)}" if rows else ""
        parts.append(f"### `{one.usage}`\n\n{one.help[:1].upper()}{one.help[1:]}.{table}")
    return "\n\n".join(parts)


def _argument_row(argument: Argument) -> tuple[str, str]:
    return _cell(f"`{argument.invocation}`"), _cell(argument.help)


def _events() -> str:
    """The lines of `--json`, from the renderer's own table."""
    rows = []
    for event, name in NAMES.items():
        fields = ", ".join(f"`{one.name}`" for one in dataclasses.fields(event))  # type: ignore[arg-type]
        rows.append((f"`{name}`", fields, _cell(" ".join((event.__doc__ or "").split("\n\n")[0].split()))))
    turn = Turn(ChatRequest("", ()), "", "", Outcome.COMPLETE, None, None, Timing(0.0))
    end = ", ".join(f"`{name}`" for name in list(end_line(turn, None))[1:])
    return _table(("Event", "Fields", "Meaning"), [*rows, ("`end`", end, "The turn is over: always the last line.")])


def _exit_statuses() -> str:
    return _table(("Status", "Meaning"), [(str(status), meaning) for status, meaning in MEANINGS.items()])


def _chat_command_table() -> str:
    rows = [
        (f"`{' '.join(part for part in (one.name, _cell(one.arguments)) if part)}`", _cell(one.help))
        for one in COMMANDS.values()
    ]
    return _table(("Command", "Meaning"), rows)


def _settings() -> str:
    rows = []
    for name, option in OPTIONS.items():
        flags = ", ".join(f"`{flag}{' ' + option.metavar if option.metavar else ''}`" for flag in option.flags)
        environment = f"`{option.environment}`" if option.environment else "–"
        rows.append((f"`{name}`", flags or "–", environment, _built_in(name), option.help.replace("|", "\\|")))
    return _table(("Setting", "Flag", "Environment", "Built-in", "Meaning"), rows)


def _built_in(name: str) -> str:
    value = getattr(Settings(), name)
    if value in (None, {}, NO_PRICES):
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _errors() -> str:
    """The tree in the docstring of core/errors.py."""
    tree = (errors.__doc__ or "").split("\n\n")[1]
    return _block(tree)


def _modules() -> str:
    """Every module with the first line of its docstring, by room, the uppermost first."""
    rooms: tuple[str, ...] = _layers_test()["ROOMS"]
    rows = []
    for rank, room in reversed(list(enumerate(rooms, 1))):
        folder = SOURCE / room
        for path in sorted(folder.rglob("*.py")) if folder.is_dir() else [SOURCE / f"{room}.py"]:
            name = path.relative_to(SOURCE).as_posix().removesuffix("__init__.py")
            rows.append((str(rank), f"[`{name}`](../src/streaming_chat/{name})", _first_sentence(path)))
    return _table(("Layer", "Module", "What it is"), rows)


#: The counts of the state that docs/structure-before.svg shows (634c0f4, 2026-11-30), measured by docs/structure.py.
_BEFORE = ("before", "40", "132", "154", "0", "0")


def picture() -> str:
    """What docs/structure.py draws of the source."""
    script = runpy.run_path(str(ROOT / "docs" / "structure.py"))
    drawn: str = script["drawn"](script["measured"](SOURCE))
    return drawn


def _structure() -> str:
    """The counts of docs/structure.py, before the rooms and now."""
    script = runpy.run_path(str(ROOT / "docs" / "structure.py"))
    counts = script["counts"](script["measured"](SOURCE))
    head = ("", "Rooms", "Modules", "Arrows between rooms", "Upward", "Import cycles")
    return _table(head, [_BEFORE, ("now", *map(str, counts))])


def _importers() -> str:
    """The libraries with one importer, and when they are imported."""
    test = _layers_test()
    rows = (
        (f"`{library}`", f"`{place}`", "when it is needed" if library in test["INSIDE_A_FUNCTION"] else "with its importer")
        for library, place in test["ONE_IMPORTER"].items()
    )
    return _table(("Library", "Importer", "Imported"), rows)


def _layers_test() -> dict[str, Any]:
    """The rules for imports, from where they are checked."""
    return runpy.run_path(str(ROOT / "tests" / "test_layers.py"))


def _first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=\.) ", paragraph)[0].replace("|", "\\|")


def _wire() -> str:
    """What servers send and what becomes of it, from the cases that tests/wire/test_wire.py plays."""
    tests = str(ROOT / "tests" / "support")
    if tests not in sys.path:
        sys.path.append(tests)
    from wire_cases import CASES

    groups: dict[str, list[tuple[str, ...]]] = {}
    for case in CASES:
        does = f"{case.does} Status {case.status}." if case.status else case.does
        sent = f"`{case.excerpt}`".replace("|", "\\|")
        groups.setdefault(case.group, []).append((sent, _linked(case.source), does, f"`{case.name}`"))
    head = ("What is sent", "Who sends it", "What this program does", "Test")
    return "\n\n".join(f"### {group}\n\n{_table(head, rows)}" for group, rows in groups.items())


def _linked(source: str) -> str:
    """`owner/name#7` and `title <https://…>` as links; before them may stand whose bytes they are, and a colon."""
    source = re.sub(r"([\w.-]+/[\w.-]+)#(\d+)", r"[\g<0>](https://github.com/\1/issues/\2)", source)
    return re.sub(r"(^|: )([^:]+) <(https://.+)>", r"\1[\2](\3)", source)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def _block(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    return f"```text\n{lines}\n```"


#: Excerpt → what makes it.
EXCERPTS: Mapping[str, Callable[[], str]] = {
    "help": _main_help,
    "history-help": _history_help,
    "chat-commands": _chat_commands,
    "settings": _settings,
    "options": _options,
    "commands": _commands,
    "chat-command-table": _chat_command_table,
    "events": _events,
    "exit-statuses": _exit_statuses,
    "errors": _errors,
    "modules": _modules,
    "structure": _structure,
    "importers": _importers,
    "wire": _wire,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
