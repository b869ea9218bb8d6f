"""The actions of `streaming-chat history`: list, search, show, replay, export, import, add up and delete what was kept.

On a terminal every text out of the history is sanitised, because a server wrote it. Into a pipe it goes as it is
stored, except that what belongs on one line is folded to one line.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Protocol

from streaming_chat.cli.commands import command
from streaming_chat.cli.commands.history.arguments import selection_of
from streaming_chat.cli.commands.history.lines import one_line
from streaming_chat.cli.commands.history.listing import found_lines, table
from streaming_chat.cli.commands.history.new_file import write_file
from streaming_chat.cli.commands.history.page import page
from streaming_chat.cli.commands.history.progress import Progress
from streaming_chat.cli.context import Context
from streaming_chat.cli.parser import parse_command
from streaming_chat.core.errors import UsageError
from streaming_chat.core.exit_status import ExitStatus
from streaming_chat.core.prices import NO_PRICES, Prices
from streaming_chat.documents import FORMAT_OF_ENDING, FORMATS, written
from streaming_chat.documents.turns_json import as_object
from streaming_chat.history import MARKS, FoundTurn, History, Selection, StoredTurn, TurnSummary
from streaming_chat.terminal.notices import Notices
from streaming_chat.terminal.output import Output
from streaming_chat.terminal.standard_input import StandardInput
from streaming_chat.text.figures import counted
from streaming_chat.text.sanitize import sanitize, sanitize_json


class Writable(Protocol):
    """Where the text goes."""

    def write(self, text: str, /) -> object:
        """Write `text`."""


def run(context: Context) -> int:
    """Carry out the action on the user's history."""
    settings, options = context.settings, context.options
    if settings.json:
        if options.action == "export":
            options.format = options.format or "json"
        options.json = True

    def play(turn: StoredTurn, options: argparse.Namespace) -> int:
        from streaming_chat.session.replay import replay

        as_asked = settings.changed("json", options.json, "--json") if options.json else settings
        return replay(turn, as_asked, context.output, context.notices, speed=options.speed, max_pause=options.max_pause)

    return _carried_out(
        options,
        path=context.history_path,
        out=context.output,
        terminal=context.output.is_terminal,
        color=context.output.has_color,
        play=play,
        prices=settings.prices,
        notices=context.notices,
        notice=context.notices.notice,
        standard_input=context.standard_input,
    )


def history_command(  # noqa: PLR0913 # the world of the command, passed in by name
    arguments: list[str],
    *,
    path: Path,
    out: Writable,
    terminal: bool,
    color: bool = False,
    prices: Prices = NO_PRICES,
    notice: Callable[[str], None] | None = None,
) -> int:
    """Carry out `history` with these `arguments` on the file at `path`, write to `out`, return the exit status.

    `terminal` says whether `out` is one, `color` whether it may be sent styles; `prices` say what one cost; `notice` is told
    what was damaged. Raises ChatError when the arguments are wrong, when there is no such turn, when the history cannot be
    read, and when a file cannot be written. `--help` leaves by SystemExit(0).
    """
    notices = Notices(Output.of("stderr", color=False))
    notice = notice or notices.notice
    return _carried_out(
        parse_command(command("history"), arguments),
        path=path,
        out=out,
        terminal=terminal,
        color=color,
        play=None,
        prices=prices,
        notices=notices,
        notice=notice,
        standard_input=StandardInput(notice),
    )


def _carried_out(  # noqa: PLR0913 # the world of the command, passed in by name
    options: argparse.Namespace,
    *,
    path: Path,
    out: Writable,
    terminal: bool,
    color: bool,
    play: Callable[[StoredTurn, argparse.Namespace], int] | None,
    prices: Prices,
    notices: Notices,
    notice: Callable[[str], None],
    standard_input: StandardInput,
) -> int:
    with closing(History(path, notice)) as history:
        call = _Command(history, options, prices, notices, standard_input, terminal=terminal, color=color)
        if options.action == "replay" and play is not None:
            return play(call.turn(), options)
        lines: list[str] = getattr(call, f"do_{options.action}")()
    out.write("".join(line + "\n" for line in lines))
    return ExitStatus.COMPLETE


class _Command:
    """One call; a method for each action, which returns lines."""

    def __init__(  # noqa: PLR0913 # the world of the command, passed in by name
        self,
        history: History,
        options: argparse.Namespace,
        prices: Prices,
        notices: Notices,
        standard_input: StandardInput,
        *,
        terminal: bool,
        color: bool,
    ) -> None:
        self._history = history
        self._options = options
        self._prices = prices
        self._notices = notices
        self._input = standard_input
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
        return self._shown(turns, self._nothing())

    def do_search(self) -> list[str]:
        """Those that hold some words."""
        if not "".join(self._options.words).strip():
            raise UsageError("there is nothing to look for", "give a word, or `streaming-chat history` for all turns")
        turns = self._history.turns(self._options.limit, selection_of(self._options))
        return self._shown(turns, "nothing was found")

    def do_show(self) -> list[str]:
        """One turn."""
        turn = self.turn()
        if self._options.json:
            return [self._as_json(turn)]
        return [*page(turn, sanitize if self._terminal else str, self._prices)]

    def do_export(self) -> list[str]:
        """Write turns as a document."""
        options = self._options
        selection = selection_of(options)
        if selection == Selection() and not options.all:
            raise UsageError(
                "which turns are to be exported?",
                "give their numbers, or say with --session, --since … which; --all for all",
            )
        path: Path | None = options.output
        format = options.format or _format_of(path)  # noqa: A001 # the word of the option
        turns = self._whole(selection)
        if not turns:
            self._notices.always(self._nothing())
            return []
        document = written(turns, format, self._notices.advice)
        if path is None or str(path) == "-":
            return [(sanitize_json(document) if self._terminal and format == "json" else document).removesuffix("\n")]
        write_file(path, document, force=options.force)
        return []

    def do_import(self) -> list[str]:
        """Take in turns from files."""
        progress = Progress(self._notices.line)
        turns = [
            turn
            for path in self._options.files
            for turn in _turns_in(path, self._input, partial(progress, f"reading {path}"))
        ]
        numbers = self._history.add(turns, lambda done: progress("importing", done, len(turns)))
        new = [number for number in numbers if number is not None]
        if self._options.json:
            return [json.dumps({"imported": len(new), "present": len(numbers) - len(new), "numbers": new})]
        present = f", {len(numbers) - len(new)} there already" if len(new) < len(numbers) else ""
        which = "" if not new else f" (turn {new[0]})" if len(new) == 1 else f" (turns {new[0]} to {new[-1]})"
        return [f"{counted(len(new), 'turn', 'turns')} imported{which}{present}"]

    def do_stats(self) -> list[str]:
        """What they add up to."""
        from streaming_chat.cli.commands.history.stats import stats

        turns = self._history.figures(selection_of(self._options))
        lines = stats(turns, self._options, self._prices, columns=self._columns(), color=self._color)
        if not turns and self._has_none():
            self._notices.always(self._nothing())
        if self._options.html is not None:
            self._notices.always(f"the page is in {one_line(str(self._options.html))}")
        return lines

    def do_delete(self) -> list[str]:
        """Remove turns for good."""
        selection = selection_of(self._options)
        if selection == Selection() and not self._options.all:
            raise UsageError(
                "which turns are to be deleted?", "give their numbers, or say with --since, --model … which; --all for all"
            )
        self.require(self._options.numbers)
        count = len(self._history.numbers(selection))
        if count and not self._options.yes and not self._is_confirmed(count):
            return self._told(0)
        return self._told(self._history.delete(selection) if count else 0)

    def _is_confirmed(self, count: int) -> bool:
        turns = counted(count, "turn", "turns")
        if not self._input.is_terminal:
            raise UsageError(f"{turns} would be deleted for good", "--yes deletes them without asking")
        self._notices.question(f"Delete {turns} for good? [y/N] ")
        return self._input.line().strip().lower() in ("y", "yes")

    def do_path(self) -> list[str]:
        """Where it is kept."""
        return [json.dumps({"path": str(self._history.path)}) if self._options.json else str(self._history.path)]

    def _has_none(self) -> bool:
        """Whether there are no such turns, not even damaged ones that were skipped."""
        return not self._history.numbers(selection_of(self._options))

    def _nothing(self) -> str:
        return "the history is empty" if selection_of(self._options) == Selection() else "no such turns"

    def _columns(self) -> int | None:
        return shutil.get_terminal_size().columns if self._terminal else None

    def _told(self, deleted: int) -> list[str]:
        if self._options.json:
            return [json.dumps({"deleted": deleted})]
        return [f"{counted(deleted, 'turn', 'turns')} deleted"]

    def _shown(self, turns: list[TurnSummary], nothing: str) -> list[str]:
        if not turns and self._has_none():
            # Not an entry of the list, so not where the list goes.
            self._notices.always(nothing)
        if self._options.json:
            return [self._as_json(turn) for turn in turns]
        columns = self._columns()
        found = [turn for turn in turns if isinstance(turn, FoundTurn)]
        return found_lines(found, columns, color=self._color) if found else table(turns, columns)

    def _whole(self, selection: Selection) -> list[StoredTurn]:
        """The turns that are meant, whole; UsageError when one that was named is not there."""
        self.require(selection.numbers or ())
        numbers = self._history.numbers(selection)
        turns = self._history.whole(numbers)
        # Where none of them can be read, the first one says why.
        return turns if turns or not numbers else [turn for turn in [self._history.turn(numbers[0])] if turn is not None]

    def _as_json(self, turn: TurnSummary) -> str:
        fields = as_object(turn)
        fields["cost"] = self._prices.cost_of_turn(turn.model, turn.served_model, turn.usage)
        if isinstance(turn, FoundTurn):
            fields["found"] = turn.found.replace(MARKS[0], "**").replace(MARKS[1], "**")
        return self._harmless(json.dumps(fields, ensure_ascii=False))

    def _harmless(self, line: str) -> str:
        """JSON as it may reach where the text goes."""
        return sanitize_json(line) if self._terminal else line


def _format_of(path: Path | None) -> str:
    """The format for a file of this name; Markdown where the name says none. UsageError for an ending that is of none."""
    ending = path.suffix[1:] if path else ""
    format = FORMAT_OF_ENDING.get(ending.lower()) if ending else FORMATS[0]  # noqa: A001 # the word of the option
    if format is None:
        raise UsageError(
            f"no format is known by the ending .{ending}",
            f"--format says which one is meant: {', '.join(FORMATS)}; files of these endings need none",
        )
    return format


def _turns_in(path: Path, standard_input: StandardInput, progress: Callable[[int, int], None]) -> list[StoredTurn]:
    from streaming_chat.documents.turns_json import turns_of

    try:
        content = standard_input.read() if str(path) == "-" else path.read_bytes()
        return turns_of(content.decode("utf-8-sig"), progress)
    except OSError as problem:
        raise UsageError(f"{path} cannot be read: {problem.strerror}", "give a file that was exported, or -") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8", "give a file that was exported, or -") from None


def _no_turns(numbers: Sequence[int]) -> UsageError:
    named = ", ".join(map(str, numbers))
    return UsageError(
        f"no {'turn' if len(numbers) == 1 else 'turns'} {named} in the history",
        "`streaming-chat history` lists the turns that there are",
    )
