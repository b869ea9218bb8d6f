"""The chat's first end-to-end check of the fixtures: one answer in, one answer out."""

import re

from server import answer


def test_an_answer_arrives_whole(ask, server):
    server.play(answer(["Hello", " wörld"]))
    done = ask("hi")
    assert (done.returncode, done.stdout.decode()) == (0, "Hello wörld\n"), done.stderr.decode()
    assert server.chats[0].json["messages"] == [{"role": "user", "content": "hi"}]


def test_a_chat_answers(chat, server):
    server.play(answer(["Hello", " world"]))
    screen = chat()
    screen.line("hi")
    screen.wait_for("Hello world")
    screen.wait_for(re.compile(r"\(first token: \d\.\d{3}s · total: \d\.\d{3}s"))
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
