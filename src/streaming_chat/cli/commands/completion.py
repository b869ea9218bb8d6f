"""`streaming-chat completion SHELL`: a script that lets a shell complete commands, options, files and model names."""

from __future__ import annotations

from pathlib import Path

from streaming_chat.cli import PROGRAM
from streaming_chat.cli.argument_parser import ArgumentParser
from streaming_chat.cli.context import Context, as_utf8
from streaming_chat.core.errors import UsageError
from streaming_chat.core.exit_status import ExitStatus

NAME = "completion"
HELP = "print a completion script for bash, zsh or fish"

_SHELLS = ("bash", "fish", "zsh")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the shell."""
    parser.add_argument("shell", nargs="?", metavar="SHELL", help="bash, zsh or fish")
    parser.completions["shell"] = _SHELLS


def run(context: Context) -> int:
    """Print the script."""
    from streaming_chat.cli.completion import SHELLS
    from streaming_chat.cli.model_names import FILE_NAME
    from streaming_chat.config.folders import state_folder

    shell = context.options.shell
    if shell not in SHELLS:
        what = "which shell?" if shell is None else f"there is no completion for {as_utf8(shell)!r}"
        raise UsageError(what, f'bash: eval "$({PROGRAM} completion bash)"; zsh likewise; fish: … completion fish | source')
    folder = state_folder()
    # Without a home folder there are no names, and no file of them.
    names = Path(FILE_NAME) if folder is None else folder / FILE_NAME
    context.plain_output.write(SHELLS[shell](names))
    return ExitStatus.COMPLETE
