"""The sub-commands: a module each, in this folder, under its own name. To add one, add a file.

Each has NAME (the word), HELP (a line), `add_arguments(parser)` and `run(context)`, which returns the exit status. Parser,
help, completion, man page and docs/reference.md are made of these. No module is imported before its word is given, or
all are listed.
"""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from streaming_chat.cli.argument_parser import ArgumentParser
    from streaming_chat.cli.context import Context

#: What the program does without a command word. Their names are no words: `ask me something` is a prompt.
WITHOUT_WORD: Final = ("ask", "chat")
#: Words of commands to come.
RESERVED: Final = ("compare", "batch", "bench", "render", "doctor")


class Command(Protocol):
    """What a module of this folder has."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's own arguments. The global options are added later, where they do not collide."""

    def run(self, context: Context) -> int:
        """Do it, and return the exit status. Raises ChatError for a failure."""


def is_command(word: str) -> bool:
    """Whether `word` as the first one means a command, be it one to come."""
    if word in RESERVED:
        return True
    if word in WITHOUT_WORD or word.startswith("_") or not word.isidentifier():
        return False
    return PathFinder.find_spec(f"{__name__}.{word}", __path__) is not None


def command(word: str) -> Command:
    """Return the command of the name `word`, which is none of those to come."""
    return cast("Command", import_module(f"{__name__}.{word}"))


def command_names() -> list[str]:
    """Return the words of all commands, in order; no command is imported."""
    from pkgutil import iter_modules  # Help needs it, an answer does not.

    return sorted(found.name for found in iter_modules(__path__) if found.name not in WITHOUT_WORD)


def commands() -> list[Command]:
    """Return all commands that have a word, by name."""
    return [command(name) for name in command_names()]
