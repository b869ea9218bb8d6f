"""Where the time of a cold one shot goes: `python benchmarks/cold_start.py`, which draws docs/cold-start.svg.

The program is run as it is, but that functions of it note the time when they are entered or left. One clock
(`time.perf_counter`) serves both processes and the server. The medians of all runs are printed and drawn.
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
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "src")]

from server import Server, answer  # noqa: E402 # the path comes first

#: Runs the program, and writes what happened when to the file that is named first.
PROGRAM = """\
import json, os, sys, time
at = {"Python starts": time.perf_counter()}
report = sys.argv.pop(1)

def entered(owner, name, what):
    whole = getattr(owner, name)
    def noting(*values, **named):
        at.setdefault(what, time.perf_counter())
        return whole(*values, **named)
    setattr(owner, name, noting)

def left(owner, name, what):
    whole = getattr(owner, name)
    def noting(*values, **named):
        try:
            return whole(*values, **named)
        finally:
            at.setdefault(what, time.perf_counter())
    setattr(owner, name, noting)

leave = os._exit
def write(status):
    at["everything is closed"] = time.perf_counter()
    with open(report, "w") as file:
        json.dump(at, file)
    leave(status)
os._exit = write

from streaming_chat import __main__
import streaming_chat.cli.main as cli
import streaming_chat.session.session as session, streaming_chat.providers.openai_sdk as sdk
at["the program's own modules"] = time.perf_counter()
left(cli, "prompt_of", "arguments and settings")
entered(session, "run_turn", "session and history")
left(sdk, "import_sdk", "import of the SDK")
left(sdk.OpenAISDK, "_make", "client")
__main__.main()
"""
STAGES = (
    *("Python starts", "the program's own modules", "arguments and settings", "session and history"),
    *("import of the SDK", "client", "request on the wire", "everything is closed", "process is gone"),
)
_COLORS = ("#7f8c8d", "#2e86c1", "#5dade2", "#48c9b0", "#e67e22", "#f5b041", "#c0392b", "#8e44ad", "#7f8c8d")


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15, help="runs (default: 15)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder, Server(answer(["Hello"])) as server:
        environment = {**os.environ, "HOME": folder, "XDG_STATE_HOME": folder, "XDG_CONFIG_HOME": folder}
        environment |= {"PYTHONPATH": str(ROOT / "src")}
        all_ends = [ends(server, Path(folder, "report.json"), environment) for _ in range(runs + 1)][1:]
    medians = {stage: statistics.median(one[stage] for one in all_ends) for stage in STAGES}
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores; {date.today().isoformat()}"
    title = f"{machine}; Python {platform.python_version()}, openai {version('openai')}; median of {runs} runs"
    print(f"{title}\n\n| until | ms from the start | of it |\n|---|---|---|")
    before = 0.0
    for stage, end in medians.items():
        print(f"| {stage} | {end:.1f} | {end - before:.1f} |")
        before = end
    (ROOT / "docs" / "cold-start.svg").write_text(picture(medians, title), encoding="utf-8")


def ends(server: Server, report: Path, environment: dict[str, str]) -> dict[str, float]:
    """When each stage of one run was over, in milliseconds from its start."""
    started = time.perf_counter()
    command = [sys.executable, "-c", PROGRAM, str(report), "--base-url", server.base_url, "--quiet", "hi"]
    subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    at = json.loads(report.read_text()) | {"process is gone": time.perf_counter()}
    at["request on the wire"] = server.exchanges[-1].request.at
    return {stage: (at[stage] - started) * 1000 for stage in STAGES}


def picture(medians: dict[str, float], title: str) -> str:
    """A bar for each stage, one below the other, as SVG."""
    whole = max(medians.values())
    scale = 520 / whole
    rows, before = [], 0.0
    for number, (stage, end) in enumerate(medians.items()):
        y, width = 34 + 26 * number, max(1.0, (end - before) * scale)
        rows.append(
            f'<text x="190" y="{y + 14}" text-anchor="end">{stage}</text>'
            f'<rect x="{200 + before * scale:.1f}" y="{y}" width="{width:.1f}" height="18" fill="{_COLORS[number]}"/>'
            f'<text x="{206 + end * scale:.1f}" y="{y + 14}">{end - before:.1f} ms</text>'
        )
        before = end
    height = 48 + 26 * len(medians)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {height}" font-family="sans-serif" font-size="13">'
        f'<rect width="800" height="{height}" fill="#fff"/><text x="10" y="20" fill="#555">{title}</text>'
        + "".join(rows)
        + "</svg>\n"
    )


if __name__ == "__main__":
    main()
