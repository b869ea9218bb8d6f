"""The chat, as somebody at a terminal meets it."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import termios
import threading
import time
from pathlib import Path

import pytest

from screen import Screen
from server import LAST_FRAME, Gate, Hang, Send, Server, Step, answer, chunk, frame, head, http_error, models, sse
from streaming_chat.chat.commands import COMMANDS

LATENCY = r"\(first token: \d+\.\d{3}s · total: \d+\.\d{3}s\)"
#: The prompt with nothing typed behind it, as the last thing on the screen.
PROMPT = re.compile(r"^You:\Z", re.MULTILINE)
#: Every SGR but the reset, which switches no colour on.
STYLE = re.compile(rb"\x1b\[(?!0*m)[0-9;:]*m")


def ask(screen: Screen, question: str) -> str:
    """Ask, wait for the next prompt, and return what is between the two."""
    start = len(screen.text)
    screen.line(question)
    end = screen.wait_for(PROMPT, after=screen.wait_for(re.compile(r"\n"), after=start))
    return screen.text[start : end.start()]


def held(tokens: list[str], *gates: threading.Event) -> list[Step]:
    """An answer that waits for the first gate behind its first token, for the second behind its second, and so on."""
    script = answer(tokens)
    for position, gate in reversed(list(enumerate(gates, 3))):
        script.insert(position, Gate(gate))
    return script


def endless(text: str) -> list[Step]:
    """An answer that never ends."""
    return [*answer([text], finish_reason=None, done=False)[:-1], Hang()]


def modes_are_as_before(screen: Screen) -> bool:
    bracketed_paste = 2004 << 5
    return (
        screen.tty_attributes() == screen.tty_attributes_at_start
        and not screen.cursor_hidden
        and bracketed_paste not in screen._terminal.mode
    )


# What it looks like ---------------------------------------------------------------------------------------------------


def test_the_header_tells_model_endpoint_settings_and_commands(chat, server):
    screen = chat(
        *["--model", "m-1", "--temperature", "0.7", "--top_p", "1.0", "--max-tokens", "256", "--retries", "2"],
        *["--system", "Be brief."],
        columns=160,
    )
    header = screen.text.splitlines()
    assert header[0].endswith(f" · m-1 · {server.base_url}")
    # `--retries 2` is the default.
    assert header[1] == "settings: temperature 0.7 · top_p 1 · max_tokens 256 · system Be brief."
    assert "stateless" in header[2]
    assert header[3] == "commands: " + " ".join(COMMANDS)
    assert {"/help", "/config", "/exit", "/quit", "/model", "/models", "/system", "/set", "/retry", "/timing"} <= {*COMMANDS}
    ask(screen, "hi")
    assert STYLE.search(screen.raw), "the checks for no colour at all would see none anyway"
    assert {key: value for key, value in server.chats[0].json.items() if not key.startswith(("messages", "stream"))} == {
        "model": "m-1",
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 256,
    }
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert modes_are_as_before(screen)


def test_each_token_is_on_the_screen_before_the_next_is_sent(chat, server):
    first, second = threading.Event(), threading.Event()
    server.play(held(["Once", " upon", " a time"], first, second), answer(["fin"], usage={"completion_tokens": 5}))
    screen = chat()
    assert "settings:" not in screen.text
    start = len(screen.text)
    screen.line("tell me")
    screen.wait_for(re.compile(r"^You: tell me\nAssistant \(streaming\.\.\.\):\nOnce\Z", re.MULTILINE))
    first.set()
    screen.wait_for(re.compile(r"Once upon\Z"), after=start)
    second.set()
    screen.wait_for(PROMPT, after=screen.wait_for("total:", after=start))
    assert re.fullmatch(
        rf" tell me\nAssistant \(streaming\.\.\.\):\nOnce upon a time\n{LATENCY}\n\nYou:", screen.text[start:]
    ), screen.drawing()
    # Further figures stand behind the total, inside the parentheses; this one only with a rate to tell.
    assert re.search(r"\n\(first token: \S+s · total: \S+s( · \S+ tokens/s)?\)\n", ask(screen, "again"))


def test_wide_characters_and_emoji_show_and_are_sent(chat, server):
    server.play(answer(["雪が", "降る ", "👋", "🏽 e", "\u0301 ", "👨‍👩‍👧"]))
    screen = chat()
    shown = ask(screen, "雪? 🎉 ñ")
    assert "雪? 🎉 ñ" in shown
    assert "雪が降る 👋🏽 é 👨‍👩‍👧" in shown
    assert server.chats[0].json["messages"][-1]["content"] == "雪? 🎉 ñ"


# What is sent ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_every_message_is_asked_on_its_own(chat, server, system):
    screen = chat(*(("--system", system) if system else ()))
    for question in ("one", "two", "three"):
        ask(screen, question)
    head_ = [{"role": "system", "content": system}] if system else []
    assert [request.json for request in server.chats] == [
        {
            "model": "gpt-4o-mini",
            "messages": [*head_, {"role": "user", "content": question}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        for question in ("one", "two", "three")
    ]


def test_a_stateful_chat_sends_earlier_whole_turns_along(chat, server):
    server.play(answer(["first"]), answer(["half"], finish_reason=None, done=False), http_error(400), answer(["last"]))
    screen = chat("--stateful", "--system", "S")
    assert "stateful" in screen.text
    for question in ("one", "two", "three", "four"):
        ask(screen, question)
    assert [(m["role"], m["content"]) for m in server.chats[3].json["messages"]] == [
        ("system", "S"),
        ("user", "one"),
        ("assistant", "first"),
        ("user", "four"),
    ]


def test_empty_input_asks_again(chat, server):
    screen = chat()
    for typed in ("", "   ", "\t"):
        start = len(screen.text)
        screen.line(typed)
        screen.wait_for(re.compile(r"\n\nYou:\Z"), after=start)
    assert "Hello, world!" in ask(screen, "hi")
    assert len(server.requests) == 1
    assert screen.text.count("Assistant") == 1


def test_a_message_may_have_several_lines(chat, server):
    screen = chat()
    screen.send("one\\\rtwo")
    screen.key("alt-enter")
    screen.wait_for(re.compile(r"^\.\.\.  two\n\.\.\.$", re.MULTILINE))
    assert "Hello, world!" in ask(screen, "three \\ four")
    screen.paste("def f():\n\treturn 1\n\nf()\\")
    screen.wait_for("f()\\")
    screen.key("space")
    ask(screen, "")
    assert [request.json["messages"][0]["content"] for request in server.chats] == [
        "one\ntwo\nthree \\ four",
        "def f():\n\treturn 1\n\nf()\\",
    ]


# What comes back ------------------------------------------------------------------------------------------------------


def test_chunks_without_text_are_no_part_of_the_answer(chat, server):
    chunks = [
        chunk(role="assistant"),
        chunk(""),
        chunk(choices=[]),
        chunk(delta={"content": None}),
        chunk("whole"),
        chunk(choices=[]),
        chunk("", finish_reason="stop"),
        chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}),
        "[DONE]",
    ]
    server.play([Send(head()), *(Send(frame(sse(one))) for one in chunks), Send(LAST_FRAME)])
    screen = chat()
    screen.line("hi")
    screen.wait_for(re.compile(rf"Assistant \(streaming\.\.\.\):\nwhole\n{LATENCY}\n\nYou:\Z"))
    assert "notice:" not in screen.text


def test_a_notice_says_when_an_answer_did_not_stop_by_itself(chat, server):
    screen = chat(columns=120)
    for reason in ("length", "content_filter", "tool_calls", "eos\x1b[2J"):
        server.play(answer(["so far"], finish_reason=reason))
        shown = ask(screen, reason[:3])
        assert re.search(rf"^so far\nnotice: .*{reason[:3]}.*\n", shown, re.MULTILINE), shown
        assert re.search(rf"^{LATENCY}$", shown, re.MULTILINE)
    assert "finish_reason: eos^[[2J" in screen.text
    server.play(answer(["so far"], finish_reason=None, done=False))
    assert "\nnotice: the answer is cut" in ask(screen, "cut")
    server.play(answer([]))
    assert "\nnotice: the answer is empty" in ask(screen, "empty")
    server.play(answer(["all"]))
    assert "notice" not in ask(screen, "whole")


def test_an_error_never_ends_the_chat(chat, server):
    screen = chat("--retries", "0", "--timeout", "1.5", columns=120)
    failures = [
        (
            http_error(401, {"error": {"message": "Incorrect API key\x1b[2J\nprovided", "code": "invalid_api_key"}}),
            "401|key",
        ),
        (http_error(500, {"error": {"message": "The server had an error"}}), "The server had an error"),
        (http_error(404, {"error": {"message": "no such model"}}), "no such model"),
        ([Send(head(content_type="text/html")), Send(frame(b"<html>")), Send(LAST_FRAME)], "web page"),
        ([Hang()], r"1\.5 s"),
        (endless("stalled"), r"1\.5 s"),
    ]
    for script, words in failures:
        server.play(script)
        shown = ask(screen, "hi")
        assert re.search(rf"^error: .*({words})", shown, re.MULTILINE), shown
        assert re.search(r"^hint: \S", shown, re.MULTILINE), shown
        assert "Traceback" not in shown
    assert "key^[[2J provided" in screen.text.replace("\n", "")
    assert "stalled" in screen.text
    server.play(answer(["fine again"]))
    assert "fine again" in ask(screen, "and now?")
    server.stop()
    shown = ask(screen, "anybody there?")
    assert re.search(r"^error: .*\n(.*\n)?hint: ", shown, re.MULTILINE), shown
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0


def test_what_a_server_says_cannot_act_on_the_terminal(chat):
    hostile = "\x1b]0;owned\x07\x1b[5;5H\x9b31m\u202e\x08\r"
    shown_as = "^[]0;owned^G^[[5;5H<9B>31m<U+202E>^H"
    with Server(
        answer([*hostile, "\x1b", "]52;c;AAAA", "\x07"], finish_reason="stop" + hostile, model=hostile),
        http_error(400, {"error": {"message": "bad " + hostile, "type": hostile}}, {"x-request-id": "id"}),
        models_script=models("plain-1", "plain-2", "plain-" + hostile),
    ) as server:
        screen = chat(env={"OPENAI_BASE_URL": server.base_url}, columns=200)
        assert shown_as in ask(screen, "hi")
        assert f"finish_reason: stop{shown_as}" in screen.text
        assert f"bad {shown_as}" in ask(screen, "hi")
        assert f"plain-{shown_as}" in ask(screen, "/models")
        screen.send("/model \t")
        screen.wait_for(re.compile(r"/model plain-\Z"))
        screen.send("\t")
        screen.wait_for(re.compile(r"^plain-1 +plain-2$", re.MULTILINE))
        for bad in (b"\x1b]0;owned", b"\x1b]52", b"\x1b[5;5H", b"\x07", "\x9b".encode(), "\u202e".encode()):
            assert bad not in screen.raw
        assert screen.text.startswith("streaming-chat ")


# Ctrl-C and Ctrl-D ----------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_the_answer_alone_and_at_once(chat, server):
    server.play(endless("half an answer"))
    screen = chat()
    delays = []
    # Until two were at once: other work may hold one up, and what waits for a timer is never at once.
    for count in range(25):
        start = len(screen.text)
        screen.line("hi")
        screen.wait_for("half an answer", after=start)
        pressed = time.perf_counter()
        screen.key("ctrl-c")
        screen.wait_for(PROMPT, after=screen.wait_for("total:", after=start))
        delays.append(next(at for at, data in screen.reads if at > pressed and b"You:" in data) - pressed)
        server.wait_for_close(server.exchanges[count])
        assert server.exchanges[count].interrupted_at is not None
        assert re.search(rf"\nhalf an answer\nnotice: interrupted: .*\n{LATENCY}\n\nYou:\Z", screen.text[start:]), (
            screen.drawing()
        )
        if len([delay for delay in delays if delay < 0.1]) == 2:
            break
    assert sorted(delays)[1] < 0.1, delays
    server.play(answer(["a whole answer"]))
    assert "a whole answer" in ask(screen, "once more")
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert modes_are_as_before(screen)


def test_ctrl_c_before_the_first_token_returns_to_the_prompt(chat, server):
    server.play([Hang()])
    screen = chat()
    start = len(screen.text)
    screen.line("hi")
    server.wait_for_requests(1)
    screen.key("ctrl-c")
    screen.wait_for(PROMPT, after=screen.wait_for("interrupted", after=start))
    server.wait_for_close(server.exchanges[0])


def test_keys_are_not_echoed_into_an_answer_that_goes_on_after_a_stop(chat, server):
    server.play(answer([f"w{number:03d} " for number in range(150)], delay=0.02))
    screen = chat()
    screen.line("hi")
    screen.wait_for("w010")
    silent = screen.tty_attributes()
    # As a shell does it: stopped, the terminal as it likes it, and on again.
    os.kill(screen.pid, signal.SIGSTOP)
    screen.set_tty_attributes(screen.tty_attributes_at_start)
    os.kill(screen.pid, signal.SIGCONT)
    screen.wait_until(lambda: screen.tty_attributes() == silent)
    screen.wait_for("w149")


def test_an_impatient_second_ctrl_c_does_not_end_the_chat(chat, server):
    screen = chat()
    for _ in range(6):
        server.play(endless("half"), answer(["complete"]))
        start = len(screen.text)
        screen.line("hi")
        screen.wait_for("half", after=start)
        screen.send("\x03\x03")
        screen.wait_for("interrupted", after=start)
        screen.line("next")
        screen.wait_for(PROMPT, after=screen.wait_for("complete", after=start))
    assert [request.json["messages"][0]["content"] for request in server.chats] == ["hi", "next"] * 6, screen.text
    assert "Traceback" not in screen.text


def test_ctrl_c_at_the_prompt_clears_the_line_and_twice_in_a_row_leaves(chat, server):
    screen = chat()

    def clear() -> None:
        start = len(screen.text)
        screen.key("ctrl-c")
        screen.wait_for(PROMPT, after=screen.wait_for(re.compile(r"\n"), after=start))

    screen.send("abc")
    screen.wait_for("You: abc")
    clear()
    assert "Hello, world!" in ask(screen, "def")
    assert server.chats[0].json["messages"][0]["content"] == "def"
    clear()
    # Somebody who types in between does not want to leave.
    screen.send("ghi")
    screen.wait_for("You: ghi")
    clear()
    screen.line("")
    screen.wait_for(re.compile(r"You:\n\nYou:\Z"))
    clear()
    screen.key("ctrl-c")
    assert screen.wait_for_exit() == 0
    assert modes_are_as_before(screen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_chat_leaves_the_terminal_as_it_was(chat, server, number):
    screen = chat()
    os.kill(screen.pid, number)
    assert screen.wait_for_exit() == 128 + number
    assert modes_are_as_before(screen), screen.drawing()
    assert "Traceback" not in screen.text

    server.play(endless("half"))
    screen = chat()
    screen.line("hi")
    screen.wait_for("half")
    os.kill(screen.pid, number)
    assert screen.wait_for_exit() == 128 + number
    server.wait_for_close(server.exchanges[0])
    assert modes_are_as_before(screen), screen.drawing()
    assert "Traceback" not in screen.text


def test_ctrl_z_suspends_the_chat_and_gives_the_terminal_back(chat):
    screen = chat()
    screen.send("half")
    screen.wait_for("You: half")
    screen.key("ctrl-z")
    deadline = time.perf_counter() + 60
    while Path(f"/proc/{screen.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.perf_counter() < deadline, screen.drawing()
    # The local modes (echo, lines, signals). prompt_toolkit leaves IXON off here; a shell sets its own modes anyway.
    assert screen.tty_attributes()[3] == screen.tty_attributes_at_start[3]
    screen.wait_until(lambda: screen.raw.endswith(b"\x1b[?2004l"))
    os.kill(screen.pid, signal.SIGCONT)
    screen.wait_for(re.compile(r"^You: half\Z", re.MULTILINE))
    assert "Hello, world!" in ask(screen, " a question")


def test_keys_pressed_while_an_answer_streams_wait_for_the_next_prompt(chat, server):
    go = threading.Event()
    server.play(held(["one", " two"], go), answer(["three"]))
    screen = chat()
    screen.line("hi")
    screen.wait_for("one")
    typed = "second\rthird"
    screen.send(typed)
    # Only whole lines count here; the bytes behind the last Enter were sent with it.
    deadline = time.perf_counter() + 60
    while struct.unpack("i", fcntl.ioctl(screen._inner, termios.FIONREAD, b"\0" * 4))[0] < len("second\r"):
        assert time.perf_counter() < deadline
        os.sched_yield()
    go.set()
    screen.wait_for(
        re.compile(
            rf"\(streaming\.\.\.\):\none two\n{LATENCY}\n\nYou: second\n"
            rf"Assistant \(streaming\.\.\.\):\nthree\n{LATENCY}\n\nYou: third\Z"
        )
    )
    screen.send("\x15")
    assert [request.json["messages"][0]["content"] for request in server.chats] == ["hi", "second"]


# Typing ---------------------------------------------------------------------------------------------------------------


def test_typed_lines_are_there_at_the_next_start(chat, world, server):
    screen = chat()
    ask(screen, "alpha question")
    ask(screen, "beta\\\rquestion")
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert (world.state / "typed").stat().st_mode & 0o777 == 0o600
    assert world.state.stat().st_mode & 0o777 == 0o700

    screen = chat()
    screen.key("up")
    screen.wait_for(re.compile(r"You: beta\n\.\.\.  question\Z"))
    screen.key("ctrl-c")
    screen.wait_for(PROMPT)
    screen.key("ctrl-r")
    screen.send("alp")
    screen.wait_for("alpha question")
    # The first Enter takes what was found, the second sends it.
    screen.key("enter")
    screen.wait_for(re.compile(r"You: alpha question\Z"))
    screen.key("enter")
    screen.wait_for("Assistant")
    assert server.wait_for_requests(3)[2].json["messages"] == [{"role": "user", "content": "alpha question"}]


def test_no_history_keeps_no_typed_lines(chat, world):
    screen = chat("--no-history")
    ask(screen, "a secret")
    screen.key("up")
    screen.wait_for(re.compile(r"You: a secret\Z"))
    screen.key("ctrl-c")
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert not world.state.exists()


def test_tab_completes_commands_settings_and_models(chat, server):
    screen = chat()
    for typed, completed in (
        ("/conf\t", "/config"),
        ("/set temp\t", "/set temperature"),
        ("/model \t", "/model test-model"),
    ):
        screen.send(typed)
        screen.wait_for(re.compile(rf"You: {completed}\Z"))
        screen.send("\x15")
        screen.wait_for(PROMPT)
    screen.send("/mo\t")
    screen.wait_for("You: /model")
    screen.send("\t")
    screen.wait_for(re.compile(r"^/model +/models$", re.MULTILINE))
    assert [request.method for request in server.requests] == ["GET"]


def test_a_model_list_that_does_not_come_leaves_the_prompt_usable(chat):
    with Server(models_script=[Hang()]) as server:
        screen = chat(env={"OPENAI_BASE_URL": server.base_url})
        screen.send("/model \tabc")
        screen.wait_for("/model abc")
        ask(screen, "")
        assert "Hello, world!" in ask(screen, "hi")
        assert server.chats[0].json["model"] == "abc"


@pytest.mark.parametrize(
    ("flags", "environment"),
    [(["--no-color"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})],
    ids=["--no-color", "NO_COLOR", "TERM=dumb"],
)
def test_no_colour_means_none_at_all(chat, server, flags, environment):
    screen = chat(*flags, "--retries", "0", env=environment)
    server.play(answer(["cut"], finish_reason="length"), http_error(500))
    assert "notice:" in ask(screen, "hi")
    assert "error:" in ask(screen, "hi")
    assert "/retry" in ask(screen, "/help")
    assert not STYLE.search(screen.raw), STYLE.findall(screen.raw)
    if environment.get("TERM") == "dumb":
        assert b"\x1b" not in screen.raw


# Starting -------------------------------------------------------------------------------------------------------------


def test_the_prompt_is_there_before_the_sdk_is_imported(chat, tmp_path: Path):
    package = tmp_path / "packages" / "openai"
    package.mkdir(parents=True)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # Opening a FIFO for reading waits for somebody who opens it for writing: here, for ever.
    package.joinpath("__init__.py").write_text("import os\nprint('IMPORTING', flush=True)\nopen(os.environ['FIFO'])\n")
    screen = chat(env={"PYTHONPATH": str(package.parent), "FIFO": str(fifo)})
    screen.wait_for("IMPORTING")
    screen.send("\x15typed meanwhile")
    screen.wait_for("typed meanwhile")
    # A question waits for the import, and Ctrl-C ends that wait like any other.
    screen.key("enter")
    label = screen.wait_for("Assistant (streaming...):")
    screen.key("ctrl-c")
    screen.wait_for(PROMPT, after=screen.wait_for("interrupted", after=label))
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert modes_are_as_before(screen)


@pytest.mark.parametrize("keys", ["\x04", "/exit\r"])
def test_what_is_typed_at_any_moment_waits_for_the_prompt(chat, server, keys):
    # Between the end of the answer and the prompt too: a moment in which the terminal must not go back to its own ways.
    server.play(answer(["Hello"]))
    screen = chat()
    screen.line("hi")
    screen.wait_for("Hello")
    screen.send(keys)
    assert screen.wait_for_exit() == 0


def test_an_answer_that_is_ended_before_it_began_says_so(chat, server):
    server.play([Hang()])
    screen = chat()
    screen.line("hi")
    server.wait_for_requests(1)
    screen.key("ctrl-c")
    screen.wait_for("notice: interrupted before the answer began; /retry asks again")


def test_a_paste_while_an_answer_streams_stays_one_message(chat, server):
    go = threading.Event()
    steps = answer(["one ", "two"])
    first = next(number for number, step in enumerate(steps) if b"one" in getattr(step, "data", b""))
    server.play([*steps[: first + 1], Gate(go), *steps[first + 1 :]], answer(["three"]))
    screen = chat()
    screen.line("hi")
    screen.wait_for("one")
    screen.paste("first\nsecond\nthird")
    go.set()
    screen.wait_for("...  third")
    assert len(server.chats) == 1
    screen.key("enter")
    screen.wait_for("three")
    assert server.chats[1].json["messages"] == [{"role": "user", "content": "first\nsecond\nthird"}]


def test_the_embedded_models_name_cannot_be_changed_in_the_chat(world):
    screen = world.screen("--local")
    screen.wait_for("You:")
    screen.line("/model gpt-4o")
    screen.wait_for("error: the embedded model is the only one here")


def test_what_is_typed_in_an_ascii_locale_arrives(chat, server):
    server.play(answer(["ok"]))
    screen = chat(env={"PYTHONIOENCODING": "ascii"})
    screen.line("héllo 日本")
    screen.wait_for("ok")
    assert server.chats[0].json["messages"][0]["content"] == "héllo 日本"


def test_what_is_typed_at_the_prompt_that_is_there_before_the_editor_is_not_lost(world, server, tmp_path):
    # An editor whose import waits for the test.
    (tmp_path / "late").mkdir()
    gate = tmp_path / "gate"
    code = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    site = "import sys; sys.meta_path.insert(0, type('', (), {'find_spec': staticmethod(lambda name, *_: "
    site += "exec(compile(CODE, '', 'exec')) if name == 'prompt_toolkit' else None)})())"
    (tmp_path / "late" / "sitecustomize.py").write_text(f"CODE = {code!r}\n{site}\n")
    screen = world.screen(
        env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k", "PYTHONPATH": str(tmp_path / "late")}
    )
    screen.wait_for("You:")
    screen.key("ctrl-c")
    screen.line("first")
    screen.send("second")
    # All of it has been typed: what is not in a line yet does not count here.
    deadline = time.perf_counter() + 60
    while struct.unpack("i", fcntl.ioctl(screen._inner, termios.FIONREAD, b"\0" * 4))[0] < len("first\r"):
        assert time.perf_counter() < deadline, screen.drawing()
        os.sched_yield()
    assert "first" not in screen.text
    gate.touch()
    screen.wait_for("(Ctrl-C again")
    screen.wait_for("Hello, world!")
    screen.wait_for(re.compile(r"You: second\Z"))
    assert [request.json["messages"][-1]["content"] for request in server.chats] == ["first"]
