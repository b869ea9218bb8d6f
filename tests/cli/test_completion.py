"""`completion`: the scripts in real shells. They ask no server, and no name of a model is obeyed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pexpect
import pytest

from conftest import KEY, World
from server import Server, models

#: What is typed → what must be offered, and what must not.
CASES = [
    ("streaming-chat his", {"history"}, {"models"}),
    ("streaming-chat ", {"config", "history", "models", "man", "completion", "help"}, {"ask", "chat"}),
    ("streaming-chat history exp", {"export"}, set()),
    ("streaming-chat history ", {"list", "show", "export"}, {"history"}),
    ("streaming-chat history export --for", {"--format", "--force"}, set()),
    ("streaming-chat history export --format ", {"md", "html", "json", "cast", "svg"}, set()),
    ("streaming-chat --no-col", {"--no-color"}, set()),
    ("streaming-chat history --no-col", {"--no-color"}, set()),
    ("streaming-chat --theme ", {"dark", "light", "plain"}, {"history"}),
    ("streaming-chat --model gpt", {"gpt-4o", "gpt-4o-mini"}, {"history"}),
    ("streaming-chat -m org/", {"org/llama:7b"}, set()),
    ("streaming-chat --model x history sho", {"show"}, set()),
    ("streaming-chat completion ", {"bash", "zsh", "fish"}, set()),
    ("streaming-chat config ", {"trust", "untrust"}, set()),
    ("streaming-chat history list --outcome com", {"complete"}, set()),
    ("streaming-chat --ca fil", {"file.pem"}, set()),
    ("streaming-chat help his", {"history"}, {"export"}),
    ("streaming-chat --reasoning=s", {"show"}, {"history"}),
    ("streaming-chat -qm gpt", {"gpt-4o"}, {"history"}),
    ("streaming-chat completion bash ", set(), {"bash", "zsh"}),
    ("streaming-chat hello his", set(), {"history"}),
    ("streaming-chat -- his", set(), {"history"}),
]
HOSTILE = ["$(touch got-in)", "`touch got-in`", "a;touch got-in", "a\ntouch got-in", "x'y", "a b", "-rf", "\x1b[2J", "é"]


def has(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


@pytest.fixture
def scripts(world: World) -> World:
    """The scripts, with names as `models` keeps them: no server is needed."""
    names = world.state / "model-names"
    names.parent.mkdir(parents=True, exist_ok=True)
    names.write_text("gpt-4o\ngpt-4o-mini\norg/llama:7b\n")
    (world.folder / "file.pem").touch()
    for shell in ("bash", "zsh", "fish"):
        done = world.run("completion", shell)
        assert (done.returncode, done.stderr) == (0, b"")
        (world.folder / f"script.{shell}").write_bytes(done.stdout)
    return world


def shell(world: World, *command: str) -> str:
    done = subprocess.run(
        command, cwd=world.folder, env=world.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(("line", "offered", "not_offered"), CASES)
def test_bash_offers(scripts: World, line: str, offered: set[str], not_offered: set[str]) -> None:
    code = (
        'source script.bash; COMP_LINE=$1; COMP_POINT=${#1}; COMPREPLY=(); _streaming_chat; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    found = set(shell(scripts, has("bash"), "--norc", "-c", code, "bash", line).split())
    # Bash replaces what comes after the last colon alone.
    whole = {f"org/llama:{one}" if one == "7b" else one for one in found}
    assert offered <= whole
    assert not not_offered & whole


@pytest.mark.parametrize(("line", "offered", "not_offered"), [case for case in CASES if " -- " not in case[0]])
def test_fish_offers(scripts: World, line: str, offered: set[str], not_offered: set[str]) -> None:
    if line in ("streaming-chat hello his", "streaming-chat completion bash "):
        not_offered = set()  # The script for fish looks at options and commands, not at places.
    found = shell(scripts, has("fish"), "--no-config", "-c", "source script.fish; complete -C $argv[1]", line)
    names = {row.partition("\t")[0].rpartition("=")[2] for row in found.splitlines()}
    assert offered <= names
    assert not not_offered & names


def test_zsh_completes_at_a_key(scripts: World) -> None:
    program = pexpect.spawn(
        has("zsh"), ["-f", "-i"], cwd=str(scripts.folder), env={**scripts.environment, "TERM": "dumb"}, encoding="utf-8"
    )
    try:
        program.sendline("PS1='ready> '; autoload -U compinit; compinit -u -D; source ./script.zsh; print set''up")
        program.expect("setup")
        for line, whole in [
            ("streaming-chat his", "history"),
            ("streaming-chat history exp", "export"),
            ("streaming-chat --no-col", "--no-color"),
            ("streaming-chat --theme d", "dark"),
            ("streaming-chat -m org", "org/llama:7b"),
            ("streaming-chat config untr", "untrust"),
            ("streaming-chat --ca fil", "file.pem"),
        ]:
            program.send(f"{line}\t")
            program.expect_exact(whole)
            program.send("\x15")
    finally:
        program.close(force=True)


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_scripts_are_read_without_an_error(scripts: World, name: str) -> None:
    assert shell(scripts, has(name), "-n", f"script.{name}") == ""


def test_models_keeps_the_names_that_no_shell_could_obey(world: World) -> None:
    with Server(models_script=models("gpt-4o", "org/llama:7b", *HOSTILE)) as server:
        done = world.run("models", "--base-url", server.base_url, env={"OPENAI_API_KEY": KEY})
    assert done.returncode == 0
    kept = world.state / "model-names"
    assert kept.read_text().splitlines() == ["gpt-4o", "org/llama:7b"]
    assert kept.stat().st_mode & 0o777 == 0o600
    script = world.run("completion", "bash").stdout.decode()
    (world.folder / "script.bash").write_text(script)
    code = "source script.bash; COMP_LINE='streaming-chat -m '; COMP_POINT=18; _streaming_chat; echo ${COMPREPLY[@]}"
    assert shell(world, has("bash"), "--norc", "-c", code) == "gpt-4o org/llama:7b\n"
    assert not (world.folder / "got-in").exists()


@pytest.mark.parametrize("flag", ["--no-history", "--private"])
def test_a_session_that_keeps_nothing_keeps_no_names(world: World, server: Server, flag: str) -> None:
    done = world.run("models", flag, "--base-url", server.base_url, env={"OPENAI_API_KEY": KEY})
    assert done.returncode == 0
    assert not (world.state / "model-names").exists()


@pytest.mark.parametrize("arguments", [[], ["tcsh"], ["bash", "zsh"]])
def test_another_shell_is_an_error_with_a_hint(world: World, arguments: list[str]) -> None:
    done = world.run("completion", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: ")
    assert b"hint: " in done.stderr


def test_a_path_with_a_quote_is_a_path(world: World, tmp_path: Path) -> None:
    state = tmp_path / "it's $(here)"
    (state / "streaming-chat").mkdir(parents=True)
    (state / "streaming-chat" / "model-names").write_text("quoted-model\n")
    for name in ("bash", "fish"):
        script = world.run("completion", name, env={"XDG_STATE_HOME": str(state)}).stdout
        (world.folder / f"script.{name}").write_bytes(script)
    code = "source script.bash; COMP_LINE='streaming-chat -m '; COMP_POINT=18; _streaming_chat; echo ${COMPREPLY[@]}"
    assert shell(world, has("bash"), "--norc", "-c", code) == "quoted-model\n"
    found = shell(world, has("fish"), "--no-config", "-c", "source script.fish; complete -C 'streaming-chat -m '")
    assert "quoted-model" in found
