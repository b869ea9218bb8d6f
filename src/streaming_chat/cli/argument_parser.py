"""The parser of every command line here: argparse, with this program's errors, and help that is an output like any other."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from streaming_chat.config.spelling import nearest
from streaming_chat.core.errors import OutputClosed, OutputFailed, UsageError

#: What argparse says of an action that does not exist.
_CHOICE: Final = re.compile(r"invalid choice: '([^']*)'")

#: What a value is, for completion: a path of a file or a folder, or a name that `models` has listed.
FILE: Final = "file"
FOLDER: Final = "folder"
MODEL: Final = "model"


class ArgumentParser(argparse.ArgumentParser):
    """argparse, which raises UsageError for wrong arguments, and OutputClosed or OutputFailed for unwritten help."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**{**keywords, "allow_abbrev": False})
        #: Name of an argument → what completes its value: `FILE`, `FOLDER`, `MODEL`, or words.
        self.completions: dict[str, str | tuple[str, ...]] = {}

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is None:
            raise OutputFailed("it is closed")
        try:
            file.write(message)
            file.flush()
        except BrokenPipeError:
            raise OutputClosed from None
        except OSError as problem:
            raise OutputFailed(problem.strerror or "unknown reason") from None

    def error(self, message: str) -> NoReturn:
        """Raise UsageError, with the nearest flag for one that does not exist."""
        unknown = message.partition("unrecognized arguments: ")[2].split(" ")[0].partition("=")[0]
        if unknown.startswith("-"):
            meant = nearest(unknown, list(self.flags()))
            raise UsageError(f"unknown option {unknown}", self.hint_for(meant))
        chosen = _CHOICE.search(message)
        meant = nearest(chosen[1], list(self.actions())) if chosen else None
        where = f"`{self.prog} --help` shows how it is used"
        raise UsageError(message, f"did you mean {meant}? {where}" if meant else where)

    def hint_for(self, meant: str | None) -> str:
        """Return the hint about an unknown option; `meant` is the nearest one, where there is one."""
        where = f"`{self.prog} --help` lists the options"
        return f"did you mean {meant}? {where}" if meant else where

    def flags(self) -> dict[str, bool]:
        """Return the flags, those of actions too, and whether a value follows each."""
        found = {flag: action.nargs != 0 for action in self._actions for flag in action.option_strings}
        for parser in self.actions().values():
            found = {**parser.flags(), **found}
        return found

    def actions(self) -> dict[str, ArgumentParser]:
        """Return the parsers of the actions, such as `history list`, by name."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 # it has no public name
                return dict(action.choices)
        return {}

    def help_of_actions(self) -> dict[str, str]:
        """Return the line that says what each action does."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 # likewise
                return {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001 # likewise
        return {}

    def described(self) -> Iterable[argparse.Action]:
        """Return the arguments that help shows, positional ones first; none of the actions."""
        shown = [action for action in self._actions if action.help != argparse.SUPPRESS]
        shown = [action for action in shown if not isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001 # likewise
        return sorted(shown, key=lambda action: bool(action.option_strings))


def first_word(argv: list[str], flags: dict[str, bool]) -> int | None:
    """Return the position of the first argument that is neither a flag nor a flag's value; None after `--`.

    `flags` says of each flag whether a value follows it.
    """
    skip = False
    for position, argument in enumerate(argv):
        if skip:
            skip = False
        elif argument == "--":
            return None
        elif argument.startswith("-") and argument != "-":
            # Short flags may stand together, with the value of the last one after them: `-qm gpt-4o`.
            last = argument if argument.startswith("--") else f"-{argument[-1]}"
            skip = flags.get(last, False)
        else:
            return position
    return None
