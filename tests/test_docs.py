"""The pages agree with the program: excerpts, commands, links, tables. And the demo holds what may be published."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from conftest import ROOT
from streaming_chat.cli import parser as cli
from streaming_chat.config import load as settings
from streaming_chat.core.errors import ChatError
from streaming_chat.core.exit_status import ExitStatus

README = ROOT / "README.md"
PROJECT = ROOT / "projects" / "02-streaming-chat"
DEMO = PROJECT / "demo"
#: Tools keep folders of their own, and they begin with a dot.
PAGES = sorted(path for path in ROOT.rglob("*.md") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))
WITH_COMMANDS = [README, ROOT / "docs" / "guide.md", ROOT / "docs" / "latency.md", PROJECT / "README.md", DEMO / "README.md"]


def _load(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


regenerate = _load(ROOT / "docs" / "regenerate.py")
pictures = _load(ROOT / "docs" / "pictures.py")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tokens(path: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))


def section(path: Path, heading: str) -> str:
    text = path.read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{name_of(path)} has no section {heading}"
    return found[1]


# Excerpts


def test_the_picture_of_the_structure_is_the_present_one():
    assert regenerate.STRUCTURE.read_text(encoding="utf-8") == regenerate.picture(), "python docs/regenerate.py"


@pytest.mark.parametrize("path", regenerate.PAGES, ids=name_of)
def test_the_excerpts_are_what_the_program_says(path):
    page = path.read_text(encoding="utf-8")
    assert page == regenerate.regenerated(page), "python docs/regenerate.py"


@pytest.mark.parametrize("theme", pictures.LOOKS)
def test_the_pictures_show_what_the_program_shows(theme):
    assert pictures.path_of(theme).read_text(encoding="utf-8") == pictures.picture(theme), "python docs/pictures.py"


def test_every_excerpt_stands_somewhere():
    pages = "".join(path.read_text(encoding="utf-8") for path in regenerate.PAGES)
    assert not [name for name in regenerate.EXCERPTS if f"<!-- generated: {name} -->\n\n" not in pages]


def test_the_help_is_laid_out_as_argparse_does_it_since_3_13():
    text = regenerate.laid_out(regenerate.help_text("history", "export"))
    assert max(map(len, text.partition("\noptions:")[2].partition("\n\n")[0].splitlines())) <= regenerate.WIDTH
    if sys.version_info >= (3, 13):
        assert text == regenerate.help_text("history", "export", columns=str(regenerate.WIDTH))


def test_laying_help_out_loses_no_word():
    printed = regenerate.help_text("history", "export")
    laid_out = regenerate.laid_out(printed)
    # Only the value's name, which Python 3.12 and earlier repeat for every flag of an option, is told once.
    printed = printed.replace("-o FILE, --output FILE", "-o, --output FILE")
    assert laid_out.split() == printed.split()


def test_the_exit_status_table_has_every_status_and_no_other():
    rows = re.findall(r"^\| (\d+) \|", section(README, "Exit status"), re.MULTILINE)
    assert [int(row) for row in rows] == [status.value for status in ExitStatus]


def test_the_json_table_has_every_field_of_every_event(ask, server):
    from server import answer

    server.play(answer(["Hello"], usage={"prompt_tokens": 1, "completion_tokens": 1}))
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section(ROOT / "docs" / "guide.md", "JSON"), re.MULTILINE))
    lines = [json.loads(line) for line in ask("--json", "hi").stdout.splitlines()]
    assert {line["event"] for line in lines} == {"start", "delta", "usage", "end"}
    for line in lines:
        assert [field for field in line if field != "event" and f"`{field}`" not in rows[line["event"]]] == []


# Commands


class Call(NamedTuple):
    """One command of a page, without what the shell takes away. `output` is the line below it."""

    where: str
    words: list[str]
    output: str


def calls_in_blocks() -> Iterator[Call]:
    for path in WITH_COMMANDS:
        for token in tokens(path):
            if token.type != "fence" or token.info not in ("sh", "console"):
                continue
            assert token.map is not None
            lines = token.content.splitlines()
            for number, line in enumerate(lines):
                if token.info == "console" and not line.startswith("$ "):
                    continue
                after = lines[number + 1] if number + 1 < len(lines) else ""
                for words in simple_commands(line.removeprefix("$ ")):
                    yield Call(f"{name_of(path)}:{token.map[0] + 2 + number}", words, after)


def calls_in_sentences() -> Iterator[Call]:
    """`make chat` in the middle of a sentence."""
    for path in PAGES:
        # Elsewhere a command may stand with placeholders, `history show N`.
        program = "make|streaming-chat" if path in WITH_COMMANDS else "make"
        for child in (child for token in tokens(path) for child in token.children or ()):
            if child.type == "code_inline" and re.match(rf"({program}) ", child.content):
                for words in simple_commands(child.content):
                    yield Call(name_of(path), words, "")


def simple_commands(line: str) -> Iterator[list[str]]:
    """The commands of a pipeline or list, without assignments before and redirections behind them."""
    # `2> file` is a redirection as `> file` is.
    lexer = shlex.shlex(re.sub(r"(?<=\s)\d(?=>)", "", line), posix=True, punctuation_chars="|&;<>")
    lexer.commenters = "#"
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for word in [*lexer, ";"]:
        if skip:
            skip = False
        elif word in ("|", "||", "&&", "&", ";"):
            while words and re.match(r"[A-Za-z_]\w*=", words[0]):
                del words[0]
            if words:
                yield words
            words = []
        elif set(word) <= {"<", ">"}:
            skip = True
        else:
            words.append(word)


CALLS = [*calls_in_blocks(), *calls_in_sentences()]


def arguments(words: list[str]) -> list[str] | None:
    """What the program is given, when `words` call it."""
    if Path(words[0]).name == "streaming-chat":
        return words[1:]
    if Path(words[0]).name in ("python", "python3"):
        if words[1:3] == ["-m", "streaming_chat"]:
            return words[3:]
        if len(words) > 1 and words[1].endswith("streaming_chat.py"):
            assert (ROOT / words[1]).is_file(), words[1]
            return words[2:]
    return None


def refused(given: list[str]) -> str | None:
    """The error that the program has for these arguments, before it does anything."""
    try:
        parse(given)
    except ChatError as error:
        return error.message
    return None


def parse(given: list[str]) -> None:
    """Parse as the program does, values included; ChatError for what it would refuse."""
    line = cli.parse(given)
    for name, value in line.flags.items():
        settings.parse(name, value, next(flag for flag in settings.OPTIONS[name].flags if flag.startswith("--")))


@pytest.mark.parametrize("call", [call for call in CALLS if arguments(call.words) is not None], ids=lambda call: call.where)
def test_the_program_takes_every_command_of_the_pages(call):
    refusal = refused(arguments(call.words) or [])
    # A page may show a mistake; then it shows what the program says of it.
    shown = call.output.removeprefix("error: ") if call.output.startswith("error: ") and refusal else None
    assert refusal == shown


def test_the_pages_show_commands_at_all():
    assert len([call for call in CALLS if arguments(call.words) is not None]) > 30
    assert len([call for call in CALLS if call.words[0] == "make"]) > 5


@pytest.mark.parametrize("call", [call for call in CALLS if call.words[0] == "make"], ids=lambda call: call.where)
def test_every_make_target_exists(call):
    known = set(re.findall(r"^([\w.-]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for word in call.words[1:]:
        name, equals, value = word.partition("=")
        if not equals:
            assert word in known, f"make {word}"
        elif name == "ARGS":
            parse(shlex.split(value))


def test_the_configuration_file_of_the_guide_is_one(tmp_path):
    files = [token.content for token in tokens(ROOT / "docs" / "guide.md") if token.type == "fence" and token.info == "toml"]
    assert files
    for content in files:
        path = tmp_path / "config.toml"
        path.write_text(content, encoding="utf-8")
        loaded = settings.load({}, {}, folder=tmp_path, config_file=path, notice=pytest.fail)
        assert loaded.origins


# Links and sections


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    names = set()
    parsed = tokens(path)
    for opening, inline in pairwise(parsed):
        if opening.type == "heading_open":
            text = "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            names.add(f"{name}-{found[name]}" if name in found else name)
            found[name] = found.get(name, 0) + 1
    return names


def links(path: Path) -> list[str]:
    inlines = [child for token in tokens(path) for child in token.children or ()]
    return [str(child.attrs.get("href") or child.attrs["src"]) for child in inlines if child.type in ("link_open", "image")]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_somewhere(path):
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_project_page_has_its_eight_sections():
    headings = re.findall(r"^## (.+)$", (PROJECT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [heading.lower() for heading in headings] == [
        "overview",
        "objectives",
        "features",
        "architecture",
        "how to run",
        "results",
        "skills",
        "future",
    ]


# What may be published


@pytest.mark.parametrize("path", [*PAGES, *sorted(DEMO.iterdir())], ids=name_of)
def test_no_page_has_an_escape_sequence_or_a_place_on_somebodys_machine(path):
    text = path.read_text(encoding="utf-8")
    assert not [char for char in text if not char.isprintable() and char not in "\n\t"]
    assert not re.search(r"(?<![\w.~/])/(home|root|Users|tmp|work|var|opt|mnt)/", text)
    assert str(Path.home()) not in text or Path.home() == Path("/")


def test_the_demo_is_what_the_program_writes():
    events = [json.loads(line) for line in (DEMO / "answer.ndjson").read_text(encoding="utf-8").splitlines()]
    assert events[0]["event"] == "start"
    assert events[-1]["event"] == "end"
    assert "".join(event["text"] for event in events if event["event"] == "delta") == events[-1]["text"]
    (log,) = DEMO.glob("project02-streaming-*.log")
    lines = log.read_text(encoding="utf-8").splitlines()
    header = [line for line in lines if line.startswith("# ")]
    assert header == lines[: len(header)]
    entry = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\] (USER|ASSISTANT|LATENCY|COMMAND|ERROR): ")
    assert {found[1] for line in lines[len(header) :] if (found := entry.match(line))} == {
        "USER",
        "ASSISTANT",
        "LATENCY",
        "COMMAND",
        "ERROR",
    }
    assert all(entry.match(line) for line in lines[len(header) :])


def test_every_file_of_the_demo_is_described():
    described = {link for link in links(DEMO / "README.md") if "/" not in link}
    assert described == {path.name for path in DEMO.iterdir()} - {"README.md"}
