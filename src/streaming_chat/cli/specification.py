"""What the command line takes, as values: of these, completion, man page and docs/reference.md are made.

They come from the parsers themselves, so nothing is said twice.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streaming_chat.cli import PROGRAM
from streaming_chat.cli.argument_parser import ArgumentParser
from streaming_chat.cli.commands import commands
from streaming_chat.cli.parser import command_parser, completion_of
from streaming_chat.config.options import GROUPS, OPTIONS


@dataclass(frozen=True)
class Argument:
    """An option, or with no `flags` a positional argument. `completion` is what completes its value (argument_parser.py)."""

    flags: tuple[str, ...]
    metavar: str | None
    help: str
    completion: str | tuple[str, ...] | None = None
    group: str = ""
    #: Whether a positional argument may be given several times.
    is_repeated: bool = False
    #: Whether a positional argument must be given.
    is_required: bool = False

    @property
    def invocation(self) -> str:
        """The flags and the value, as help shows them: `-m, --model NAME`."""
        flags = ", ".join(sorted(self.flags, key=lambda flag: flag.startswith("--")))
        return " ".join(part for part in (flags, self.metavar) if part)


@dataclass(frozen=True)
class Specification:
    """A command, or an action of one: `words` call it."""

    words: tuple[str, ...]
    help: str
    arguments: tuple[Argument, ...]
    actions: tuple[Specification, ...] = ()

    @property
    def options(self) -> tuple[Argument, ...]:
        """Its own options."""
        return tuple(one for one in self.arguments if one.flags)

    @property
    def positional(self) -> tuple[Argument, ...]:
        """Its own positional arguments."""
        return tuple(one for one in self.arguments if not one.flags)

    @property
    def usage(self) -> str:
        """How it is called."""
        values = [one.metavar or "" for one in self.positional]
        repeated = [f"{value} ..." if one.is_repeated else value for one, value in zip(self.positional, values, strict=True)]
        values = [value if one.is_required else f"[{value}]" for one, value in zip(self.positional, repeated, strict=True)]
        parts = [PROGRAM, *self.words, *(["ACTION"] if self.actions else []), *(["[OPTIONS]"] if self.options else [])]
        return " ".join([*parts, *values])


#: Options of the program itself, beside those of the table.
HELP_OPTIONS: Final = (
    Argument(("-h", "--help"), None, "show the most used options; after a command, its own"),
    Argument(("--help-all",), None, "show all options"),
    Argument(("--version",), None, "show the version"),
)


def global_options() -> tuple[Argument, ...]:
    """Return the options that every command takes, by group."""
    named = [(group, name, one) for group in GROUPS for name, one in OPTIONS.items() if one.group == group and one.flags]
    return tuple(
        Argument(one.flags, one.metavar, one.help, completion_of(name, one), GROUPS[group]) for group, name, one in named
    )


def specifications() -> tuple[Specification, ...]:
    """Return every command with its actions."""
    return tuple(_of(command_parser(one), (one.NAME,), one.HELP) for one in commands())


def every(found: tuple[Specification, ...]) -> Iterator[Specification]:
    """Yield each command, followed by its actions."""
    for one in found:
        yield one
        yield from every(one.actions)


def _of(parser: ArgumentParser, words: tuple[str, ...], text: str) -> Specification:
    helps = parser.help_of_actions()
    actions = tuple(_of(one, (*words, name), helps[name]) for name, one in parser.actions().items())
    return Specification(words, text, tuple(_argument(parser, one) for one in parser.described()), actions)


def _argument(parser: ArgumentParser, action: argparse.Action) -> Argument:
    has_value = action.nargs != 0
    metavar = action.metavar if isinstance(action.metavar, str) else None
    text = (action.help or "").replace("%%", "%")
    completion = parser.completions.get(action.dest)
    return Argument(
        tuple(action.option_strings),
        metavar if has_value else None,
        text,
        completion,
        is_repeated=action.nargs in ("*", "+"),
        is_required=action.nargs in (None, "+"),
    )
