"""The exit status of one question, and the two lines that explain it, each row of the table seen from outside."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import KEY, World
from server import (
    LAST_FRAME,
    Close,
    Hang,
    Request,
    Reset,
    Script,
    Send,
    Server,
    Step,
    answer,
    chunk,
    frame,
    head,
    http_error,
    json_reply,
    sse,
)
from streaming_chat.providers.openai_sdk import NO_KEY

Done = subprocess.CompletedProcess[bytes]
Ask = Callable[..., Done]

#: The last four characters may be shown. Six in a row are a part of the key that nobody should see.
PIECES_OF_THE_KEY = [KEY[start : start + 6] for start in range(len(KEY) - 5)]
LATENCY_LINE = re.compile(r"\(first token: (\d+\.\d{3}s|none) · total: \d+\.\d{3}s( · [^()]+)?\)")


def told(done: Done) -> tuple[str, str]:
    """What the `error:` and the `hint:` line say: one each, and beside them nothing but notices and the latency line."""
    output, lines = done.stdout.decode(), done.stderr.decode().splitlines()
    assert not [piece for piece in PIECES_OF_THE_KEY if piece in output + done.stderr.decode()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    others = [line for line in lines if not line.startswith(("error: ", "hint: ", "notice: ", "[the model calls "))]
    assert [line for line in others if not LATENCY_LINE.fullmatch(line)] == []
    assert (len(errors), len(hints)) == (1, 1), lines
    assert errors[0]
    assert hints[0]
    return errors[0], hints[0]


def expect(done: Done, status: int, error: str, hint: str, text: str = "") -> None:
    """`error` and `hint` are patterns, `text` is all of standard output."""
    said = told(done)
    assert (done.returncode, done.stdout.decode()) == (status, text), done.stderr.decode()
    assert re.search(error, said[0]), said
    assert re.search(hint, said[1]), said


def openai_error(message: str, code: str | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def begun(*tokens: str) -> list[Step]:
    """An answer that has begun and goes on."""
    return answer(tokens, finish_reason=None, done=False)[:-1]


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# 3: credentials -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        pytest.param(["--model", "gpt-4o-mini"], {}, id="a model was asked for"),
        pytest.param(
            ["--model", "gpt-4o-mini"],
            {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""},
            id="empty variables are as good as none",
        ),
        pytest.param([], {"OPENAI_BASE_URL": "https://api.openai.com/v1"}, id="OpenAI was asked for"),
        pytest.param([], {"PYTHONPATH": "without-embedded-model"}, id="the embedded model is not installed"),
    ],
)
def test_without_a_key_nothing_is_asked(world: World, arguments: list[str], env: dict[str, str]) -> None:
    (world.folder / "without-embedded-model").mkdir()
    (world.folder / "without-embedded-model" / "sitecustomize.py").write_text(
        "import sys\nsys.modules['xllamacpp'] = None\n"
    )
    done = world.run(*arguments, "hi", env=env)
    expect(done, 3, "no key: OPENAI_API_KEY is not set", r"export OPENAI_API_KEY=sk-….*\.env.*--base-url")


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, r"check OPENAI_API_KEY .*127\.0\.0\.1"),
        (403, r"the key in OPENAI_API_KEY .*may not do this"),
    ],
)
def test_a_key_that_the_server_does_not_accept_is_a_credentials_error(
    ask: Ask, server: Server, status: int, hint: str
) -> None:
    # The message is so long that it is cut in the middle of the key that it repeats.
    message = f"Incorrect API key provided: {'x' * 460} {KEY}, as in {KEY}."
    server.play(http_error(status, openai_error(message, "invalid_api_key"), {"x-request-id": "req_7"}))
    done = ask("hi")
    expect(done, 3, rf"says {status}: Incorrect API key provided: x+.*\(request id req_7\)", hint)
    assert len(server.chats) == 1


def test_a_server_that_wants_a_key_is_told_apart_from_one_that_refuses_it(world: World, server: Server) -> None:
    server.play(http_error(401, {"error": "Unauthorized"}))
    done = world.run("--base-url", server.base_url, "hi")
    expect(done, 3, "says 401: Unauthorized", r"wants a key: set OPENAI_API_KEY")
    assert "ends in" not in done.stderr.decode()


def test_blanks_and_a_newline_around_the_key_are_not_part_of_it(ask: Ask, server: Server) -> None:
    assert ask("hi", env={"OPENAI_API_KEY": f" \t{KEY}\r\n"}).returncode == 0
    assert server.chats[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("key", [KEY, None])
def test_no_key_but_the_endpoints_own_is_sent(world: World, server: Server, key: str | None) -> None:
    # A variable of SDK 3, which SDK 2 does not know. A header that came twice would be here with both values.
    env = {
        "OPENAI_CUSTOM_HEADERS": "authorization: Bearer sk-of-another-endpoint",
        **({"OPENAI_API_KEY": key} if key else {}),
    }
    assert world.run("--base-url", server.base_url, "hi", env=env).returncode == 0
    assert [request.headers["authorization"] for request in server.chats] == [f"Bearer {key or NO_KEY}"]


def test_bytes_that_are_no_text_are_no_reason_to_fail(ask: Ask, server: Server) -> None:
    assert ask("--system", "Gr\udcfc\udcdfe", "caf\udce9?").returncode == 0
    assert [message["content"] for message in server.chats[0].json["messages"]] == ["Gr\ufffd\ufffde", "caf\ufffd?"]


# 8: the request is rejected -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "error", "hint"),
    [
        (
            404,
            openai_error("The model `gpt-9` does not exist.", "model_not_found"),
            r"says 404: The model `gpt-9` does not exist\. \(request id req_7\)$",
            r"streaming-chat models.*--model",
        ),
        (404, "404 page not found", r"says 404: 404 page not found \(request id", r"check the address \(--base-url\)"),
        (
            400,
            openai_error("Bad\n\x1b]52;c;QUJD\x07'temperature'\n\nhint: none"),
            r"says 400: Bad \^\[\]52;c;QUJD\^G'temperature' hint: none \(request id req_7\)$",
            "change the request",
        ),
        (409, {"detail": "Busy with another one"}, r"says 409: Busy with another one \(request id", "change the request"),
        (413, "<html><title>Too\nlarge</title>nginx</html>", r"says 413: Too large \(request id", "shorten the prompt"),
        (
            422,
            {"detail": [{"loc": ["body", "model"], "msg": "Field required"}]},
            r"says 422: Field required \(request id",
            "change the request",
        ),
    ],
    ids=["404 model", "404 path", "400", "409", "413", "422"],
)
def test_a_rejected_request_is_told_in_the_servers_own_words(
    ask: Ask, server: Server, status: int, body: Any, error: str, hint: str
) -> None:
    server.play(http_error(status, body, {"x-request-id": "req_7"}))
    expect(ask("hi"), 8, error, hint)
    assert len(server.chats) == 1


def test_an_address_without_v1_is_what_a_404_asks_about(ask: Ask, server: Server) -> None:
    server.play(http_error(404))
    base_url = server.base_url.removesuffix("/v1")
    done = ask("hi", env={"OPENAI_BASE_URL": base_url})
    expect(done, 8, r"says 404 \(Not Found\)", f"did you mean --base-url {base_url}/v1")


# 4: rate limit and quota ----------------------------------------------------------------------------------------------


def test_retry_after_is_announced_and_waited_for(ask: Ask, server: Server) -> None:
    server.play(http_error(429, openai_error("Slow down"), {"Retry-After": "1"}), answer(["Here"]))
    done = ask("hi")
    assert (done.returncode, done.stdout) == (0, b"Here\n"), done.stderr
    notice, latency = done.stderr.decode().splitlines()
    assert re.fullmatch(r"notice: .* says 429: Slow down; attempt 2 of 3 in 1\.0 s .*", notice)
    assert LATENCY_LINE.fullmatch(latency)
    assert "attempts: 2" in latency
    first, second = server.chats
    assert second.at - first.at >= 1.0
    # The start is the first attempt's.
    assert float(re.findall(r"\d+\.\d{3}", latency)[0]) >= 1.0


@pytest.mark.parametrize(
    ("code", "headers", "error", "hint"),
    [
        (None, {"Retry-After": "120"}, "says 429: Slow down", "asks for 120 s"),
        ("insufficient_quota", {"Retry-After": "1"}, "says 429: Slow down", "plan and billing"),
    ],
    ids=["a long Retry-After", "quota"],
)
def test_what_waiting_does_not_mend_is_not_waited_for(
    ask: Ask, server: Server, code: str | None, headers: dict[str, str], error: str, hint: str
) -> None:
    server.play(http_error(429, openai_error("Slow down", code, "insufficient_quota" if code else "requests"), headers))
    expect(ask("hi"), 4, error, hint)
    assert len(server.chats) == 1


# 5: connection and server ---------------------------------------------------------------------------------------------


def test_a_refused_connection(ask: Ask, closed_port: int) -> None:
    done = ask("hi", env={"OPENAI_BASE_URL": f"http://127.0.0.1:{closed_port}/v1"})
    expect(done, 5, f"127.0.0.1:{closed_port} refused the connection", "is the server running")


def test_a_name_that_does_not_exist(world: World) -> None:
    # Without a key: only the name as such is OpenAI's. RES_OPTIONS: give up soon, if no name server answers at all.
    env = {"OPENAI_BASE_URL": "http://api.openai.com.invalid/v1", "RES_OPTIONS": "timeout:1 attempts:1"}
    expect(world.run("hi", env=env), 5, r"api\.openai\.com\.invalid cannot be resolved", "check the address")


def test_a_certificate_that_nobody_vouches_for(ask: Ask) -> None:
    with Server(tls=True) as strange:
        done = ask("hi", env={"OPENAI_BASE_URL": strange.base_url})
        assert strange.requests == []
    expect(done, 5, "the certificate of .* is not trusted: self.signed", "SSL_CERT_FILE")


def test_https_to_a_server_that_speaks_http(ask: Ask) -> None:
    # tests/support/server.py waits for the end of a head, which a TLS handshake does not have.
    def reply() -> None:
        # As often as it is asked: the connection that is opened ahead fails, and some time later it is tried again.
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as client:
                    client.recv(1 << 16)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        replying = threading.Thread(target=reply)
        replying.start()
        done = ask("hi", env={"OPENAI_BASE_URL": f"https://{host}/v1"})
        listener.shutdown(socket.SHUT_RDWR)
        replying.join()
    expect(done, 5, f"no secure connection to {host}: ", "plain http://")


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (http_error(503, openai_error("Overloaded", kind="server_error")), "says 503: Overloaded"),
        ([Reset()], "the connection broke before .* answered"),
    ],
    ids=["a 503", "a reset before the first byte"],
)
def test_a_failure_that_may_pass_is_announced_and_tried_again(
    ask: Ask, server: Server, failure: Script, reason: str
) -> None:
    server.play(failure, answer(["Here"]))
    done = ask("--retries", "1", "hi")
    assert (done.returncode, done.stdout) == (0, b"Here\n"), done.stderr
    notice, latency = done.stderr.decode().splitlines()
    assert re.fullmatch(rf"notice: .*{reason}; attempt 2 of 2 in 0\.5 s .*", notice)
    assert "attempts: 2" in latency
    first, second = server.chats
    assert second.at - first.at >= 0.5


def test_a_server_that_keeps_failing_is_left_alone_when_the_attempts_are_used_up(ask: Ask, server: Server) -> None:
    server.play(http_error(500, "Internal Server Error", {"x-request-id": "req_7"}))
    done = ask("--retries", "1", "hi")
    expect(done, 5, r"says 500: Internal Server Error \(request id req_7\)", "the server is at fault")
    assert len(server.chats) == 2
    assert done.stderr.decode().count("notice: ") == 1


HTML = b"<!doctype html><html><head><title>Welcome to nginx!</title></head><body>data: no</body></html>"


@pytest.mark.parametrize(
    ("script", "error", "hint", "text"),
    [
        pytest.param(
            [Send(head(200, {"Content-Length": str(len(HTML))}, "text/html", chunked=False)), Send(HTML)],
            r"sent a web page \(Welcome to nginx!\) instead of an event stream",
            "/v1",
            "",
            id="a web page",
        ),
        pytest.param(
            json_reply(openai_error("The engine is on fire", kind="server_error"), {"x-request-id": "req_7"}),
            r"The engine is on fire \(request id req_7\)",
            "ask again",
            "",
            id="an error as JSON with status 200",
        ),
        pytest.param(
            [*begun("Half"), Send(frame(sse(openai_error("The engine died", kind="server_error")))), Send(LAST_FRAME)],
            "sent an error instead of an answer: The engine died",
            "what came before it is kept",
            "Half\n",
            id="an error in the stream",
        ),
        pytest.param(
            [*begun("Half"), Send(frame(b"data: {oops\n\n")), Send(LAST_FRAME)],
            "sent an event that is not JSON",
            "what came before it is kept",
            "Half\n",
            id="no JSON in the stream",
        ),
        pytest.param(
            [*begun("Half"), Send(frame(b"data: " + b"[" * 100_000 + b"\n\n")), Send(LAST_FRAME)],
            "sent an event that is not JSON",
            "what came before it is kept",
            "Half\n",
            id="JSON without a bottom",
        ),
        pytest.param(
            [Send(head(content_type="application/json")), Send(frame(b"[" * 100_000)), Send(LAST_FRAME)],
            r"sent something else \(application/json: \[+\) instead of an event stream",
            "/v1",
            "",
            id="a body of JSON without a bottom",
        ),
        pytest.param([Send(b"220 ready\r\n\r\n"), Close()], "does not speak HTTP", "the port", "", id="no HTTP at all"),
    ],
)
def test_what_is_no_answer_is_a_server_failure(
    ask: Ask, server: Server, script: Script, error: str, hint: str, text: str
) -> None:
    server.play(script)
    expect(ask("--retries", "0", "hi"), 5, error, hint, text)


def test_a_redirect_is_not_followed(ask: Ask, server: Server) -> None:
    with Server() as elsewhere:
        server.play(http_error(307, headers={"Location": f"{elsewhere.base_url}/chat/completions"}))
        expect(ask("hi"), 5, "says 307", f"{elsewhere.base_url}/chat/completions.*redirects are not followed")
        assert elsewhere.requests == []
    assert len(server.chats) == 1


# 6: timeout -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "text"),
    [([Hang()], ""), ([*begun("Half of", " it"), Hang()], "Half of it\n")],
    ids=["before the headers", "in mid-stream"],
)
def test_silence_ends_a_request_after_the_timeout(ask: Ask, server: Server, script: Script, text: str) -> None:
    server.play(script)
    expect(ask("--timeout", "1", "hi"), 6, r"sent nothing for 1 s", "--timeout", text)
    assert len(server.chats) == 1


# 7: no whole answer ---------------------------------------------------------------------------------------------------


def ending(finish_reason: str, *deltas: dict[str, Any]) -> list[Step]:
    """A stream of these deltas, ended in order."""
    events = [*(chunk(delta=delta) for delta in deltas), chunk(finish_reason=finish_reason)]
    return [Send(head()), *(Send(frame(sse(event))) for event in events), Send(frame(sse("[DONE]"))), Send(LAST_FRAME)]


CALL = {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "rm", "arguments": '{"path":"/"}'}}]}


@pytest.mark.parametrize(
    ("script", "error", "hint", "text"),
    [
        pytest.param(
            [*begun("Half"), Reset()], "the connection broke in the middle", "is kept", "Half\n", id="a reset in mid-answer"
        ),
        pytest.param(
            [*begun("Half"), Close()], "the connection broke in the middle", "is kept", "Half\n", id="a chunked body cut"
        ),
        pytest.param(
            [*begun("Half"), Send(b"nonsense\r\n"), Close()],
            "the connection broke in the middle",
            "is kept",
            "Half\n",
            id="a chunked body that is damaged",
        ),
        pytest.param(
            answer(["Half"], finish_reason=None, done=False, chunked=False),
            "the stream ended before the model had finished",
            "ask again",
            "Half\n",
            id="a clean end without finish_reason and [DONE]",
        ),
        pytest.param(
            answer(["Half"], finish_reason="length"),
            r"cut: it reached the most tokens .*\(finish_reason: length\)",
            "--max-tokens",
            "Half\n",
            id="length",
        ),
        pytest.param(
            answer(["Half"], finish_reason="content_filter"),
            r"content filter .*\(finish_reason: content_filter\)",
            "differently",
            "Half\n",
            id="content_filter",
        ),
        pytest.param(
            ending("stop", {"refusal": "I can't"}, {"refusal": " do that."}),
            "the model refused",
            "differently",
            "I can't do that.\n",
            id="refusal",
        ),
        pytest.param(ending("tool_calls", CALL), "asked for a tool .*tool_calls", "never run", "", id="tool_calls"),
        pytest.param(answer([]), "the answer is empty", "ask again", "", id="empty"),
    ],
)
def test_an_answer_that_is_not_whole_keeps_its_text_and_is_not_passed_off_as_whole(
    ask: Ask, server: Server, script: Script, error: str, hint: str, text: str
) -> None:
    server.play(script)
    expect(ask("hi"), 7, error, hint, text)
    assert len(server.chats) == 1


# 2: usage and settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["--temperature", "3"], r"^temperature must be a number from 0 to 2, not 3 \(from --temperature\)$", "0 to 2"),
        (["--top_p", "2"], r"^top_p must be a number from 0 to 1, not 2 \(from --top_p\)$", "0 to 1"),
        (["--max-tokens", "0"], r"^max_tokens must be a whole number from 1 on, not 0 \(from --max-tokens\)$", "tokens"),
        (
            ["--base-url", "localhost:8000"],
            r"^base_url must be an address .*not 'localhost:8000' \(from --base-url\)$",
            "/v1",
        ),
        (["--temprature=1"], "^unknown option --temprature$", r"did you mean --temperature\?"),
        (["--model"], "--model: expected one argument", "--help"),
        ([""], "nothing to ask", "pipe"),
    ],
    ids=["temperature", "top_p", "max-tokens", "base-url", "unknown flag", "flag without value", "empty prompt"],
)
def test_wrong_use_is_told_with_its_place(world: World, arguments: list[str], error: str, hint: str) -> None:
    prompt = [] if arguments[-1] in ("--model", "") else ["hi"]
    expect(world.run(*arguments, *prompt), 2, error, hint)


@pytest.mark.parametrize(
    ("toml", "error", "hint"),
    [
        (b"model = 'a'\nparam = [1,\n", r"config\.toml is not valid TOML: .*at the end, line 2", "mend that line"),
        (b"model = 'a'\n\nsystem = b\nlocal = true", r"config\.toml is not valid TOML: .*line 3", "mend that line"),
        (b"model = 'a'\ntemprature = 1\n", r"^unknown setting 'temprature' \(in .*config\.toml, line 2\)$", "temperature"),
        (b"# nothing\ntemperature = 3\n", r"^temperature must be .*not 3 \(from .*config\.toml, line 2\)$", "0 to 2"),
        (b"system = 'gr\xfc\xdfe'\n", r"config\.toml is not UTF-8", "UTF-8"),
    ],
    ids=["broken off", "no TOML", "unknown setting", "bad value", "no UTF-8"],
)
def test_a_bad_configuration_file_is_told_with_its_line(world: World, toml: bytes, error: str, hint: str) -> None:
    world.configure("")
    world.config_file.write_bytes(toml)
    expect(world.run("hi"), 2, error, hint)


# 130, 143, 141, 1: ended from outside ---------------------------------------------------------------------------------


@pytest.fixture
def default_sigint() -> Iterator[None]:
    """Whoever runs the tests in the background may have had Ctrl-C ignored, which children inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_sigint")
@pytest.mark.parametrize(
    ("number", "text", "status"),
    [
        pytest.param(signal.SIGINT, b"Half of it", 130, id="Ctrl-C in mid-answer"),
        pytest.param(signal.SIGINT, b"", 130, id="Ctrl-C before the headers"),
        pytest.param(signal.SIGTERM, b"Half of it", 143, id="SIGTERM in mid-answer"),
    ],
)
def test_a_signal_keeps_the_text_and_closes_the_connection(
    world: World, server: Server, number: int, text: bytes, status: int
) -> None:
    server.play([*begun(text.decode()), Hang()] if text else [Hang()])
    with world.start("hi", env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}) as program:
        assert program.stdout is not None
        server.wait_for_requests(1)
        shown = program.stdout.read(len(text))
        program.send_signal(number)
        rest, stderr = program.communicate(timeout=60)
    done = Done(program.args, program.returncode, shown + rest, stderr)
    expect(done, status, "^interrupted", "ask again", text.decode() + "\n" if text else "")
    server.wait_for_close(server.exchanges[0])
    assert server.exchanges[0].interrupted_at is not None


def endless(_: Request) -> Iterator[Step]:
    """An answer that begins with a line and never ends by itself."""
    yield from begun("one\n")
    yield from itertools.repeat(Send(frame(sse(chunk("more\n")))))


def in_bash(world: World, server: Server, command: str) -> Done:
    """Run `command` in a shell; `ask` in it asks `server`."""
    return world.run(
        "-c",
        f'ask() {{ "$python" -m streaming_chat "$@"; }}\n{command}',
        program=["bash"],
        env={"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY, "python": sys.executable},
    )


def test_a_closed_pipe_ends_quietly_and_cancels_the_request(world: World, server: Server) -> None:
    server.play(endless)
    done = in_bash(world, server, 'ask hi | head -n 1; exit "${PIPESTATUS[0]}"')
    assert (done.returncode, done.stdout, done.stderr) == (141, b"one\n", b"")
    server.wait_for_close(server.exchanges[0])
    assert b"interrupted" in world.run("history").stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_answer_that_cannot_be_written_is_an_error(world: World, server: Server) -> None:
    server.play(endless)
    done = in_bash(world, server, "ask hi > /dev/full")
    expect(done, 1, "the answer cannot be written: No space left on device", "write somewhere else")
    server.wait_for_close(server.exchanges[0])


def test_an_answer_to_a_closed_output_is_an_error(world: World, server: Server) -> None:
    server.play(endless)
    done = in_bash(world, server, "ask hi >&-")
    expect(done, 1, "the answer cannot be written: it is closed", "write somewhere else")


# Everything else has its place in the end line of --json too ----------------------------------------------------------


def test_json_tells_the_error_and_leaves_with_its_status(ask: Ask, server: Server) -> None:
    server.play([*begun("Half"), Reset()])
    done = ask("--json", "hi")
    expect(done, 7, "in the middle", "is kept", done.stdout.decode())
    end = json.loads(done.stdout.splitlines()[-1])
    assert (end["event"], end["outcome"], end["text"]) == ("end", "truncated", "Half")
    assert (end["error"]["type"], end["error"]["status"]) == ("ConnectionCut", 7)
    assert end["error"]["message"] == told(done)[0]
