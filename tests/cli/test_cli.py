"""One shot, pipes and commands, as a shell would use them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from conftest import KEY
from server import Gate, Hang, Send, Server, Wait, answer, chunk, frame, head, http_error, models, sse
from streaming_chat import __version__
from streaming_chat.history import History


def messages(server, number: int = -1) -> list[dict[str, str]]:
    return server.chats[number].json["messages"]


def test_the_words_of_the_command_line_are_the_prompt(ask, server):
    ask("explain", "--temperature", "0.5", "streaming", "--quiet")
    assert messages(server) == [{"role": "user", "content": "explain streaming"}]
    assert server.chats[0].json["temperature"] == 0.5


def test_what_was_not_set_is_not_sent_but_for_the_request_to_count_tokens(ask, server):
    ask("hi")
    assert server.chats[0].json == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(("value", "sent"), [("null", "nothing"), ('{"include_usage": false}', {"include_usage": False})])
def test_token_counts_need_not_be_asked_for(ask, server, value, sent):
    ask("hi", "--param", f"stream_options={value}")
    assert server.chats[0].json.get("stream_options", "nothing") == sent


def test_every_flag_of_the_request_arrives(ask, server):
    ask(
        *("hi", "--model", "m", "--temperature", "0.7", "--top-p", "0.9", "--max-tokens", "256", "--system", "Be brief."),
        *("--param", "seed=7", "--param", 'stop=["a"]', "--param", "user=me"),
    )
    assert server.chats[0].json == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 256,
        "seed": 7,
        "stop": ["a"],
        "user": "me",
    }


def test_piped_input_is_the_prompt_or_is_added_to_it(ask, server):
    ask(stdin=b"\xef\xbb\xbfnotes\n")
    assert messages(server)[-1]["content"] == "notes"
    ask("summarise", stdin="  indented: größe\nsecond\n".encode())
    assert messages(server)[-1]["content"] == "summarise\n\n  indented: größe\nsecond"
    ask("hi", stdin=b"")
    assert messages(server)[-1]["content"] == "hi"


def test_piped_input_that_is_not_utf8_is_told(ask, server):
    done = ask(stdin=b"gr\xf6\xdfe")
    assert done.returncode == 0
    assert messages(server)[-1]["content"] == "gr\ufffd\ufffde"
    assert "notice: the piped input is not UTF-8" in done.stderr.decode()


@pytest.mark.parametrize("arguments", [(), ("",), ("  ",)])
def test_nothing_to_ask_is_an_error(ask, server, arguments):
    done = ask(*arguments, stdin=b" \n")
    assert done.returncode == 2
    assert done.stderr.decode().startswith("error: there is nothing to ask\nhint: ")
    assert not server.requests


ODD = "tab\there, \x1b[31mred\x1b[0m \u202e \x00 \x9b \r\n 東京 👩‍👩‍👧 \ufeff"


@pytest.mark.parametrize("text", ["plain", "ends\n", ODD, "\n\n", "a\r"])
def test_a_pipe_gets_the_text_byte_for_byte_and_a_last_newline(ask, server, text):
    server.play(answer(list(text)))
    done = ask("hi", "--no-history")
    assert done.returncode == 0
    assert done.stdout == (text if text.endswith("\n") else text + "\n").encode()


def test_a_character_whose_halves_come_apart_is_whole_and_a_lone_half_is_replaced(ask, server):
    halves = [chunk("a\ud83d"), chunk("\ude00b\udc00"), chunk(finish_reason="stop")]
    server.play([Send(head()), *[Send(frame(sse(json.dumps(one)))) for one in halves], Send(frame(b""))])
    done = ask("hi")
    assert done.stdout.decode() == "a😀b\ufffd\n"


def test_a_file_has_the_answer_and_stderr_the_rest(ask, server):
    server.play(answer(["Hello", " there"]))
    done = ask("hi")
    assert done.stdout == b"Hello there\n"
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("(first token: ")


def test_quiet_says_nothing_but_errors(ask, server):
    server.play(answer(["Hello"]), answer(["cut"], finish_reason="length"))
    assert ask("hi", "--quiet").stderr == b""
    done = ask("hi", "--quiet")
    assert (done.returncode, done.stdout) == (7, b"cut\n")
    assert done.stderr.decode().startswith("error: the answer is cut")


def test_raw_is_the_text_as_it_came(ask, server):
    server.play(answer(["# Title\n", "*a*"]))
    assert ask("hi", "--raw").stdout == b"# Title\n*a*\n"


def test_json_is_an_object_a_line_and_the_end_comes_last(ask, server):
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
    server.play(answer(["Hello", " \x1b[2J\u2028wörld"], usage=usage, headers={"x-request-id": "req_1"}, model="m-2025"))
    done = ask("hi", "--json")
    assert done.returncode == 0
    assert done.stderr == b""
    lines = [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]
    assert [line["event"] for line in lines] == ["start", "delta", "delta", "usage", "end"]
    start, first, second, counted, end = lines
    assert (start["model"], start["request_id"]) == ("m-2025", "req_1")
    assert (first["text"], second["text"]) == ("Hello", " \x1b[2J\u2028wörld")
    assert 0 <= start["at"] <= first["at"] <= second["at"] <= end["timing"]["total"]
    assert counted["usage"]["prompt_tokens"] == 3
    assert end["outcome"] == "complete"
    assert end["finish_reason"] == "stop"
    assert end["text"] == "Hello \x1b[2J\u2028wörld"
    assert end["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 1, "reasoning_tokens": None}
    assert end["error"] is None
    assert end["timing"]["first_token"] == pytest.approx(first["at"], abs=1e-5)
    assert set(end["timing"]) == {
        *("total", "headers", "first_token", "first_reasoning", "gaps", "tokens_per_second", "attempts"),
    }


def test_json_ends_with_the_end_also_when_it_fails(ask):
    done = ask("hi", "--json", env={"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})
    assert done.returncode == 5
    end = json.loads(done.stdout.splitlines()[-1])
    assert (end["event"], end["outcome"], end["text"]) == ("end", "error", "")
    assert end["error"]["message"] == "127.0.0.1:1 refused the connection"
    assert end["error"]["status"] == 5
    assert done.stderr.decode().startswith("error: ")


def test_json_lines_are_flushed_one_by_one(world, server):
    go = threading.Event()
    server.play([*answer(["one"], finish_reason=None, done=False)[:-1], Gate(go)])
    with world.start("hi", "--json", "--base-url", server.base_url) as running:
        assert json.loads(running.stdout.readline())["event"] == "start"
        assert json.loads(running.stdout.readline())["text"] == "one"
        go.set()
        rest = running.stdout.read()
        assert json.loads(rest)["outcome"] == "truncated"
        assert running.stderr.read()
    assert running.returncode == 7


def test_a_delta_is_in_the_pipe_before_the_next_one_is_sent(world, server):
    go = threading.Event()
    steps = answer(["one ", "two"])
    first = next(number for number, step in enumerate(steps) if b'"one "' in getattr(step, "data", b""))
    server.play([*steps[: first + 1], Gate(go), *steps[first + 1 :]])
    with world.start("hi", "--base-url", server.base_url) as running:
        assert running.stdout.read(4) == b"one "
        go.set()
        assert running.stdout.read() == b"two\n"
        running.stderr.read()
    assert running.returncode == 0


def test_models_are_listed_a_line_each(world):
    with Server(models_script=models("b", "a")) as server:
        done = world.run("models", "--base-url", server.base_url)
        assert (done.returncode, done.stdout) == (0, b"a\nb\n")
        assert server.requests[0].path == "/v1/models"


@pytest.mark.parametrize("word", ["compare", "batch", "bench"])
def test_words_of_commands_to_come_are_no_prompt(ask, server, word):
    done = ask(word, "this")
    assert done.returncode == 2
    assert f"hint: a prompt that begins with this word: streaming-chat -- {word} …" in done.stderr.decode()
    assert not server.requests


def test_behind_two_dashes_everything_is_the_prompt(ask, server):
    ask("--quiet", "--", "history", "--of", "rome")
    assert messages(server)[-1]["content"] == "history --of rome"
    ask("a", "--", "models")
    assert messages(server)[-1]["content"] == "a models"


def test_a_command_word_counts_behind_flags_too(ask):
    done = ask("--model", "history", "models")
    assert (done.returncode, done.stdout) == (0, b"test-model\n")


def test_history_lists_and_shows_what_was_asked(ask, server, world):
    server.play(answer(["Hello"]))
    assert "history is empty" in world.run("history").stderr.decode()
    ask("what is a stream?")
    done = world.run("history")
    assert done.returncode == 0
    assert "what is a stream?" in done.stdout.decode()
    shown = world.run("history", "show", "1")
    assert "Hello" in shown.stdout.decode()
    missing = world.run("history", "show", "99")
    assert missing.returncode == 2
    assert missing.stderr.decode().startswith("error: no turn 99")


def test_the_history_holds_no_key_and_is_for_the_user_alone(ask, world):
    ask("hi")
    file = world.state / "history.db"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    with closing(sqlite3.connect(file)) as connection:
        dump = "\n".join(connection.iterdump())
    assert "hi" in dump
    assert KEY not in dump


def test_no_history_writes_nothing(ask, world):
    ask("hi", "--no-history")
    assert not world.state.exists()


def test_a_killed_program_has_kept_the_turn_and_its_text_up_to_a_second_before(world, server):
    server.play(answer([f"{number} " for number in range(500)], delay=0.01))
    with world.start("count", "--base-url", server.base_url) as running:
        received = b""
        seen: list[tuple[float, int]] = []
        while not seen or seen[-1][0] - seen[0][0] < 2.0:
            received += running.stdout.read1()
            seen.append((time.monotonic(), len(received)))
        killed = time.monotonic()
        running.kill()
        received += running.stdout.read()
        running.stderr.read()
    a_second_before = max(length for at, length in seen if at < killed - 1.0)
    with closing(History(world.state / "history.db", pytest.fail)) as history:
        turn = history.turn(1)
    assert turn.status == "unfinished"
    assert turn.prompt == "count"
    assert len(turn.text.encode()) >= a_second_before > 0
    assert received.decode().startswith(turn.text) or turn.text.startswith(received.decode())


def test_version_and_help_are_on_stdout(world):
    assert world.run("--version").stdout.decode() == f"streaming-chat {__version__}\n"
    done = world.run("--help")
    assert done.returncode == 0
    assert done.stdout.startswith(b"usage: streaming-chat [OPTIONS] [PROMPT ...]")
    assert done.stderr == b""


def test_an_unknown_option_names_the_nearest_one(world):
    done = world.run("--temprature", "1", "hi")
    assert done.returncode == 2
    assert done.stderr.decode() == "error: unknown option --temprature\nhint: did you mean --temperature?\n"


def test_ctrl_c_during_start_up_is_a_status_and_no_traceback(world):
    # The interrupt comes while the program's own modules are being imported.
    script = (
        "import sys, signal, os\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'streaming_chat.cli.main':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from streaming_chat.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env=world.environment, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_help_and_version_do_not_import_the_sdk(world):
    for flag in ("--help", "--version"):
        done = world.run(flag, program=(sys.executable, "-X", "importtime", "-m", "streaming_chat"))
        assert b"streaming_chat.cli.main" in done.stderr
        assert b" openai" not in done.stderr
        assert b"prompt_toolkit" not in done.stderr


def test_a_key_does_not_travel_in_the_open_unless_told_to(world):
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://public.invalid/v1"}
    done = world.run("hi", env=env)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("error: the key would travel to public.invalid over http://")
    assert world.run("hi", "--insecure-http", env=env).returncode == 5
    assert world.run("hi", env={**env, "OPENAI_API_KEY": ""}).returncode == 5


def test_reasoning_is_apart_from_the_answer_and_never_in_a_pipe(ask, chat, server):
    deltas = [chunk(delta={"reasoning_content": "I wonder"}), chunk("<think>aloud</think>\n\nYes")]
    steps = [Send(head()), *[Send(frame(sse(one))) for one in deltas], *answer([])[1:]]
    server.play(steps)
    assert ask("hi").stdout == b"Yes\n"
    screen = chat()
    screen.line("hi")
    screen.wait_for("I wonderaloud\nYes\n(first token:")
    screen.line("/set reasoning hide")
    screen.wait_for("reasoning: hide")
    screen.line("hi")
    screen.wait_for("Assistant (streaming...):\nYes\n(first token:")


@pytest.mark.parametrize("arguments", [["history", "show", "1"], ["history"], ["models"], ["config"]])
def test_commands_end_quietly_when_nobody_reads(ask, world, server, arguments):
    ask("hi")
    script = 'trap "" PIPE; "$@" | true; echo "${PIPESTATUS[0]}"'
    program = ["bash", "-c", script, "bash", sys.executable, "-m", "streaming_chat", *arguments]
    env = {**world.environment, "OPENAI_BASE_URL": server.base_url}
    done = subprocess.run(program, capture_output=True, env=env, cwd=world.folder, check=False, timeout=60)
    assert done.stderr == b""
    assert done.stdout.split()[-1] in (b"141", b"0")  # 0 where `true` was slower than the few bytes


def test_a_deleted_working_folder_is_no_obstacle(world, server):
    script = 'mkdir gone && cd gone && rmdir ../gone && "$@"'
    program = ["bash", "-c", script, "bash", sys.executable, "-m", "streaming_chat", "hi", "--quiet"]
    env = {**world.environment, "OPENAI_BASE_URL": server.base_url}
    done = subprocess.run(program, capture_output=True, env=env, cwd=world.folder, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n"), done.stderr


def test_what_json_does_not_have_is_text_or_an_error(ask, server, world):
    ask("hi", "--param", "x=NaN")
    assert server.chats[0].json["x"] == "NaN"
    ask("hi", "--param", "x=1e999")
    assert server.chats[1].json["x"] == "1e999"
    world.configure("[param]\nd = 2020-01-01\n")
    done = ask("hi")
    assert done.returncode == 2
    assert "error: param has a value that JSON does not have" in done.stderr.decode()


def test_a_key_that_a_server_repeats_is_nowhere(ask, server, world):
    server.play(
        answer([f"your key is {KEY}"], headers={"x-request-id": KEY}, model=KEY),
        http_error(401, {"error": {"message": f"bad {KEY}"}}, {"x-request-id": KEY}),
    )
    for _ in range(2):
        done = ask("hi", "--json", "--log-dir", "logs")
        assert KEY.encode() not in done.stdout + done.stderr
    for file in (world.state / "history.db", *(world.folder / "logs").iterdir()):
        assert KEY.encode() not in file.read_bytes(), file


def test_tool_calls_are_shown_beside_a_pipe(ask, server):
    call = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "rain", "arguments": '{"a": 1}'}}]}
    ends = [chunk(delta=call), chunk(finish_reason="tool_calls"), "[DONE]"]
    server.play([Send(head()), *[Send(frame(sse(one))) for one in ends]])
    done = ask("hi")
    assert (done.returncode, done.stdout) == (7, b"")
    assert '[the model calls rain] {"a": 1}' in done.stderr.decode()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}, 8),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, 4),
        ({"message": "who?", "code": 401}, 3),
        ({"message": "no money", "code": "insufficient_quota"}, 4),
    ],
)
def test_an_error_inside_a_stream_has_the_status_of_its_kind(ask, server, error, status):
    server.play([Send(head()), Send(frame(sse({"error": error})))])
    done = ask("hi", "--retries", "0")
    assert done.returncode == status, done.stderr
    assert len(server.chats) == 1


def test_a_proxy_that_is_not_there_is_named(world):
    env = {"http_proxy": "http://me:secret@127.0.0.1:1", "OPENAI_BASE_URL": "http://example.test/v1"}
    done = world.run("hi", env=env)
    assert done.returncode == 5
    assert done.stderr.decode().startswith("error: the proxy 127.0.0.1:1 cannot be reached\n")
    assert "secret" not in done.stderr.decode()


def test_what_comes_after_the_finish_is_not_cut_off_while_it_comes(ask, server):
    late = [Wait(1.2), Send(frame(sse(chunk(" late")))), Wait(1.2), Send(frame(sse(chunk("r", finish_reason="stop"))))]
    server.play([Send(head()), Send(frame(sse(chunk("Hello", finish_reason="stop")))), *late, Hang()])
    done = ask("hi")
    assert (done.returncode, done.stdout) == (0, b"Hello later\n")


def test_of_several_answers_one_may_be_slower(ask, server):
    def piece(index, content, finish_reason=None):
        choice = {"index": index, "delta": {"content": content}, "finish_reason": finish_reason}
        return Send(frame(sse({"choices": [choice]})))

    server.play([Send(head()), piece(1, "B", "stop"), piece(0, "A"), Wait(2.5), piece(0, "a", "stop"), Hang()])
    done = ask("hi", "--param", "n=2")
    assert (done.returncode, done.stdout) == (0, b"Aa\n")


def test_a_key_as_the_code_of_an_error_is_nowhere(ask, server, world):
    server.play(http_error(400, {"error": {"message": "x", "code": KEY, "param": KEY}}))
    done = ask("hi", "--json")
    assert KEY.encode() not in done.stdout + done.stderr
    assert KEY.encode() not in (world.state / "history.db").read_bytes()
