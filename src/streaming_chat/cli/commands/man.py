"""`streaming-chat man`: the man page."""

from __future__ import annotations

import shutil
import subprocess

from streaming_chat.cli.argument_parser import ArgumentParser
from streaming_chat.cli.context import Context
from streaming_chat.core.exit_status import ExitStatus

NAME = "man"
HELP = "show the man page"


def add_arguments(_parser: ArgumentParser) -> None:
    """It has none of its own."""


def run(context: Context) -> int:
    """Show the page as `man` does on a terminal; write it as roff elsewhere, and where there is no `man`."""
    from streaming_chat.cli.man_page import man_page

    page = man_page()
    man = shutil.which("man") if context.plain_output.is_terminal else None
    if man is not None:
        # What a pager does with a closed terminal or a Ctrl-C is its own business.
        subprocess.run([man, "-l", "-"], input=page.encode(), check=False)  # noqa: S603 # the system's own reader of manuals
    else:
        context.plain_output.write(page)
    return ExitStatus.COMPLETE
