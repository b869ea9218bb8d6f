"""The parser of every command line here: argparse, whose help is an output like any other."""

from __future__ import annotations

import argparse
from typing import Any

from streaming_chat.core.errors import OutputFailed


class ArgumentParser(argparse.ArgumentParser):
    """argparse. OutputFailed when there is nowhere to write the help to: it would go to standard error instead."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is None:
            raise OutputFailed("it is closed")
        super()._print_message(message, file)
