"""`streaming-chat help [COMMAND]`: the help of the program, or of a command."""

from __future__ import annotations

from streaming_chat.cli import PROGRAM
from streaming_chat.cli.argument_parser import ArgumentParser
from streaming_chat.cli.commands import RESERVED, command, command_names, is_command
from streaming_chat.cli.context import Context, as_utf8
from streaming_chat.cli.parser import command_parser, main_parser
from streaming_chat.core.errors import UsageError
from streaming_chat.core.exit_status import ExitStatus

NAME = "help"
HELP = "show this help, or that of a command"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command, and an action of it."""
    parser.add_argument("topic", nargs="*", metavar="COMMAND", help="the command, and an action of it: `help history show`")
    parser.completions["topic"] = tuple(command_names())


def run(context: Context) -> int:
    """Print the help."""
    topic: list[str] = context.options.topic
    if not topic:
        main_parser().print_help()
        return ExitStatus.COMPLETE
    word, *actions = topic
    if not is_command(word) or word in RESERVED:
        raise UsageError(f"there is no command {as_utf8(word)!r}", f"{PROGRAM} --help lists the commands")
    parser = command_parser(command(word))
    for action in actions:
        if action not in parser.actions():
            raise UsageError(f"`{parser.prog}` has no action {as_utf8(action)!r}", f"{PROGRAM} help {word} lists them")
        parser = parser.actions()[action]
    parser.print_help()
    return ExitStatus.COMPLETE
