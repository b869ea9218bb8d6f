"""`history export` and `history import`: which turns, where to, in which form."""

from __future__ import annotations

import itertools
import json
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from conftest import KEY, World
from server import Server, answer
from streaming_chat.cli.commands.history import new_file
from streaming_chat.cli.commands.history.new_file import write_file
from streaming_chat.core.errors import UsageError

Ask = Callable[..., CompletedProcess[bytes]]
FIRST_WORDS = {
    "md": "# one",
    "html": "<!DOCTYPE html>",
    "json": '{"format": "streaming-chat turns", "version": 1, ',
    "cast": '{"version": 2, ',
    "svg": "<svg xmlns=",
}


@pytest.fixture
def two_turns(ask: Ask, server: Server) -> None:
    server.play(answer(["First ", "**answer**."]), answer(["Second."]))
    assert ask("one").returncode == 0
    assert ask("--model", "other", "two").returncode == 0


@pytest.mark.parametrize("form", FIRST_WORDS)
@pytest.mark.usefixtures("two_turns")
def test_the_ending_of_the_file_says_the_form(world: World, form: str) -> None:
    done = world.run("history", "export", "1", "2", "-o", f"out.{form}")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    by_ending = (world.folder / f"out.{form}").read_text(encoding="utf-8")
    assert by_ending.startswith(FIRST_WORDS[form])
    assert "First" in by_ending
    assert "Second" in by_ending
    on_stdout = world.run("history", "export", "1", "2", "--format", form)
    assert on_stdout.stdout.decode() == by_ending
    assert KEY not in by_ending


@pytest.mark.usefixtures("two_turns")
def test_markdown_is_what_nothing_said_means(world: World) -> None:
    assert world.run("history", "export", "2").stdout.startswith(b"# two\n")
    assert world.run("history", "export", "2", "-o", "-").stdout.startswith(b"# two\n")
    assert world.run("history", "export", "2", "-o", "notes.txt").returncode == 0
    assert (world.folder / "notes.txt").read_text(encoding="utf-8").startswith("# two\n")


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.MD", "md"),
        ("a.markdown", "md"),
        ("a.txt", "md"),
        ("a", "md"),
        (".md", "md"),
        ("a.HTM", "html"),
        ("a.b.Json", "json"),
    ],
)
@pytest.mark.usefixtures("two_turns")
def test_a_name_of_another_spelling_says_the_form_too(world: World, name: str, form: str) -> None:
    assert world.run("history", "export", "1", "-o", name).returncode == 0
    assert (world.folder / name).read_text(encoding="utf-8").startswith(FIRST_WORDS[form])


@pytest.mark.parametrize("name", ["x.csv", "x.docx", "x.PDF", "x.md.gz", "x.jsonl", "x.html5", "x.md ", "no/such/x.xml"])
@pytest.mark.usefixtures("two_turns")
def test_an_unknown_ending_is_refused_unless_the_form_is_said(world: World, name: str) -> None:
    for which in (["1"], ["--all"], ["--model", "nobody"]):
        done = world.run("history", "export", *which, "-o", name)
        assert (done.returncode, done.stdout) == (2, b"")
        error, hint = done.stderr.decode().splitlines()
        assert error.startswith("error: no format is known by the ending .")
        assert "--format" in hint
        assert all(form in hint for form in FIRST_WORDS)
    assert list(world.folder.iterdir()) == []
    if "/" not in name:
        assert world.run("history", "export", "1", "--format", "md", "-o", name).returncode == 0
        assert (world.folder / name).read_text(encoding="utf-8").startswith("# one")


@pytest.mark.usefixtures("two_turns")
def test_nothing_that_is_there_is_lost(world: World) -> None:
    (world.folder / "empty.md").touch()
    (world.folder / "precious.md").write_text("before", encoding="utf-8")
    (world.folder / "link.md").symlink_to("precious.md")
    (world.folder / "dangling.md").symlink_to("new.md")
    before = {path.name: path.stat().st_ino for path in world.folder.iterdir() if path.exists()}
    for name in before:
        done = world.run("history", "export", "1", "-o", name)
        assert (done.returncode, done.stderr.decode().splitlines()[0]) == (2, f"error: {name} exists")
    assert {path.name: path.stat().st_ino for path in world.folder.iterdir() if path.exists()} == before
    assert (world.folder / "precious.md").read_text(encoding="utf-8") == "before"
    # A link that leads to no file leads to a new one.
    assert world.run("history", "export", "1", "-o", "dangling.md").returncode == 0
    assert (world.folder / "new.md").read_text(encoding="utf-8").startswith("# one")
    assert (world.folder / "dangling.md").is_symlink()
    assert world.run("history", "export", "1", "-o", "link.md", "--force").returncode == 0
    assert (world.folder / "link.md").is_symlink()
    assert (world.folder / "precious.md").read_text(encoding="utf-8").startswith("# one")
    assert sorted(path.name for path in world.folder.iterdir()) == [
        "dangling.md",
        "empty.md",
        "link.md",
        "new.md",
        "precious.md",
    ]


@pytest.mark.parametrize("has_links", [True, False])
def test_of_many_that_want_one_name_one_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    def no_links(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    if not has_links:
        monkeypatch.setattr(new_file.os, "link", no_links)
    # The name of the file beside it is the process's own; here, all are in one.
    numbers = itertools.count()
    monkeypatch.setattr(new_file.os, "getpid", lambda: next(numbers))
    target = tmp_path / "out.md"
    go = threading.Barrier(8)

    def write(number: int) -> bool:
        go.wait()
        try:
            write_file(target, f"{number}" * 10_000, force=False)
        except UsageError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(write, range(8)))
    assert done.count(True) == 1
    assert target.read_text(encoding="utf-8") == str(done.index(True)) * 10_000
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.usefixtures("two_turns")
def test_a_pipe_is_written_to(world: World) -> None:
    pipe = world.folder / "pipe.md"
    os.mkfifo(pipe)
    with world.start("history", "export", "1", "-o", "pipe.md") as program:
        assert pipe.read_text(encoding="utf-8").startswith("# one")
        assert program.wait(60) == 0


@pytest.mark.usefixtures("two_turns")
def test_conditions_say_which_turns_too(world: World) -> None:
    def prompts(*flags: str) -> list[str]:
        exported = world.run("history", "export", "--json", *flags)
        assert exported.returncode == 0, exported.stderr
        return [turn["prompt"] for turn in json.loads(exported.stdout)["turns"]]

    assert prompts("--model", "other") == ["two"]
    assert prompts("--all") == ["one", "two"]
    assert prompts("2", "1") == ["one", "two"]
    assert prompts("--since", "1h", "--outcome", "complete", "1") == ["one"]


@pytest.mark.usefixtures("two_turns")
def test_what_is_not_there_is_told(world: World) -> None:
    missing = world.run("history", "export", "1", "7", "9", "-o", "x.md")
    assert missing.returncode == 2
    assert b"error: no turns 7, 9 in the history\nhint: " in missing.stderr
    assert not (world.folder / "x.md").exists()
    nothing = world.run("history", "export")
    assert nothing.returncode == 2
    assert nothing.stderr.startswith(b"error: which turns are to be exported?\nhint: ")
    none = world.run("history", "export", "--model", "nobody", "-o", "x.md")
    assert (none.returncode, none.stdout, none.stderr) == (0, b"", b"no such turns\n")
    assert not (world.folder / "x.md").exists()
    blank = world.run("history", "search", " ")
    assert blank.returncode == 2
    assert blank.stderr.startswith(b"error: there is nothing to look for\nhint: ")
    unknown = world.run("history", "export", "1", "--format", "pdf")
    assert unknown.returncode == 2
    assert b"must be md or html or json or cast or svg" in unknown.stderr


@pytest.mark.usefixtures("two_turns")
def test_a_file_is_replaced_whole_or_not_at_all(world: World) -> None:
    out = world.folder / "out.md"
    out.write_text("before", encoding="utf-8")
    out.chmod(0o640)
    refused = world.run("history", "export", "1", "-o", "out.md")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert refused.stderr == b"error: out.md exists\nhint: --force overwrites it; or name another file\n"
    assert out.read_text(encoding="utf-8") == "before"
    assert world.run("history", "export", "1", "-o", "out.md", "--force").returncode == 0
    assert out.read_text(encoding="utf-8").startswith("# one")
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    assert [path.name for path in world.folder.iterdir()] == ["out.md"]
    for wrong in ("no/such/folder.md", "."):
        done = world.run("history", "export", "1", "-o", wrong)
        assert done.returncode == 2
        assert b"cannot be written: " in done.stderr
        assert b"\nhint: " in done.stderr
    assert world.run("history", "export", "1", "-o", "/dev/stdout").stdout.startswith(b"# one")


@pytest.mark.usefixtures("two_turns")
def test_another_history_takes_them_in(world: World, tmp_path: Path) -> None:
    other = {"XDG_STATE_HOME": str(tmp_path / "other")}
    assert world.run("history", "export", "--all", "-o", "all.json").returncode == 0
    done = world.run("history", "import", "all.json", env=other)
    assert (done.returncode, done.stdout) == (0, b"2 turns imported (turns 1 to 2)\n")
    assert world.run("history", "export", "--all", "--json", env=other).stdout == (world.folder / "all.json").read_bytes()
    again = world.run("history", "import", "all.json", env=other)
    assert again.stdout == b"no turns imported, 2 there already\n"
    lines = world.run("history", "show", "1", "--json").stdout + world.run("history", "show", "2", "--json").stdout
    piped = world.run("history", "import", "--json", "-", stdin=lines, env={"XDG_STATE_HOME": str(tmp_path / "third")})
    assert json.loads(piped.stdout) == {"imported": 2, "present": 0, "numbers": [1, 2]}
    assert world.run("history", "replay", "1", env=other).stdout == b"First **answer**.\n"


def test_of_an_empty_history_nothing_is_exported(world: World) -> None:
    done = world.run("history", "export", "--all")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"the history is empty\n")


def test_what_cannot_be_imported_leaves_the_history_as_it_is(world: World) -> None:
    (world.folder / "odd.json").write_text('{"text": 1}', encoding="utf-8")
    (world.folder / "binary").write_bytes(b"\xff\xfe\x00")
    for name, told in (("odd.json", b"has no messages"), ("binary", b"is not UTF-8"), ("nothing", b"cannot be read")):
        done = world.run("history", "import", name)
        assert done.returncode == 2
        assert told in done.stderr
        assert b"\nhint: " in done.stderr
    assert not world.state.exists()


def test_on_a_terminal_nothing_of_a_server_gets_through(world: World, ask: Ask, server: Server) -> None:
    server.play(answer(["a\x1b]0;title\x07\u009b2Jb"]))
    assert ask("hi").returncode == 0
    for form in FIRST_WORDS:
        screen = world.screen("history", "export", "1", "--format", form)
        assert screen.wait_for_exit() == 0
        assert b"\x1b]" not in screen.raw
        assert b"\xc2\x9b" not in screen.raw
