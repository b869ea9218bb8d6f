"""This program beside others, on the way from Enter to the last token: `make bench`.

Side by side in one run, against the tests' loopback server: this program, a loop of six lines on the SDK as on the project
page, `llm` and shell_gpt as pip brings them (each in an environment of its own, `benchmarks/.clients`), curl as the floor.
The server runs in this process and knows when each request had arrived and when it sent what; one clock serves all.

Prints a Markdown table with the machine, the date and the versions.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "src"), str(ROOT / "benchmarks")]

from latency import first_reads, row  # noqa: E402 # the path comes first

from markdown import TEXTS  # noqa: E402
from screen import Screen  # noqa: E402
from server import CERTIFICATE, Server, Step, answer  # noqa: E402

CURL_PATH = shutil.which("curl") or sys.exit("this needs curl")
CLIENTS = ROOT / "benchmarks" / ".clients"
PROGRAM = [sys.executable, "-m", "streaming_chat", "--model", "test-model"]
SDK_LOOP = """\
import sys
from openai import OpenAI
client = OpenAI(base_url=sys.argv[1], api_key="none")
for chunk in client.chat.completions.create(model="test-model", messages=[{"role": "user", "content": "hi"}], stream=True):
    if chunk.choices and chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="", flush=True)
"""
BODY = '{"model":"test-model","messages":[{"role":"user","content":"hi"}],"stream":true}'
OURS, SDK, LLM, SGPT, CURL = "this program", "SDK loop", "llm", "shell_gpt", "curl"
TOKENS = [f"w{number:02d} " for number in range(40)]


@dataclass(frozen=True)
class Run:
    """One client's run: its times in seconds on the common clock, and its CPU seconds."""

    started: float
    requested: float
    last_byte: float
    gone: float
    cpu: float


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="runs for each figure (default: 10)")
    parser.add_argument("--idle", type=float, default=60, help="seconds of the idle row (default: 60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = environment_in(Path(folder))
        print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores; {date.today().isoformat()};", end=" ")
        print(f"Python {platform.python_version()}, openai {version('openai')}; {versions()}; `make bench`\n", flush=True)
        one_shot(options.runs, environment)
        chat_start(options.runs, environment)
        second_message(options.runs, options.idle, environment)
        on_screen(max(2, options.runs // 3), environment)
        loads(max(2, options.runs // 3), environment)


def environment_in(folder: Path) -> dict[str, str]:
    """An environment in which each client finds what it needs, and nothing else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "LLM_"))}
    environment |= {"HOME": str(folder), "XDG_STATE_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "TERM": "xterm-256color", "NO_PROXY": "*", "OPENAI_API_KEY": "none"}
    environment |= {"LLM_USER_PATH": str(folder / "llm"), "SHELL_INTERACTION": "false", "PRETTIFY_MARKDOWN": "false"}
    environment |= {"DEFAULT_MODEL": "test-model", "OPENAI_USE_FUNCTIONS": "false"}
    (folder / "llm").mkdir()
    return environment


def versions() -> str:
    """The versions of the other clients."""
    found = []
    for name in ("llm", "shell-gpt"):
        code = f"from importlib.metadata import version as v; print('{name}', v('{name}'), 'on openai', v('openai'))"
        found.append(
            subprocess.run([CLIENTS / name / "bin/python", "-c", code], capture_output=True, text=True).stdout.strip()
        )
    return ", ".join([*found, subprocess.run([CURL_PATH, "--version"], capture_output=True, text=True).stdout[:11]])


def commands(base_url: str, environment: dict[str, str]) -> dict[str, list[str]]:
    """What asks `hi` with each client."""
    model = f"- model_id: test-model\n  model_name: test-model\n  api_base: {base_url}\n"
    Path(environment["LLM_USER_PATH"], "extra-openai-models.yaml").write_text(model, encoding="utf-8")
    environment["API_BASE_URL"] = base_url
    return {
        OURS: [*PROGRAM, "--base-url", base_url, "hi"],
        SDK: [sys.executable, "-c", SDK_LOOP, base_url],
        LLM: [str(CLIENTS / "llm/bin/llm"), "-m", "test-model", "hi"],
        SGPT: [str(CLIENTS / "shell-gpt/bin/sgpt"), "--no-cache", "hi"],
        CURL: [CURL_PATH, "-sN", "-H", "Content-Type: application/json", "-d", BODY, f"{base_url}/chat/completions"],
    }


def run(command: Sequence[str], server: Server, environment: dict[str, str]) -> Run:
    """Run a client to its end."""
    count = len(server.exchanges)
    started = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, used = os.wait4(process.pid, 0)
        gone = time.perf_counter()
        errors.seek(0)
        told = errors.read()
    process.returncode = status
    if status or len(server.exchanges) == count:
        sys.exit(f"{command[:3]} ended with {status}: {told.decode(errors='replace')}")
    exchange = server.exchanges[-1]
    last = exchange.sends[-1][0]
    return Run(started, exchange.request.at, last, gone, used.ru_utime + used.ru_stime)


def each(runs: int, base_url_of: Server, environment: dict[str, str], names: Sequence[str]) -> dict[str, list[Run]]:
    """All clients in turn, `runs` times, after one that is not counted."""
    lines = commands(base_url_of.base_url, environment)
    results: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(runs + 1):
        for name in names:
            result = run(lines[name], base_url_of, environment)
            if number:
                results[name].append(result)
    return results


def milliseconds(values: Sequence[float]) -> str:
    """The median, in milliseconds."""
    return f"{statistics.median(values) * 1000:.1f} ms"


def ratio(ours: Sequence[float], others: Sequence[float]) -> str:
    """How many times the other's median ours is."""
    return f"{statistics.median(ours) / statistics.median(others):.2f}×"


def table(title: str, results: dict[str, list[float]], against: str, show: Callable[[Sequence[float]], str]) -> None:
    """One row for each client."""
    print(f"| {title} | | |\n|---|---|---|")
    for name, values in results.items():
        print(
            f"| {name} | {show(values)} | {ratio(results[OURS], values)} |"
            if name == against
            else f"| {name} | {show(values)} | |"
        )
    print(flush=True)


def one_shot(runs: int, environment: dict[str, str]) -> None:
    """Start → request, and last byte → process gone."""
    with Server(answer(TOKENS[:3])) as server:
        results = each(runs, server, environment, [OURS, SDK, LLM, SGPT, CURL])
    starts = {name: [one.requested - one.started for one in some] for name, some in results.items()}
    ends = {name: [one.gone - one.last_byte for one in some] for name, some in results.items()}
    table("start → request on the wire, one shot (goal: 0.6× the SDK loop)", starts, SDK, milliseconds)
    table("last byte → process gone (goal: 20 ms)", ends, SDK, milliseconds)


def chat_start(runs: int, environment: dict[str, str]) -> None:
    """Start → prompt."""
    results: dict[str, list[float]] = {OURS: [], LLM: []}
    with Server(answer(TOKENS[:3])) as server:
        commands(server.base_url, environment)
        chats = {
            OURS: ([*PROGRAM, "--base-url", server.base_url], "You:"),
            LLM: ([str(CLIENTS / "llm/bin/llm"), "chat", "-m", "test-model"], "> "),
        }
        for number in range(runs + 1):
            for name, (command, prompt) in chats.items():
                started = time.perf_counter()
                with Screen(command, env=environment) as screen:
                    screen.wait_until(lambda screen=screen, prompt=prompt: prompt.encode() in screen.raw)
                    seen = next(at for at, read in screen.reads if prompt.encode() in read)
                if number:
                    results[name].append(seen - started)
    table("start → prompt, chat (goal: 0.3× llm)", results, LLM, milliseconds)


def second_message(runs: int, idle: float, environment: dict[str, str]) -> None:
    """Enter → request, of messages behind the first one."""
    print("| Enter → request on the wire, in a chat (goal: 3 ms) | median | p95 | max | n |\n|---|---|---|---|---|")
    with Server(answer(TOKENS[:3])) as server:
        print(row("second message at once", again(server, server.base_url, environment, [0.3] * runs)))
    with Server(answer(TOKENS[:3])) as server:
        print(row(f"after {idle:g} s", again(server, server.base_url, environment, [idle])), flush=True)
    trusted = {**environment, "SSL_CERT_FILE": str(CERTIFICATE)}
    with Server(answer(TOKENS[:3]), tls=True) as server, delayed(server, 0.025) as port:
        base_url = f"https://localhost:{port}/v1"
        print(row("first message, TLS, 50 ms away (25 on the way)", first(server, base_url, trusted, min(3, runs))))
        print(row("second message, TLS, 50 ms away (25 on the way)", again(server, base_url, trusted, [0.3] * runs)))
        print(row(f"the same after {idle:g} s", again(server, base_url, trusted, [idle])), flush=True)
    print()


def again(server: Server, base_url: str, environment: dict[str, str], pauses: Sequence[float]) -> list[float]:
    """From Enter to the request, for a message after each pause; on the connection of the first one."""
    delays = []
    with Screen([*PROGRAM, "--no-history", "--base-url", base_url], env=environment) as screen:
        ask(screen, server, 1)
        connections = len(server.connections)
        for number, pause in enumerate(pauses):
            time.sleep(pause)
            delays.append(ask(screen, server, number + 2))
        if len(server.connections) > connections:
            print(f"({len(server.connections) - connections} new connections)")
    return delays


def first(server: Server, base_url: str, environment: dict[str, str], runs: int) -> list[float]:
    """From Enter to the request, for the first message of a chat, typed two seconds after the prompt came."""
    delays = []
    for _ in range(runs):
        with Screen([*PROGRAM, "--no-history", "--base-url", base_url], env=environment) as screen:
            delays.append(ask(screen, server, 1))
    return delays


def ask(screen: Screen, server: Server, number: int) -> float:
    """Send a message and wait for its answer; from Enter to the request."""
    screen.wait_until(lambda: screen.text.count("You:") == number)
    if number == 1:
        time.sleep(2)
    screen.send("hi")
    screen.wait_until(lambda: screen.text.count("hi") >= number)
    count = len(server.exchanges)
    pressed = time.perf_counter()
    screen.key("enter")
    screen.wait_until(lambda: screen.text.count("(first token:") == number)
    return server.exchanges[count].request.at - pressed


def _carry(source: socket.socket, target: socket.socket, seconds: float) -> None:
    """Pass on what comes from `source` so many seconds later, until one side has gone."""
    waiting: list[tuple[float, bytes]] = []
    with suppress(OSError):
        while True:
            left = max(0.0, waiting[0][0] - time.perf_counter()) if waiting else None
            if select.select([source], [], [], left)[0]:
                data = source.recv(65536)
                waiting.append((time.perf_counter() + seconds, data))
                if not data:
                    time.sleep(seconds)
            while waiting and waiting[0][0] <= time.perf_counter():
                _, data = waiting.pop(0)
                if not data:
                    target.close()
                    return
                target.sendall(data)


@contextmanager
def delayed(server: Server, seconds: float) -> Iterator[int]:
    """A port behind which the server is so many seconds away, each way."""
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = server.base_url.split("//")[1].split("/")[0].split(":")

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            time.sleep(2 * seconds)  # The way of the handshake, which the system has done already.
            far = socket.create_connection((host, int(port)))
            for one in (near, far):
                # Or small pieces would wait for one another.
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for ends in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(*ends, seconds), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def on_screen(runs: int, environment: dict[str, str]) -> None:
    """From the server's send of a token to the terminal's read of it."""
    print(
        "| token sent → in the terminal, 20 ms apart, after 0.3 s (goal: 0.5, p95 1.5 ms) | median | p95 | max | n |\n"
        "|---|---|---|---|---|"
    )
    # What curl shows is the stream as it is: the least that a machine takes, two processes being woken.
    for name, flags, end in (("plain", ["--raw"], "(first token:"), ("Markdown", [], "(first token:"), (CURL, [], "[DONE]")):
        delays = []
        for _ in range(runs):
            with Server(answer(TOKENS, delay=0.02, first_delay=0.3)) as server:
                command = [*PROGRAM, *flags, "--base-url", server.base_url, "hi"]
                if name == CURL:
                    command = commands(server.base_url, environment)[CURL]
                with Screen(command, env=environment) as screen:
                    screen.wait_for(end)
                    exchange = server.exchanges[0]
                    # A blank at the end of a row is not drawn before the next word.
                    words = [token.strip() for token in TOKENS]
                    delays += [at - exchange.sent_at(word) for word, at in first_reads(words, iter(screen.reads))]
        print(row(name, delays))
    print(flush=True)


def loads(runs: int, environment: dict[str, str]) -> None:
    """CPU and memory for long answers."""
    with Server(long_answer(16_000)) as server:
        results = each(runs, server, environment, [OURS, SDK, LLM, CURL])
        cpu = {name: [one.cpu for one in some] for name, some in results.items()}
        table(
            "CPU for 16,000 chunks, one shot, plain (goal: 0.4× the SDK loop)",
            cpu,
            SDK,
            lambda some: f"{statistics.median(some):.2f} s",
        )
    print("| CPU for 16,000 chunks, live Markdown (goal: 0.6× the SDK loop) | | |\n|---|---|---|")
    for name in ("paragraph", "code", "list", "table"):
        with Server(answer(TEXTS[name](16_000))) as server:
            used = [live_cpu(server, environment) for _ in range(runs)]
            print(f"| {name} | {statistics.median(used):.2f} s | {ratio(used, cpu[SDK])} |")
    print(flush=True)
    print(
        "| one answer, this program | CPU | µs a token beyond 1,000 | memory at most | less that of 1,000 |\n"
        "|---|---|---|---|---|"
    )
    least = base = 0.0
    for size in (1_000, 10_000, 100_000):
        with Server(long_answer(size)) as server:
            all_used = [used_by(server, environment) for _ in range(max(2, runs // 2))]
        used, memory = statistics.median(one for one, _ in all_used), min(one for _, one in all_used)
        base, least = base or used, least or memory
        more = f"{(used - base) / (size - 1_000) * 1e6:.1f}" if size > 1_000 else ""
        print(f"| {size:,} chunks | {used:.2f} s | {more} | {memory / 1024:.1f} MiB | {(memory - least) / 1024:.1f} MiB |")
    print(flush=True)


#: Runs a command and says what it took. In a small process: a big one's memory counts as that of the process it begins.
MEASURED = """\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def used_by(server: Server, environment: dict[str, str]) -> tuple[float, int]:
    """CPU seconds and KiB of memory at most of this program for one answer."""
    command = [sys.executable, "-c", MEASURED, *PROGRAM, "--base-url", server.base_url, "hi"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    cpu, memory = done.stdout.split()
    return float(cpu), int(memory)


def long_answer(count: int) -> list[Step]:
    """So many chunks of one token."""
    return answer(f"w{number % 100:02d} " for number in range(count))


def live_cpu(server: Server, environment: dict[str, str]) -> float:
    """CPU seconds of this program for one answer shown as Markdown."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    master, slave = os.openpty()
    process = subprocess.Popen(
        [*PROGRAM, "--quiet", "--base-url", server.base_url, "hi"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=subprocess.DEVNULL,
    )
    os.close(slave)
    try:
        while os.read(master, 65536):
            pass
    except OSError:
        pass
    process.wait()
    os.close(master)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
