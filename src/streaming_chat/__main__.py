"""Entry point: `streaming-chat`, `python -m streaming_chat`, and the launcher of the project page.

Imports nothing heavy by itself, so that Ctrl-C during start-up is status 130 and not a traceback.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Run the program and leave with its status."""
    try:
        from streaming_chat.cli import run

        status: object = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    except SystemExit as ending:
        status = ending.code
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            if stream is not None:
                stream.flush()
    # Everything is written and closed. Taking the interpreter apart would cost another tenth of a second.
    os._exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
