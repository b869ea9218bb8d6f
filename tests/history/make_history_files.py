"""Makes the files in tests/history/data: histories that earlier versions of the program wrote, and what these said of them.

    git archive 01c3d91 src | tar x -C /tmp/old
    python tests/history/make_history_files.py /tmp/old/src tests/history/data/version-1-01c3d91

writes `….db`, a real file of the program in /tmp/old/src, and `….jsonl`, a line for each turn as that program's
`history show N --json` has it. The commits: 01c3d91 and a0802dd are the first and the last one of version 1 of the schema,
34be827 and 2259612 those of version 2. Not a test: made once, the files are never made again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from screen import Screen
from server import Hang, Send, Server, Step, answer, chunk, frame, head, http_error, sse

PROGRAM = (sys.executable, "-m", "streaming_chat")
USAGE = {"prompt_tokens": 20, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 8}, "total_tokens": 24}


def deltas(*given: Mapping[str, object], finish_reason: str) -> list[Step]:
    """An answer whose deltas are these."""
    events = [*(chunk(delta=one) for one in given), chunk(finish_reason=finish_reason), "[DONE]"]
    return [Send(head()), *(Send(frame(sse(event))) for event in events), Send(b"0\r\n\r\n")]


def main() -> None:
    """Make one pair of files."""
    source, target = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "HOME": folder,
            "XDG_STATE_HOME": folder,
            "PYTHONPATH": str(source),
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": "sk-not-a-real-key-000001",
        }

        def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
            # Without -n, which the first versions do not have.
            return subprocess.run(
                [*PROGRAM, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )

        def stopped(prompt: str, number: int, seconds: float) -> None:
            with subprocess.Popen(
                [*PROGRAM, prompt], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            ) as program:
                assert program.stdout is not None
                program.stdout.read(1)
                time.sleep(seconds)
                program.send_signal(number)
                program.wait()

        asked = [
            (
                ("--system", "Be brief.", "--temperature", "0.5", "Why is the sky blue?"),
                answer(
                    ["Ray", "leigh ", "scatter", "ing."],
                    delay=0.02,
                    usage=USAGE,
                    model="test-model-2025",
                    headers={"x-request-id": "req_1"},
                ),
            ),
            (("Über naïve: 什么是流式传输？",), answer(["一个词", "一个词地来。", "😀 é"])),
            (("--max-tokens", "3", "Count to ten."), answer(["1 ", "2 ", "3"], finish_reason="length")),
            (("Cut me off.",), answer(["Half an ans"], finish_reason=None, done=False)),
            (("Too much.",), http_error(429, {"error": {"message": "No money.", "code": "insufficient_quota"}})),
            (("--retries", "0", "Reject."), http_error(400, {"error": {"message": "Unknown field.", "param": "x"}})),
            (
                ("What is 1 + 1?",),
                deltas(
                    {
                        "tool_calls": [
                            {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": ""}}
                        ]
                    },
                    {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1, '}}]},
                    {"tool_calls": [{"index": 0, "function": {"arguments": '"b": 1}'}}]},
                    finish_reason="tool_calls",
                ),
            ),
            (
                ("Think.",),
                deltas(
                    {"reasoning_content": "Hm, "}, {"reasoning_content": "yes."}, {"content": "Done."}, finish_reason="stop"
                ),
            ),
            (("Refuse.",), deltas({"refusal": "I can"}, {"refusal": "not."}, finish_reason="stop")),
            (("Filter.",), answer(["Some"], finish_reason="content_filter")),
        ]
        for arguments, script in asked:
            server.play(script)
            run(*arguments)
        for prompt, number in (("Interrupt me.", signal.SIGINT), ("Kill me.", signal.SIGKILL)):
            server.play([*answer(["Part one, ", "part two. "], finish_reason=None, done=False)[:-1], Hang()])
            stopped(prompt, number, 1.5)
        server.play(answer(["1."]), answer(["2."]), answer(["Hal"], finish_reason="length"), answer(["4."]))
        with Screen([*PROGRAM, "--stateful"], env=environment, cwd=Path(folder), columns=100) as screen:
            for count, line in enumerate(["One?", "Two?", "Half?", "Four?", "/exit"], 1):
                screen.wait_until(lambda count=count: screen.text.count("You:") == count)
                screen.line(line)
            screen.wait_for_exit()
        if b"--continue" in run("--help").stdout:
            server.play(answer(["5."]), answer(["Again 2."]))
            run("-c", "Five?")
            run("--resume", "14", "Two again?")
        target.parent.mkdir(exist_ok=True)
        file = Path(folder) / "streaming-chat" / "history.db"
        with closing(sqlite3.connect(file)) as connection:
            count = connection.execute("SELECT max(id) FROM turns").fetchone()[0]
        lines = [run("history", "show", str(number), "--json").stdout.decode() for number in range(1, count + 1)]
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert sorted(one.name for one in file.parent.glob("history.db*")) == ["history.db"]
        shutil.copy(file, target.with_suffix(".db"))
        target.with_suffix(".jsonl").write_text("".join(lines), encoding="utf-8")
        for line in lines:
            turn = json.loads(line)
            sys.stdout.write(f"{turn['number']} {turn['status']} {turn['prompt']!r} {turn['text']!r}\n")


if __name__ == "__main__":
    main()
