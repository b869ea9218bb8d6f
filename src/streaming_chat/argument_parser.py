"""The parser of every command line here: argparse, whose help is an output like any other."""

from __future__ import annotations

import argparse
from typing import Any

from streaming_chat.terminal import Output


class ArgumentParser(argparse.ArgumentParser):
    """argparse, with help and version on a standard output that is checked: OutputClosed, OutputFailed."""

    def _print_message(self, message: str, _file: Any = None) -> None:
        # Errors are raised, never printed: what comes here is for standard output.
        Output.of("stdout", color=False).write(message)
