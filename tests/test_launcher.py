"""The launcher of the project page, as the page has it: a new environment with two packages and a key."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from conftest import KEY, ROOT
from server import answer

LAUNCHER = "projects/02-streaming-chat/streaming_chat.py"


@pytest.fixture(scope="module")
def two_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with `openai==2.9.0` and `python-dotenv`, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("two-packages")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    # The pip of the tests' own environment: a new one would be made for nothing.
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "openai==2.9.0", "python-dotenv"], check=True, timeout=300)
    return python


def test_the_launcher_chats_with_two_packages_and_sends_every_flag(two_packages, world, server):
    server.play(answer(["Hello", " there"]), answer(["Again"]))
    screen = world.screen(
        *("--model", "gpt-4o-mini", "--temperature", "0.7", "--top_p", "1.0", "--max-tokens", "256"),
        *("--system", "You are a helpful assistant.", "--no-color"),
        program=(str(two_packages), str(ROOT / LAUNCHER)),
        env={"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.base_url},
    )
    screen.wait_for("You:")
    screen.line("Hi?")
    screen.wait_for("Assistant (streaming...):")
    screen.wait_for("Hello there")
    latency = screen.wait_for(re.compile(r"\(first token: \d+\.\d{3}s · total: \d+\.\d{3}s.*\)"))
    screen.wait_for("You:", after=latency)
    screen.line("And?")
    screen.wait_for("Again")
    screen.wait_for(re.compile(r"\(first token: .*\)"), after=latency)
    screen.line("/exit")
    assert screen.wait_for_exit() == 0

    # Every answer's request is its own: nothing of the first one is in the second.
    for request, prompt in zip(server.chats, ["Hi?", "And?"], strict=True):
        assert request.json == {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": prompt},
            ],
            "temperature": 0.7,
            "top_p": 1.0,
            "max_tokens": 256,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        assert request.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in screen.text
    assert b"\x1b[3" not in screen.raw, "no colour was asked for"


def test_the_launcher_answers_one_shot_into_a_pipe(two_packages, world, server):
    server.play(answer(["Hello", " there"]))
    done = world.run(
        "Hi?",
        program=(str(two_packages), str(ROOT / LAUNCHER)),
        env={"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.base_url},
    )
    assert (done.returncode, done.stdout) == (0, b"Hello there\n"), done.stderr.decode()


def test_the_launcher_says_what_is_missing(world, two_packages):
    done = world.run("Hi?", program=(str(two_packages), str(ROOT / LAUNCHER)))
    assert done.returncode == 3
    assert done.stderr.decode().startswith("error: no key: OPENAI_API_KEY is not set")


def test_the_launcher_exports_what_it_can_and_says_what_the_rest_needs(two_packages, world, server):
    program = (str(two_packages), str(ROOT / LAUNCHER))
    server.play(answer(["Hello"]))
    assert world.run("--base-url", server.base_url, "Hi?", program=program).returncode == 0
    for form, needed in (("json", None), ("cast", None), ("md", "markdown_it"), ("html", "markdown_it"), ("svg", "wcwidth")):
        done = world.run("history", "export", "1", "--format", form, program=program)
        if needed is None:
            assert (done.returncode, done.stderr) == (0, b"")
            assert b"Hello" in done.stdout
        else:
            assert done.returncode == 2
            assert done.stderr.startswith(
                f"error: {form} needs the library {needed}, which is not installed\nhint: pip ".encode()
            )


def test_the_launcher_is_twelve_lines_at_most():
    assert len((ROOT / LAUNCHER).read_text().splitlines()) <= 12
