"""Each turn has its conversation, and the turn before it."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest

from conftest import World
from screen import Screen
from server import Server, answer

Ask = Callable[..., CompletedProcess[bytes]]


def kept(world: World) -> list[dict[str, Any]]:
    lines = world.run("history", "--json").stdout.splitlines()
    return [json.loads(line) for line in lines]


def say(screen: Screen, *lines: str) -> None:
    for line in lines:
        count = screen.text.count("You:")
        screen.line(line)
        screen.wait_until(lambda count=count: screen.text.count("You:") == count + 1)


def leave(screen: Screen) -> None:
    screen.line("/exit")
    assert screen.wait_for_exit() == 0


@pytest.mark.parametrize("flags", [("--stateful",), ()], ids=["stateful", "stateless"])
def test_the_turns_of_a_chat_are_one_conversation_until_it_is_cleared(
    chat: Callable[..., Screen], world: World, server: Server, flags: tuple[str, ...]
) -> None:
    server.play(*(answer([text]) for text in "12345"))
    screen = chat(*flags)
    say(screen, "One?", "Two?", "/clear", "Three?", "Four?")
    leave(screen)
    turns = kept(world)
    assert [turn["parent"] for turn in turns] == [None, 1, None, 3]
    first, second, third, fourth = (turn["conversation"] for turn in turns)
    assert first == second == turns[0]["session"]
    assert third == fourth != first
    assert len({turn["session"] for turn in turns}) == 1


def test_a_retried_turn_is_beside_the_one_before_and_an_undone_one_has_no_turns_after_it(
    chat: Callable[..., Screen], world: World, server: Server
) -> None:
    server.play(*(answer([text]) for text in "12345"))
    screen = chat("--stateful")
    say(screen, "One?", "Two?", "/retry", "Three?", "/undo", "/undo", "Four?")
    leave(screen)
    assert [turn["parent"] for turn in kept(world)] == [None, 1, 1, 3, 1]
    assert len({turn["conversation"] for turn in kept(world)}) == 1


def test_a_stateless_turn_that_is_asked_again_is_beside_the_first_one(
    chat: Callable[..., Screen], world: World, server: Server
) -> None:
    server.play(*(answer([text]) for text in "1234"))
    screen = chat()
    say(screen, "One?", "Two?", "/retry", "/stateful on", "Three?")
    leave(screen)
    assert [turn["parent"] for turn in kept(world)] == [None, 1, 1, 3]


def test_an_incomplete_answer_comes_before_a_turn_only_when_it_is_kept(
    chat: Callable[..., Screen], world: World, server: Server
) -> None:
    server.play(
        answer(["1"]), answer(["Hal"], finish_reason="length"), answer(["3"]), answer(["Hal"], finish_reason="length")
    )
    screen = chat("--stateful")
    say(screen, "One?", "Two?", "Three?", "Four?", "/keep")
    server.play(answer(["5"]))
    say(screen, "Five?")
    leave(screen)
    assert [turn["parent"] for turn in kept(world)] == [None, 1, 1, 3, 4]


def test_a_conversation_is_continued_from_any_of_its_turns(
    ask: Ask, chat: Callable[..., Screen], world: World, server: Server
) -> None:
    for number, flags in enumerate([(), ("-c",), ("-c",), ("--resume", "2"), ("--resume", "1"), ("-c",)], 1):
        server.play(answer([f"{number}."]))
        assert ask(*flags, f"Question {number}?").returncode == 0
    turns = kept(world)
    assert [turn["parent"] for turn in turns] == [None, 1, 2, 2, 1, 5]
    assert len({turn["conversation"] for turn in turns}) == 1
    server.play(answer(["7."]), answer(["8."]))
    screen = chat("--resume", "3")
    say(screen, "/undo", "Question 7?", "/clear", "Question 8?")
    leave(screen)
    *_, seventh, eighth = kept(world)
    assert (seventh["parent"], eighth["parent"]) == (2, None)
    assert seventh["conversation"] == turns[0]["conversation"] != eighth["conversation"]


def test_to_resume_a_cut_answer_goes_on_from_the_turn_before_it(ask: Ask, world: World, server: Server) -> None:
    server.play(answer(["1."]), answer(["Hal"], finish_reason="length"), answer(["3."]))
    ask("One?")
    ask("-c", "Two?")
    ask("-c", "Three?")
    assert [turn["parent"] for turn in kept(world)] == [None, 1, 1]


def test_questions_of_their_own_are_conversations_of_their_own(ask: Ask, world: World) -> None:
    ask("One?")
    ask("Two?")
    assert [turn["parent"] for turn in kept(world)] == [None, None]
    assert len({turn["conversation"] for turn in kept(world)}) == 2


def test_a_conversation_that_is_exported_comes_in_as_one_under_new_numbers(ask: Ask, world: World, server: Server) -> None:
    for number, flags in enumerate([(), ("-c",), ("--resume", "1")], 1):
        server.play(answer([f"{number}."]))
        ask(*flags, f"Question {number}?")
    ask("history", "export", "--all", "-o", "all.json")
    lines = world.run("history", "--json").stdout.splitlines()
    whole = [world.run("history", "show", str(number), "--json").stdout for number in (3, 2, 1)]
    (world.folder / "reversed.jsonl").write_bytes(b"".join(whole))
    conversation = json.loads(lines[0])["conversation"]
    for file, parents in (("all.json", [None, 2, 2]), ("reversed.jsonl", [4, 4, None])):
        (world.state / "history.db").unlink()
        server.play(answer(["Other."]))
        ask("Another question?")
        assert world.run("history", "import", file).returncode == 0
        turns = kept(world)[1:]
        assert [turn["parent"] for turn in turns] == parents
        assert {turn["conversation"] for turn in turns} == {conversation}


def test_a_parent_that_is_there_already_is_found_and_one_that_is_not_is_none(ask: Ask, world: World, server: Server) -> None:
    for number, flags in enumerate([(), ("-c",), ("-c",)], 1):
        server.play(answer([f"{number}."]))
        ask(*flags, f"Question {number}?")
    for number in "123":
        ask("history", "export", number, "-o", f"{number}.json")
    ask("history", "export", "1", "2", "-o", "12.json")
    (world.state / "history.db").unlink()
    for files in (["1.json"], ["12.json"], ["3.json"]):
        assert world.run("history", "import", *files).returncode == 0
    assert [turn["parent"] for turn in kept(world)] == [None, 1, None]
    assert len({turn["conversation"] for turn in kept(world)}) == 1


def test_a_turn_goes_on_when_the_one_before_it_is_deleted(chat: Callable[..., Screen], world: World, server: Server) -> None:
    server.play(answer(["1"]), answer(["2"]), answer(["3"]))
    screen = chat("--stateful")
    say(screen, "One?", "Two?")
    assert world.run("history", "delete", "2", "--yes").returncode == 0
    say(screen, "Three?")
    leave(screen)
    assert [(turn["number"], turn["parent"]) for turn in kept(world)] == [(1, None), (3, None)]


@pytest.mark.parametrize("flags", [(), ("--no-history",)], ids=["with a history", "without one"])
def test_the_transcript_of_a_session_has_the_places_of_its_turns(
    ask: Ask, chat: Callable[..., Screen], world: World, server: Server, flags: tuple[str, ...]
) -> None:
    server.play(*(answer([text]) for text in "01234"))
    ask("Before?", "--no-history")
    screen = chat("--stateful", "--export-dir", "out", "--export-format", "json", *flags)
    say(screen, "One?", "Two?", "/retry", "/clear", "Three?")
    leave(screen)
    (file,) = (world.folder / "out").iterdir()
    turns = json.loads(file.read_text(encoding="utf-8"))["turns"]
    assert [(turn["number"], turn["parent"]) for turn in turns] == [(1, None), (2, 1), (3, 1), (4, None)]
    assert [turn["conversation"] == turns[0]["session"] for turn in turns] == [True, True, True, False]
