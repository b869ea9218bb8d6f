"""How honest the figures are, and how soon a token is on the screen: `python benchmarks/latency.py`.

Everything is real: the program in a pseudo-terminal, or with pipes, against the tests' loopback server, which knows when it
sent each byte. One clock (`time.perf_counter`) serves both sides, because both run on this machine.

Prints a Markdown table with the machine, the date and the versions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "src")]

from screen import Screen  # noqa: E402 # the path comes first
from server import Server, Wait, answer  # noqa: E402

TOKENS = [f"w{number:02d} " for number in range(40)]
PROGRAM = [sys.executable, "-m", "streaming_chat"]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="answers for each row (default: 10)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "HOME": folder, "XDG_STATE_HOME": folder, "XDG_CONFIG_HOME": folder}
        environment |= {"PYTHONPATH": str(ROOT / "src"), "TERM": "xterm-256color"}
        first_token, total = honesty(runs, environment)
        on_screen = sent_to_screen(runs, environment)
        back = [back_at_the_prompt(environment) for _ in range(runs)]
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores; {date.today().isoformat()};", end=" ")
    print(f"Python {platform.python_version()}, openai {version('openai')}; `python benchmarks/latency.py --runs {runs}`")
    print()
    print("| figure | median | p95 | max | n |")
    print("|---|---|---|---|---|")
    print(row("`first_token` less what the server knows", first_token))
    print(row("`total` less what the server knows", total))
    print(row("token sent → in the terminal, 20 ms apart", on_screen))
    print(row("Ctrl-C in an answer → the prompt is back", back))


def row(name: str, seconds: list[float]) -> str:
    """A row of the table, in milliseconds."""
    ordered = sorted(seconds)
    p95 = ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]
    figures = (statistics.median(ordered), p95, ordered[-1])
    return f"| {name} | " + " | ".join(f"{figure * 1000:.2f} ms" for figure in figures) + f" | {len(ordered)} |"


def honesty(runs: int, environment: dict[str, str]) -> tuple[list[float], list[float]]:
    """`first_token` and `total`, less the same times as the server saw them: from the request read to the byte sent."""
    first, total = [], []
    script = answer(TOKENS, delay=0.02, first_delay=0.2)
    for _ in range(runs):
        with Server(script) as server:
            command = [*PROGRAM, "hi", "--json", "--no-history", "--base-url", server.base_url]
            done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
            timing = json.loads(done.stdout.splitlines()[-1])["timing"]
            exchange = server.exchanges[0]
        first.append(timing["first_token"] - (exchange.sent_at(TOKENS[0]) - exchange.request.at))
        total.append(timing["total"] - (exchange.sent_at("[DONE]") - exchange.request.at))
    return first, total


def sent_to_screen(runs: int, environment: dict[str, str]) -> list[float]:
    """For each token of each answer of a chat: from the server's send to the terminal's read."""
    delays = []
    with Server(answer(TOKENS, delay=0.02)) as server, chat(server, environment) as screen:
        for number in range(runs):
            seen = len(screen.reads)
            screen.line("hi")
            screen.wait_until(lambda number=number: screen.text.count("(first token:") == number + 1)
            # The first exchange is that of /models.
            exchange = server.exchanges[number + 1]
            arrivals = iter(screen.reads[seen:])
            delays += [at - exchange.sent_at(token) for token, at in first_reads(TOKENS, arrivals)]
    return delays


def first_reads(tokens: list[str], reads: Iterator[tuple[float, bytes]]) -> Iterator[tuple[str, float]]:
    """When each token was first in what the terminal had read."""
    at, read = 0.0, b""
    for token in tokens:
        while token.encode() not in read:
            at, more = next(reads)
            read += more
        yield token, at


def back_at_the_prompt(environment: dict[str, str]) -> float:
    """From Ctrl-C in the middle of an answer to the next prompt."""
    script = [*answer(TOKENS[:5], delay=0.02, done=False, finish_reason=None)[:-1], Wait(30)]
    with Server(script) as server, chat(server, environment) as screen:
        screen.line("hi")
        screen.wait_for(TOKENS[4].strip())
        pressed = time.perf_counter()
        screen.key("ctrl-c")
        # The prompts before it: the first one, and the one after /models.
        screen.wait_until(lambda: screen.text.count("You:") == 3)
        return next(at for at, read in reversed(screen.reads) if b"You:" in read) - pressed


def chat(server: Server, environment: dict[str, str]) -> Screen:
    """A chat in a terminal, whose prompt is there and whose SDK has been imported."""
    screen = Screen([*PROGRAM, "--no-history", "--base-url", server.base_url], env=environment)
    screen.wait_for("You:")
    screen.line("/models")
    screen.wait_until(lambda: screen.text.count("You:") == 2)
    return screen


if __name__ == "__main__":
    main()
