"""`streaming-chat history`: list, search, show, replay and delete what was kept.

On a terminal every text out of the history is sanitised, because a server wrote it. Into a pipe it goes as it is
stored, except that what belongs on one line is folded to one line.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from streaming_chat.core.errors import ExitStatus, UsageError
from streaming_chat.core.sanitize import sanitize, sanitize_json
from streaming_chat.history import MARKS, FoundTurn, History, Selection, StoredTurn, TurnSummary
from streaming_chat.history_command.arguments import parse, selection_of
from streaming_chat.history_command.listing import found_lines, table
from streaming_chat.history_command.page import page
from streaming_chat.notices import counted


class Writable(Protocol):
    """Where the text goes."""

    def write(self, text: str, /) -> object:
        """Write `text`."""


def history_command(
    arguments: list[str],
    *,
    path: Path,
    out: Writable,
    terminal: bool,
    color: bool = False,
    play: Callable[[StoredTurn, argparse.Namespace], int] | None = None,
    notice: Callable[[str], None] = lambda _: None,
) -> int:
    """Carry out `history` with these `arguments` on the file at `path`, write to `out`, return the exit status.

    `terminal` says whether `out` is one, `color` whether it may be sent styles; `play` shows a turn again; `notice` is
    told when the file was damaged. Raises ChatError when the arguments are wrong, when there is no such turn, and when the
    file cannot be read. `--help` leaves by SystemExit(0).
    """
    options = parse(arguments)
    with closing(History(path, notice)) as history:
        command = _Command(history, options, terminal=terminal, color=color)
        if options.action == "replay" and play is not None:
            return play(command.turn(), options)
        lines: list[str] = getattr(command, f"do_{options.action}")()
    out.write("".join(line + "\n" for line in lines))
    return ExitStatus.COMPLETE


class _Command:
    """One call; a method for each action, which returns lines."""

    def __init__(self, history: History, options: argparse.Namespace, *, terminal: bool, color: bool) -> None:
        self._history = history
        self._options = options
        self._terminal = terminal
        self._color = color

    def turn(self) -> StoredTurn:
        """The turn that is meant; UsageError when there is none of its number."""
        turn = self._history.turn(self._options.number)
        if turn is None:
            raise _no_turns([self._options.number])
        return turn

    def require(self, numbers: Sequence[int]) -> None:
        """UsageError that names those of `numbers` that no turn has: a wrong number is a slip, not an empty choice."""
        there = set(self._history.numbers(Selection(numbers=numbers)))
        if missing := sorted(set(numbers) - there):
            raise _no_turns(missing)

    def do_list(self) -> list[str]:
        """The last turns."""
        turns = self._history.turns(self._options.limit, selection_of(self._options))
        return self._shown(turns, "the history is empty" if selection_of(self._options) == Selection() else "no such turns")

    def do_search(self) -> list[str]:
        """Those that hold some words."""
        turns = self._history.turns(self._options.limit, selection_of(self._options))
        return self._shown(turns, "nothing was found")

    def do_show(self) -> list[str]:
        """One turn."""
        turn = self.turn()
        if self._options.json:
            return [self._as_json(turn)]
        return [*page(turn, sanitize if self._terminal else str)]

    def do_delete(self) -> list[str]:
        """Remove turns for good."""
        selection = selection_of(self._options)
        if selection == Selection() and not self._options.all:
            raise UsageError(
                "which turns are to be deleted?", "give their numbers, or say with --since, --model … which; --all for all"
            )
        self.require(self._options.numbers)
        count = len(self._history.numbers(selection))
        if count and not self._options.yes and not _is_confirmed(count):
            return self._told(0)
        return self._told(self._history.delete(selection) if count else 0)

    def do_path(self) -> list[str]:
        """Where it is kept."""
        return [json.dumps({"path": str(self._history.path)}) if self._options.json else str(self._history.path)]

    def _told(self, deleted: int) -> list[str]:
        if self._options.json:
            return [json.dumps({"deleted": deleted})]
        return [f"{counted(deleted, 'turn', 'turns')} deleted"]

    def _shown(self, turns: list[TurnSummary], nothing: str) -> list[str]:
        if not turns:
            # Not an entry of the list, so not where the list goes.
            sys.stderr.write(f"{nothing}\n")
        if self._options.json:
            return [self._as_json(turn) for turn in turns]
        columns = shutil.get_terminal_size().columns if self._terminal else None
        found = [turn for turn in turns if isinstance(turn, FoundTurn)]
        return found_lines(found, columns, color=self._color) if found else table(turns, columns)

    def _as_json(self, turn: TurnSummary) -> str:
        fields = {**asdict(turn), "status": turn.status, "started_at": turn.started_at.isoformat()}
        if isinstance(turn, FoundTurn):
            fields["found"] = turn.found.replace(MARKS[0], "**").replace(MARKS[1], "**")
        line = json.dumps(fields, ensure_ascii=False)
        return sanitize_json(line) if self._terminal else line


def _no_turns(numbers: Sequence[int]) -> UsageError:
    named = ", ".join(map(str, numbers))
    return UsageError(
        f"no {'turn' if len(numbers) == 1 else 'turns'} {named} in the history",
        "`streaming-chat history` lists the turns that there are",
    )


def _is_confirmed(count: int) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"{counted(count, 'turn', 'turns')} would be deleted for good", "--yes deletes them without asking")
    sys.stderr.write(f"Delete {counted(count, 'turn', 'turns')} for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
