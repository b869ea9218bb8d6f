"""The parser of every command line here: argparse, whose help is an output like any other."""

from __future__ import annotations

import argparse
from typing import Any

from streaming_chat.core.errors import OutputClosed, OutputFailed


class ArgumentParser(argparse.ArgumentParser):
    """argparse, which says when help or version cannot be written: OutputClosed, OutputFailed."""

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
