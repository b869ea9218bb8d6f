"""JSON on a terminal: nothing in it acts on the terminal, and whoever decodes it gets the text as it came."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

import pytest

from conftest import KEY, World
from server import Send, Server, answer, chunk, frame, head, http_error, models, sse

#: ESC with an OSC and a BEL, C1 (CSI, OSC, NEL), DEL, an override, an isolate, zero width, a tag, a soft hyphen.
HOSTILE = "\x1b]0;title\x07 \x9b31m\x9d0;x\x85 \x7f \u202e\u2066\u200b\u2028\ufeff\U000e0041\xad"
#: What is no danger stays legible, beside what is one too.
LEGIBLE = "größe 東京 👩 שלום"


def assert_harmless(text: str) -> None:
    """In the words of the Unicode standard, not in those of the program's own table."""
    assert {char for char in text if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs")} == set()


def on_terminal(world: World, server: Server, *arguments: str) -> str:
    # Every escape sequence in what was written is then somebody else's than the program's.
    environment = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY, "NO_COLOR": "1"}
    screen = world.screen(*arguments, env=environment)
    screen.wait_for_exit()
    # Without the terminal's own translation of line ends.
    return screen.raw.decode().replace("\r\n", "\n")


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_an_answer_as_json(world: World, server: Server) -> None:
    text = LEGIBLE + HOSTILE
    call = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": text, "arguments": text}}]}
    events = [chunk(text, model=text), chunk(delta={"reasoning_content": text}), chunk(delta=call)]
    end = [chunk(finish_reason=HOSTILE), "[DONE]"]
    server.play([Send(head()), *[Send(frame(sse(one))) for one in (*events, *end)], Send(frame(b""))])
    output = on_terminal(world, server, "--json", "hi")
    assert_harmless(output)
    start, *_, last = objects(output)
    assert (start["event"], start["model"]) == ("start", text)
    assert (last["event"], last["text"], last["reasoning"], last["finish_reason"]) == ("end", text, text, HOSTILE)
    assert last["tool_calls"] == [{"name": text, "arguments": text}]
    assert [one["text"] for one in objects(output) if one["event"] == "delta"] == [text]


def test_what_is_no_danger_is_not_escaped(world: World, server: Server) -> None:
    text = LEGIBLE + " 👩‍👩‍👧 ❤️ می‌خواهم שָׁלוֹם e\u0301"
    server.play(answer([text]))
    assert f'"text": "{text}"' in on_terminal(world, server, "--json", "hi")


def test_an_error_as_json(world: World, server: Server) -> None:
    server.play(http_error(400, {"error": {"message": HOSTILE, "code": HOSTILE}}, {"x-request-id": "a\x9bb"}))
    output = on_terminal(world, server, "--json", "hi")
    assert_harmless(output)
    (end,) = objects(output)
    assert HOSTILE.split()[0] in end["error"]["message"]


def test_a_pipe_gets_raw_utf8(ask: Any, server: Server) -> None:
    server.play(answer([HOSTILE]))
    done = ask("--json", "hi")
    raw = json.dumps(HOSTILE, ensure_ascii=False).encode()
    assert b'"text": ' + raw in done.stdout
    assert b"\xc2\x9b" in done.stdout


@pytest.mark.parametrize("as_json", [True, False])
def test_the_models(world: World, as_json: bool) -> None:
    with Server(models_script=models("m" + HOSTILE, LEGIBLE)) as server:
        output = on_terminal(world, server, "models", *(["--json"] if as_json else []))
    assert_harmless(output)
    if as_json:
        assert sorted(json.loads(output)) == sorted(["m" + HOSTILE, LEGIBLE])


@pytest.mark.parametrize("as_json", [True, False])
def test_the_settings(world: World, server: Server, as_json: bool) -> None:
    world.configure('system = "' + "".join(f"\\U{ord(char):08x}" for char in HOSTILE) + '"\n')
    extra = ("--param", f"{HOSTILE}={LEGIBLE}", "--log-dir", HOSTILE)
    output = on_terminal(world, server, "config", *extra, *(["--json"] if as_json else []))
    assert_harmless(output)
    if as_json:
        table = json.loads(output)
        assert table["system"]["value"] == HOSTILE
        assert table["log_dir"]["value"] == HOSTILE
        assert LEGIBLE in table["param"]["value"].values()
        assert LEGIBLE in output


@pytest.mark.parametrize("arguments", [(), ("show", "1")], ids=["list", "show"])
@pytest.mark.parametrize("as_json", [True, False])
def test_the_history(world: World, server: Server, ask: Any, arguments: tuple[str, ...], as_json: bool) -> None:
    server.play(answer([LEGIBLE + HOSTILE], model=HOSTILE, finish_reason=HOSTILE))
    ask("--model", HOSTILE, "--", LEGIBLE + HOSTILE)
    output = on_terminal(world, server, "history", *arguments, *(["--json"] if as_json else []))
    assert_harmless(output)
    if as_json:
        (turn,) = objects(output)
        assert (turn["prompt"], turn["model"]) == (LEGIBLE + HOSTILE, HOSTILE)
        assert LEGIBLE in output
    else:
        assert not re.search(r"\\u0", output)
