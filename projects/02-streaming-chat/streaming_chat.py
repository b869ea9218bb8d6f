"""Launcher of the project page: `python projects/02-streaming-chat/streaming_chat.py --model gpt-4o-mini`."""

import os
import sys

# This file has the package's name and its folder comes first on the path, so the entry is replaced, not added to.
sys.path[0] = os.path.abspath(os.path.realpath(__file__) + "/../../../src")

from streaming_chat.__main__ import main  # noqa: E402 # the path comes first

if __name__ == "__main__":
    main()
