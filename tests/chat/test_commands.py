"""The commands of the chat, each as it is typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import KEY
from screen import Screen
from server import Server, answer, http_error, models
from streaming_chat.chat.commands import COMMANDS

PROMPT = re.compile(r"^You:\Z", re.MULTILINE)


def say(screen: Screen, line: str) -> str:
    """Type a line, wait for the next prompt, and return what is between the two."""
    start = len(screen.text)
    screen.line(line)
    end = screen.wait_for(PROMPT, after=screen.wait_for(re.compile(r"\n"), after=start))
    return screen.text[start : end.start()].partition("\n")[2].rstrip("\n")


def prompts(server: Server) -> list[str]:
    return [request.json["messages"][-1]["content"] for request in server.chats]


@pytest.fixture
def editor(tmp_path: Path):
    """Make an editor of a shell script; `$1` is the file."""

    def make(script: str) -> str:
        path = tmp_path / "an editor.sh"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        return f"'{path}'"

    return make


def test_help_lists_every_command(chat):
    screen = chat(columns=120)
    lines = say(screen, "/help").splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    for line, command in zip(lines, COMMANDS.values(), strict=True):
        assert command.arguments in line
        assert line.endswith(f"  {command.help}")
    assert say(screen, "  /help")  # A blank before the slash: a message.
    assert "there is no command /hlep\nhint: did you mean /help?" in say(screen, "/hlep")


def test_config_shows_values_origins_and_never_the_key(world, chat):
    world.configure('max_tokens = 99\nsystem = "From the file"\n')
    screen = chat("--temperature", "0.5", env={"STREAMING_CHAT_TOP_P": "0.25"}, columns=500, lines=50)
    say(screen, "/set retries 7")
    shown = say(screen, "/config")
    for wanted in (
        r"temperature +0\.5 +--temperature",
        r"top_p +0\.25 +STREAMING_CHAT_TOP_P in the environment",
        rf"max_tokens +99 +{re.escape(str(world.config_file))}, line 1",
        rf"system +From the file +{re.escape(str(world.config_file))}, line 2",
        r"retries +7 +the chat",
        r"timeout +600 +built-in",
        r"api_key +…cdef +OPENAI_API_KEY in the environment",
        r"log +none",
    ):
        assert re.search(rf"^{wanted}$", shown, re.MULTILINE), (wanted, shown)
    assert KEY.encode() not in screen.raw
    assert KEY[:-4].encode() not in screen.raw


@pytest.mark.parametrize("command", ["/exit", "/quit", "/exit "])
def test_exit_and_quit_leave(chat, server, command):
    screen = chat()
    screen.line(command)
    assert screen.wait_for_exit() == 0
    assert screen.tty_attributes() == screen.tty_attributes_at_start
    assert not server.requests


def test_model_shows_and_changes_the_model(chat, server):
    screen = chat("--model", "one")
    assert say(screen, "/model") == "model: one"
    assert say(screen, "/model two/large:free") == "model: two/large:free"
    say(screen, "hi")
    assert say(screen, "/set model three") == "model: three"
    say(screen, "hi")
    assert [request.json["model"] for request in server.chats] == ["two/large:free", "three"]


def test_models_asks_the_endpoint(chat):
    with Server(models_script=models("zeta", "alpha")) as server:
        screen = chat(env={"OPENAI_BASE_URL": server.base_url})
        assert say(screen, "/models") == "alpha\nzeta"
        assert [(request.method, request.path) for request in server.requests] == [("GET", "/v1/models")]
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    # The server is gone: an error, and the chat goes on.
    assert re.search(r"\Aerror: .+\nhint: .+", say(screen, "/models"), re.DOTALL)
    with Server(models_script=http_error(404, "not here")) as server:
        screen = chat(env={"OPENAI_BASE_URL": server.base_url})
        assert re.search(r"\Aerror: .+\nhint: .+", say(screen, "/models"), re.DOTALL)
        assert "Hello, world!" in say(screen, "hi")


def test_system_shows_changes_and_removes_the_system_message(chat, server):
    screen = chat()
    assert say(screen, "/system") == "system: –"
    say(screen, "no system")
    assert say(screen, "/system You  are terse.") == "system: You  are terse."
    say(screen, "terse")
    screen.send("/system First\\\r")
    say(screen, "second")
    say(screen, "two lines")
    assert say(screen, "/system off") == "system: –"
    say(screen, "none again")
    assert [[m["content"] for m in request.json["messages"]] for request in server.chats] == [
        ["no system"],
        ["You  are terse.", "terse"],
        ["First\nsecond", "two lines"],
        ["none again"],
    ]


def test_set_changes_what_the_next_request_has(chat, server):
    screen = chat("--temperature", "1.5")
    # Each way in which people write it.
    assert say(screen, "/set temperature 0.25") == "temperature: 0.25"
    assert say(screen, "/set top-p = 0.5") == "top_p: 0.5"
    assert say(screen, "/set max_tokens=12") == "max_tokens: 12"
    assert say(screen, "/set system Be = terse.") == "system: Be = terse."
    assert say(screen, "/set retries 0") == "retries: 0"
    assert say(screen, "/set model other") == "model: other"
    assert say(screen, "/set top_p") == "top_p: –"
    assert say(screen, "/set").splitlines() == [
        "model: other",
        "temperature: 0.25",
        "top_p: –",
        "max_tokens: 12",
        "system: Be = terse.",
        "context_tokens: –",
        "max_time: –",
        "retries: 0",
        "theme: dark",
        "reasoning: show",
    ]
    server.play(http_error(500), answer(["never asked for"]))
    assert "error: " in say(screen, "hi")
    (request,) = server.chats  # No retry.
    assert request.json == {
        "model": "other",
        "messages": [{"role": "system", "content": "Be = terse."}, {"role": "user", "content": "hi"}],
        "temperature": 0.25,
        "max_tokens": 12,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert say(screen, "/set temperature") == "temperature: –"
    say(screen, "hi")
    assert "temperature" not in server.chats[1].json


def test_a_value_that_cannot_be_is_refused_and_changes_nothing(chat, server):
    screen = chat("--temperature", "0.5", columns=120)
    for line, words in (
        ("/set temperature 3", "temperature must be a number from 0 to 2, not 3"),
        ("/set temperature warm", "temperature must be a number"),
        ("/set top_p 2", "top_p must be"),
        ("/set top_p nan", "top_p must be"),
        ("/set max_tokens 0", "max_tokens must be a whole number from 1 on, not 0"),
        ("/set max_tokens 1.5", "max_tokens must be a whole number"),
        ("/set retries -1", "retries must be a whole number from 0 on, not -1"),
    ):
        shown = say(screen, line)
        assert re.match(rf"error: {words}", shown), shown
        assert re.search(r"^hint: \S", shown, re.MULTILINE), shown
    assert say(screen, "/set temprature 1") == (
        "error: temprature cannot be set in the chat\nhint: did you mean temperature?"
    )
    assert re.match(r"error: zzz cannot be set in the chat\nhint: these can: model, temperature", say(screen, "/set zzz 1"))
    # What says where to send the key is not for the chat to change.
    assert say(screen, "/set base_url http://127.0.0.1:9/v1").startswith("error: base_url cannot be set in the chat")
    say(screen, "hi")
    assert server.chats[0].json == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_retry_asks_the_same_again(chat, server):
    server.play(answer(["first"]), answer(["second"]), http_error(400), answer(["third"]))
    screen = chat()
    assert re.match(r"error: there is nothing to ask again\nhint: ", say(screen, "/retry"))
    assert "first" in say(screen, "a\\\rb")
    assert "second" in say(screen, "/retry")
    assert "error:" in say(screen, "other")
    say(screen, "/model changed")
    assert "third" in say(screen, "/retry")
    assert prompts(server) == ["a\nb", "a\nb", "other", "other"]
    assert [len(request.json["messages"]) for request in server.chats] == [1] * 4
    assert server.chats[3].json["model"] == "changed"


def test_retry_in_a_stateful_chat_takes_the_last_answer_back(chat, server):
    server.play(answer(["zero"]), answer(["first"]), answer(["second"]), answer(["third"]))
    screen = chat("--stateful")
    for line in ("earlier", "a", "/retry", "b"):
        say(screen, line)
    assert [[one["content"] for one in request.json["messages"]] for request in server.chats] == [
        ["earlier"],
        ["earlier", "zero", "a"],
        ["earlier", "zero", "a"],
        ["earlier", "zero", "a", "second", "b"],
    ]


def test_timing_shows_every_figure_of_the_last_answer(chat, server):
    server.play(answer(["a", "b", "c"], delay=0.02, usage={"completion_tokens": 3}))
    screen = chat()
    assert re.match(r"error: there is no answer yet\nhint: ", say(screen, "/timing"))
    line = re.search(r"first token: (\S+) · total: (\S+) · (\S+) tokens/s\)", say(screen, "hi"))
    assert line
    shown = dict(re.findall(r"^  (\S+(?: \S+)?)  +(.+)$", say(screen, "/timing"), re.MULTILINE))
    assert {*shown} == {"headers", "first reasoning", "first token", "total", "gaps", "tokens/s", "attempts"}
    assert (shown["first token"], shown["total"], shown["tokens/s"]) == line.groups()
    assert shown["attempts"] == "1"
    assert re.match(r"p50 \d\.\d{3}s · p95 \d\.\d{3}s · max \d\.\d{3}s", shown["gaps"])


def test_edit_sends_what_the_editor_saved(chat, server, editor):
    screen = chat(
        env={
            "EDITOR": editor('printf "%s\\n\\nsecond\\n" "$(cat "$1") edited" > "$1"; cp "$1" copy; stat -c %a "$1" > mode')
        }
    )
    shown = say(screen, "/edit some text")
    assert "some text edited\n\nsecond\nAssistant (streaming...):\nHello, world!" in shown
    assert "Hello, world!" in say(screen, "/edit")
    assert prompts(server) == ["some text edited\n\nsecond", " edited\n\nsecond"]
    assert "Hello, world!" in say(screen, "/retry")
    assert prompts(server)[-1] == prompts(server)[-2]


def test_an_editor_that_fails_or_saves_nothing_sends_nothing(world, chat, server, editor):
    script = editor('test -e fail && exit 3; : > "$1"')
    screen = chat(env={"EDITOR": "not used", "VISUAL": script}, columns=500)
    assert "notice: nothing written, nothing sent" in say(screen, "/edit text")
    (world.folder / "fail").touch()
    assert re.match(r"error: the editor .* ended with status 3; nothing is sent\nhint: ", say(screen, "/edit text"))
    screen.line("/exit")
    assert screen.wait_for_exit() == 0
    for missing in ("no-such-editor --wait", "unbalanced '"):
        screen = chat(env={"EDITOR": missing}, columns=200)
        assert re.match(r"error: the editor .* cannot be started: .+\nhint: set EDITOR", say(screen, "/edit"))
    assert "Hello, world!" in say(screen, "still here")
    assert prompts(server) == ["still here"]


def test_an_unknown_command_names_the_nearest_and_is_not_sent(chat, server):
    screen = chat(columns=120)
    for line, name, nearest in (
        ("/modell x", "/modell", "/model"),
        ("/sytem", "/sytem", "/system"),
        ("/ex", "/ex", "/exit"),
    ):
        assert say(screen, line) == f"error: there is no command {name}\nhint: did you mean {nearest}?"
    assert say(screen, "/qqqqqqqq").startswith("error: there is no command /qqqqqqqq\nhint: /help lists the commands")
    assert not server.requests


def test_a_line_that_only_looks_like_a_command_is_a_message(chat, server):
    screen = chat()
    for line in ("/etc/hosts what is this", " /exit", "/usr/bin/env", "what does /exit do?", "//"):
        assert "Hello, world!" in say(screen, line)
    assert prompts(server) == ["/etc/hosts what is this", "/exit", "/usr/bin/env", "what does /exit do?", "//"]
