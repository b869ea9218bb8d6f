"""The command line → global options, a command and its arguments.

Rule: global options stand anywhere: before the command, after it, after its action. Where a command has an option of the
same name (`history list --model`), its own counts after the command's word.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from streaming_chat import __version__
from streaming_chat.cli import PROGRAM
from streaming_chat.cli.argument_parser import FILE, FOLDER, MODEL, ArgumentParser, first_word
from streaming_chat.cli.commands import RESERVED, Command, command, is_command
from streaming_chat.config.options import OPTIONS, Option
from streaming_chat.config.values import file_path
from streaming_chat.core.errors import UsageError

#: Before the name of an option in a parsed namespace, so that a command's own arguments can have any name.
_GLOBAL: Final = "option."


class CommandLine(NamedTuple):
    """What was given. `flags` has the text of each option by its name; `command` is None for a prompt or a chat."""

    flags: Mapping[str, str]
    command: Command | None
    #: The words of a prompt, without a command.
    words: list[str]
    #: The command's own arguments.
    options: argparse.Namespace


def parse(argv: list[str]) -> CommandLine:
    """Parse the arguments of the program. UsageError for wrong ones, SystemExit(0) after `--help` and `--version`."""
    parser = main_parser()
    position = first_word(argv, parser.flags())
    if position is None or not is_command(argv[position]):
        separator = argv.index("--") if "--" in argv else len(argv)
        parsed = parser.parse_intermixed_args(argv[:separator])
        words = [*parsed.prompt, *argv[separator + 1 :]]
        return CommandLine(_flags(parsed), None, words, argparse.Namespace())
    before = parser.parse_intermixed_args(argv[:position])
    word, arguments = argv[position], argv[position + 1 :]
    if word in RESERVED:
        raise UsageError(
            f"`{PROGRAM} {word}` does not exist yet", f"a prompt that begins with this word: {PROGRAM} -- {word} …"
        )
    found = command(word)
    options = parse_command(found, arguments)
    return CommandLine(_merged(_flags(before), _flags(options)), found, [], options)


def parse_command(found: Command, arguments: list[str]) -> argparse.Namespace:
    """Parse what follows the word of a command, global options included."""
    parser = command_parser(found)
    actions = parser.actions()
    if not actions:
        add_global_options(parser, is_hidden=True)
        return parser.parse_intermixed_args(arguments)
    # Options before the action are options of the action.
    position = first_word(arguments, {**_global_flags(), **parser.flags()})
    if position is not None and arguments[position] in actions:
        arguments = [arguments[position], *arguments[:position], *arguments[position + 1 :]]
    elif position is None and not {"-h", "--help"} & set(arguments):
        arguments = [next(iter(actions)), *arguments]
    if arguments and arguments[0] in actions:
        # To that parser alone: there are many options and many actions, and each costs time.
        add_global_options(actions[arguments[0]], is_hidden=True)
    if arguments[-1:] == ["--"]:
        arguments = arguments[:-1]
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        # Of the action, if there is one: its help lists the options.
        actions.get(arguments[0], parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def main_parser() -> _MainParser:
    """Return the parser of the global options and a prompt; options are stored as text, by name."""
    parser = _MainParser(
        prog=PROGRAM, usage=f"{PROGRAM} [OPTIONS] [PROMPT ...]", argument_default=argparse.SUPPRESS, add_help=False
    )
    parser.add_argument("prompt", nargs="*", default=[], metavar="PROMPT", help="what to ask")
    add_global_options(parser)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}", help="show the version")
    parser.add_argument("-h", "--help", action="help", help="show the most used options")
    parser.add_argument("--help-all", action=_FullHelp, help="show all options")
    return parser


def command_parser(found: Command) -> ArgumentParser:
    """Return the parser of a command's own arguments."""
    parser = ArgumentParser(
        prog=f"{PROGRAM} {found.NAME}",
        description=_sentence(found.HELP),
        epilog=f"Global options work here too: {PROGRAM} --help lists them.",
    )
    found.add_arguments(parser)
    return parser


def _global_flags() -> dict[str, bool]:
    """Return the flags of the global options, and whether a value follows each."""
    return {flag: not option.is_switch for option in OPTIONS.values() for flag in option.flags}


def add_global_options(parser: ArgumentParser, *, is_hidden: bool = False) -> None:
    """Add the options of config/options.py, but for flags that the parser has; with `is_hidden` help does not show them."""
    own = parser.flags()
    if is_hidden:
        version = f"{PROGRAM} {__version__}"
        parser.add_argument("--version", action="version", version=version, help=argparse.SUPPRESS)
        parser.add_argument("--help-all", action=_FullHelp, help=argparse.SUPPRESS)
    for name, option in OPTIONS.items():
        flags = [flag for flag in option.flags if flag not in own]
        if not flags:
            continue
        keywords: dict[str, Any] = {"action": "store_const", "const": "1"}
        if not option.is_switch:
            keywords = {"metavar": option.metavar, "action": "append" if option.is_repeated else "store"}
        parser.add_argument(
            *flags,
            dest=f"{_GLOBAL}{name}",
            default=argparse.SUPPRESS,
            help=argparse.SUPPRESS if is_hidden else option.help.replace("%", "%%"),
            **keywords,
        )
        if what := completion_of(name, option):
            parser.completions[f"{_GLOBAL}{name}"] = what


def completion_of(name: str, option: Option) -> str | tuple[str, ...] | None:
    """Return what completes the value of a global option, if anything does."""
    if name == "model":
        return MODEL
    if option.choices:
        return option.choices
    if option.parse is file_path:
        return FOLDER if (option.metavar or "") == "DIR" else FILE
    return None


def checked(parse_value: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return `parse_value`, whose ValueErrors argparse shows as they are."""

    def convert(text: str) -> Any:
        try:
            return parse_value(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    return convert


class _MainParser(ArgumentParser):
    """The parser of the global options, with pages of help of its own."""

    #: Whether the page has all options, or the most used ones.
    is_full = False

    def format_help(self) -> str:
        """Return the page of help."""
        from streaming_chat.cli.help_pages import full_help, short_help

        return full_help() if self.is_full else short_help()

    def hint_for(self, meant: str | None) -> str:
        """Return the hint about an unknown option."""
        return f"did you mean {meant}?" if meant else f"{PROGRAM} --help lists the options"


class _FullHelp(argparse.Action):
    """Prints the help with all options, and leaves with status 0."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **{**keywords, "nargs": 0, "default": argparse.SUPPRESS})

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print it."""
        main = main_parser()
        main.is_full = True
        main.print_help()
        parser.exit()


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _flags(parsed: argparse.Namespace) -> dict[str, str]:
    """Return the global options that were given, each as text."""
    given = {name.removeprefix(_GLOBAL): value for name, value in vars(parsed).items() if name.startswith(_GLOBAL)}
    return {name: "\0".join(value) if isinstance(value, list) else value for name, value in given.items()}


def _merged(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Return both; of an option that is given twice the later value, or both of one that may be repeated."""
    merged = {**before, **after}
    for name in set(before) & set(after):
        if OPTIONS[name].is_repeated:
            merged[name] = f"{before[name]}\0{after[name]}"
    return merged
