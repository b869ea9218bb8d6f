"""A state folder into which others may put something is not used: not for the history, nor for anything else in it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from conftest import World
from screen import Screen
from server import Server, answer, http_error
from streaming_chat.config.folders import unsafe_place

Ask = Callable[..., CompletedProcess[bytes]]
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
REFUSED = {
    "error": {"message": "Unsupported parameter: 'temperature' is not supported.", "param": "temperature", "code": None}
}
HISTORY = [
    ["list"],
    ["search", "x"],
    ["show", "1"],
    ["stats"],
    ["export", "--all"],
    ["delete", "--all", "--yes"],
    ["path"],
    [],
]


def others_may_write(folder: Path) -> None:
    folder.chmod(0o777)


def others_have_added_to_it_although_it_has_the_sticky_bit(folder: Path) -> None:
    planted = folder / "adaptations.json"
    planted.touch()
    it_is_another_users(planted)
    folder.chmod(0o1777)


def others_have_added_a_link_although_it_has_the_sticky_bit(folder: Path) -> None:
    if not IS_ROOT:
        pytest.skip("only root may give a link away")
    (folder / "typed").unlink(missing_ok=True)
    (folder / "typed").symlink_to("/nowhere")
    os.lchown(folder / "typed", os.getuid() + 1, -1)
    folder.chmod(0o1777)


def it_is_another_users_and_has_the_sticky_bit(folder: Path) -> None:
    it_is_another_users(folder)
    folder.chmod(0o1777)


def others_may_write_alone(folder: Path) -> None:
    folder.chmod(0o702)


def a_foreign_group_may_write(folder: Path) -> None:
    if not IS_ROOT:
        pytest.skip("only root may give a folder away")
    os.chown(folder, -1, os.getgid() + 1)
    folder.chmod(0o770)


def it_is_another_users(folder: Path) -> None:
    if not IS_ROOT:
        pytest.skip("only root may give a folder away")
    os.chown(folder, os.getuid() + 1, -1)


def the_folder_above_may_be_written(folder: Path) -> None:
    folder.parent.chmod(0o777)


def the_folder_above_is_another_users(folder: Path) -> None:
    it_is_another_users(folder.parent)


def it_is_a_link_into_a_folder_of_all(folder: Path) -> None:
    shutil.rmtree(folder)
    shared = folder.parent.parent / "shared"
    (shared / "state").mkdir(parents=True, mode=0o700)
    shared.chmod(0o777)
    folder.symlink_to(shared / "state")


def a_link_of_all_leads_to_it(folder: Path) -> None:
    own = folder.parent.parent / "own"
    folder.parent.rename(own)
    shared = folder.parent.parent / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "link").symlink_to(own)
    folder.parent.symlink_to(shared / "link")


def it_is_not_there_and_the_folder_above_may_be_written(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.parent.chmod(0o777)


UNSAFE = [
    others_may_write,
    others_have_added_to_it_although_it_has_the_sticky_bit,
    others_have_added_a_link_although_it_has_the_sticky_bit,
    it_is_another_users_and_has_the_sticky_bit,
    others_may_write_alone,
    a_foreign_group_may_write,
    it_is_another_users,
    the_folder_above_may_be_written,
    the_folder_above_is_another_users,
    it_is_a_link_into_a_folder_of_all,
    it_is_not_there_and_the_folder_above_may_be_written,
]


@pytest.fixture
def with_a_turn(ask: Ask, server: Server) -> None:
    server.play(answer(["Before."]))
    assert ask("before").returncode == 0


def content(world: World) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in world.state.glob("*") if path.exists()}


@pytest.mark.usefixtures("with_a_turn")
@pytest.mark.parametrize("make", UNSAFE)
def test_the_program_answers_without_what_it_keeps_there(
    ask: Ask, world: World, server: Server, make: Callable[[Path], None]
) -> None:
    make(world.state)
    before = content(world)
    server.play(http_error(400, REFUSED), answer(["All of it"]))
    done = ask("hi", "--temperature", "0.5")
    assert (done.returncode, done.stdout) == (0, b"All of it\n")
    told = [line for line in done.stderr.decode().splitlines() if "state folder" in line]
    assert len(told) == 1
    assert told[0].startswith(f"notice: the state folder is not used, and no history is kept: {world.state}")
    assert "chmod go-w" in told[0] or "another user" in told[0]
    for action in HISTORY:
        done = ask("history", *action)
        assert (done.returncode, done.stdout) == (2, b""), action
        error, hint = done.stderr.decode().splitlines()
        assert error.startswith(f"error: the history is not read: {world.state}"), action
        assert hint.startswith("hint: chmod go-w ")
    for flags in (["--continue"], ["--resume", "1"]):
        done = ask(*flags, "hi")
        assert (done.returncode, done.stdout) == (2, b"")
    assert ask("history", "--help").returncode == 0
    assert ask("config").returncode == 0
    assert content(world) == before


@pytest.mark.usefixtures("with_a_turn")
def test_a_chat_says_so_once_and_keeps_no_typed_lines(chat: Callable[..., Screen], world: World, server: Server) -> None:
    world.state.chmod(0o777)
    before = content(world)
    server.play(answer(["One."]), answer(["Two."]))
    screen = chat(columns=250)
    for count, line in enumerate(["first", "second"], 2):
        screen.line(line)
        screen.wait_until(lambda count=count: screen.text.count("You:") == count)
    screen.key("ctrl-d")
    assert screen.wait_for_exit() == 0
    assert screen.text.count("the state folder is not used") == 1
    assert content(world) == before


@pytest.mark.usefixtures("with_a_turn")
def test_what_is_planted_there_is_not_obeyed(ask: Ask, world: World, server: Server) -> None:
    planted = {server.base_url: {"gpt-4o-mini": ["no temperature", "no_temperature"]}}
    (world.state / "adaptations.json").write_text(json.dumps(planted), encoding="utf-8")
    world.state.chmod(0o777)
    server.play(answer(["All of it"]))
    assert ask("hi", "--temperature", "0.5").returncode == 0
    assert server.chats[-1].json["temperature"] == 0.5


def test_where_nothing_is_kept_nothing_is_said(ask: Ask, world: World, server: Server) -> None:
    world.state.mkdir(parents=True)
    world.state.chmod(0o777)
    server.play(answer(["All of it"]))
    assert ask("hi", "--no-history").stderr.count(b"notice") == 0


@pytest.mark.usefixtures("with_a_turn")
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775, 0o500, 0o1777])
def test_what_is_the_users_alone_is_used(world: World, mode: int) -> None:
    world.state.chmod(mode)
    if mode == 0o775:
        os.chown(world.state, -1, os.getgid())  # the user's own group, as the umask 002 leaves it
    done = world.run("history")
    world.state.chmod(0o700)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_folder_of_all_with_the_sticky_bit_may_lie_above(tmp_path: Path) -> None:
    (tmp_path / "tmp" / "state").mkdir(parents=True, mode=0o700)
    (tmp_path / "tmp").chmod(0o1777)
    assert unsafe_place(tmp_path / "tmp" / "state") is None
    (tmp_path / "tmp").chmod(0o777)
    assert unsafe_place(tmp_path / "tmp" / "state" / "not" / "there") == (
        tmp_path / "tmp",
        "others may write it (chmod go-w fixes that)",
    )


def test_links_that_go_round_are_no_failure(ask: Ask, world: World, server: Server) -> None:
    world.state.parent.mkdir(parents=True)
    world.state.symlink_to(world.state)
    server.play(answer(["All of it"]))
    done = ask("hi")
    assert (done.returncode, done.stdout) == (0, b"All of it\n")
    assert b"unexpected" not in done.stderr


def test_the_folders_that_it_makes_are_safe_whatever_the_umask_is(world: World, ask: Ask, server: Server) -> None:
    server.play(answer(["One."]), answer(["Two."]))
    program = ("bash", "-c", 'umask 0; exec "$@"', "bash", sys.executable, "-m", "streaming_chat")
    environment = {"XDG_STATE_HOME": str(world.folder / "not" / "there"), "XDG_CACHE_HOME": str(world.folder / "cache")}
    for _ in range(2):
        done = ask("hi", program=program, env=environment)
        assert (done.returncode, done.stderr.count(b"notice")) == (0, 0), done.stderr
    assert (world.folder / "not").stat().st_mode & 0o777 == 0o700


def test_a_relative_folder_in_a_working_folder_that_is_gone_is_no_failure(ask: Ask, server: Server) -> None:
    server.play(answer(["All of it"]))
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    program = ("bash", "-c", script, "bash", sys.executable, "-m", "streaming_chat")
    done = ask("hi", program=program, env={"XDG_STATE_HOME": "state"})
    assert (done.returncode, done.stdout) == (0, b"All of it\n"), done.stderr
    assert b"unexpected" not in done.stderr
