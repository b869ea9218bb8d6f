"""Makes demo/ anew: `make demo`. The program writes every file but README.md, which says how; nothing is edited.

Each step is run as README.md gives it, in demo/, with the embedded model, an empty history and no settings.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent
ROOT = PROJECT.parents[1]
DEMO = PROJECT / "demo"
sys.path[0] = str(ROOT / "tests" / "support")

from screen import Screen  # noqa: E402 # the path comes first

#: What the chat's files are called: they bear the time at which it began.
SESSION = re.compile(r"project02-streaming-\d{8}-\d{6}")
#: What is typed in the chat. Ctrl-C ends the last answer.
TYPED = (
    "Name three primary colours.",
    "/timing",
    "/stateful on",
    "Write a Python function that adds two numbers.",
    "/usage",
    "/stateful off",
    "/set max_tokens 20",
    "What is HTTP?",
    "/set max_tokens",
    "/tming",
    "/system Answer in French.",
    "Tell me a long story.",
)


class Step(NamedTuple):
    """A command, what it is for, and the files that it writes."""

    says: str
    command: str
    files: tuple[str, ...]


BEFORE = (
    Step(
        "A one-shot answer, byte for byte, and what went to stderr: the latency line.",
        'streaming-chat --local --temperature 0 "Explain streaming in one paragraph." > answer.txt 2> answer.stderr.txt',
        ("answer.txt", "answer.stderr.txt"),
    ),
    Step(
        "One answer, one JSON object a line, with the server's token counts.",
        'streaming-chat --local --temperature 0 --json "What is a pipe in Unix? One sentence." > answer.ndjson',
        ("answer.ndjson",),
    ),
    Step(
        "A question about piped text.",
        "head -n 5 ../../../LICENSE | streaming-chat --local --temperature 0 --quiet"
        ' "Summarise this in one sentence." > pipe.txt',
        ("pipe.txt",),
    ),
    Step(
        "An answer that is not whole. The exit status is 7.",
        'streaming-chat --local --temperature 0 --max-tokens 10 "What is HTTP?" > cut.txt 2> cut.stderr.txt',
        ("cut.txt", "cut.stderr.txt"),
    ),
)
CHAT = "streaming-chat --local --temperature 0 --log-dir . --export-dir . --export-format all"
AFTER = (
    Step(
        "What the history has of all this, the interrupted turn in full, and the figures of all.",
        "streaming-chat history > history.txt\n"
        "streaming-chat history show 8 > history-show.txt\n"
        "streaming-chat history stats > history-stats.txt",
        ("history.txt", "history-show.txt", "history-stats.txt"),
    ),
)


def main() -> None:
    """Make it."""
    for path in DEMO.iterdir():
        path.unlink()
    with tempfile.TemporaryDirectory() as home:
        scripts = str(Path(sys.executable).parent)
        environment = {"HOME": home, "PATH": f"{scripts}:{os.environ['PATH']}", "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        for step in BEFORE:
            _run(step, environment)
        session = _chat(environment)
        for step in AFTER:
            _run(step, environment)
    (DEMO / "README.md").write_text(_readme(session), encoding="utf-8")
    page = PROJECT / "README.md"
    page.write_text(SESSION.sub(session, page.read_text(encoding="utf-8")), encoding="utf-8")


def _run(step: Step, environment: dict[str, str]) -> None:
    done = subprocess.run(["/bin/sh", "-c", step.command], cwd=DEMO, env=environment, check=False)
    if done.returncode not in (0, 7):
        sys.exit(f"{step.command}: status {done.returncode}")


def _chat(environment: dict[str, str]) -> str:
    """Type in a chat, in a terminal; what its files are called."""
    with Screen(CHAT.split(), env=environment, cwd=DEMO, columns=80, lines=60) as screen:
        screen.wait_for("You:", timeout=60)
        for number, line in enumerate(TYPED):
            before, prompts = len(screen.text), screen.text.count("You:")
            screen.line(line)
            if number == len(TYPED) - 1:
                screen.wait_for(re.compile(r"streaming\.\.\.\):\n.{20}", re.DOTALL), timeout=60, after=before)
                screen.send("\x03")
            screen.wait_until(lambda prompts=prompts: screen.text.count("You:") > prompts, timeout=60)
        screen.line("/exit")
        screen.wait_for_exit()
    (log,) = DEMO.glob("project02-streaming-*.log")
    return log.stem


INTRODUCTION = """\
# Demo

Real output of the program with its embedded model, SmolLM2-135M-Instruct. Nothing was edited; `make demo` makes it anew.
The model is small and at times wrong; the demo shows how the program behaves.

In this folder, with `streaming-chat` on the path, an empty history and no settings of one's own:"""
OF_CHAT = f"""\
## A chat: its log and its transcripts

In a terminal:

```sh
{CHAT}
```

with these lines typed, and Ctrl-C while the last answer streamed:

```text
{chr(10).join(TYPED)}
/exit
```

The log is written while the chat goes on, the transcripts when it ends. The page plays each answer again at the speed at
which it came; the recording is played by `asciinema play`."""


def _readme(session: str) -> str:
    files = tuple(f"{session}.{ending}" for ending in ("log", "md", "html", "json", "cast", "svg"))
    parts = [INTRODUCTION, *map(_described, BEFORE), f"{OF_CHAT}\n\n{_links(files)}", *map(_described, AFTER)]
    return "\n\n".join(parts) + "\n"


def _described(step: Step) -> str:
    return f"## {', '.join(step.files)}\n\n{step.says}\n\n```sh\n{step.command}\n```\n\n{_links(step.files)}"


def _links(files: Sequence[str]) -> str:
    return "\n".join(f"- [{name}]({name})" for name in files)


if __name__ == "__main__":
    main()
