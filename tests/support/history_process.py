"""Scripts with a history, run as processes of their own."""

from __future__ import annotations

import subprocess
import sys

#: What the scripts begin with: a history in the folder that they are given, and a turn.
PRELUDE = """
import resource, sys, time
from pathlib import Path
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.events import Outcome, Sent, TextDelta
from streaming_chat.core.turn import Turn
from streaming_chat.core.timing import Timing
from streaming_chat.history import History

def say(text):
    # One write, as several processes may share the pipe.
    sys.stdout.write(f"{text}\\n")
    sys.stdout.flush()

def record(history, prompt):
    request = ChatRequest("m", (Message("user", prompt),))
    recorder = history.recorder(request, endpoint="http://x.test", session="s")
    recorder.handle(Sent(time.perf_counter()))
    return request, recorder

def whole(request, text):
    return Turn(request, text, "", Outcome.COMPLETE, "stop", None, Timing(total=1.0))

history = History(Path(sys.argv[1]), lambda text: say("notice: " + text))
"""


def run(script: str, *arguments: object, wrapper: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start `script`, with the file as its first argument."""
    return subprocess.Popen(
        [*wrapper, sys.executable, "-W", "error", "-c", PRELUDE + script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(process: subprocess.Popen[str]) -> list[str]:
    """The lines that it said, once it has ended well."""
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    return out.splitlines()
