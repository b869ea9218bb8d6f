"""The rules of docs/architecture.md: imports point down, modules form no cycle, and what is dangerous has one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from streaming_chat.cli.hints import HINTS, HINTS_OF_OUTCOMES
from streaming_chat.core import errors
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.events import Outcome

SOURCE = Path(__file__).resolve().parents[1] / "src" / "streaming_chat"

#: From the bottom up. A module may import what stands below its room, and what stands in it.
ROOMS = (
    "core",
    "text",
    "wire",
    "markdown",
    "config",
    "engine",
    "terminal",
    "providers",
    "api",
    "renderers",
    "history",
    "documents",
    "observers",
    "session",
    "chat",
    "cli",
    "__main__",
)
RANK = {name: rank for rank, name in enumerate(ROOMS)}

#: Library → the one file, or folder, that may import it.
ONE_IMPORTER = {
    "argparse": "cli",
    "openai": "providers/openai_sdk.py",
    "xllamacpp": "providers/local/server.py",
    "prompt_toolkit": "chat/line_editor.py",
    "sqlite3": "history",
    "dotenv": "config/dotenv.py",
    "platformdirs": "config/folders.py",
    "plotext": "cli/commands/history/stats/plot.py",
    "opentelemetry": "observers/telemetry.py",
    "requests": "observers/telemetry.py",
    "pygments": "markdown/lexing.py",
    "markdown_it": "documents/markup.py",
    "wcwidth": "text/widths.py",
}
#: Libraries that none of the program's imports may bring in before they are needed.
INSIDE_A_FUNCTION = {
    *("openai", "xllamacpp", "dotenv", "platformdirs", "plotext", "pygments", "markdown_it", "opentelemetry", "requests")
}
#: Rooms of values and rules: no input, no output, no clock.
PURE = {"core", "text", "wire", "markdown"}
#: What they may import of the standard library.
PURE_IMPORTS = {
    *("__future__", "array", "bisect", "codecs", "collections", "dataclasses", "datetime", "email", "enum", "fnmatch"),
    *("functools", "html", "io", "itertools", "json", "math", "re", "struct", "typing", "unicodedata"),
}
#: The standard streams are written by these alone.
OUTPUTS = {"terminal/output.py", "__main__.py"}
#: What reads the process environment, and what it reads there.
ENVIRONMENT = {
    "api.py": "OPENAI_API_KEY, OPENAI_BASE_URL",
    "chat/editor.py": "VISUAL, EDITOR",
    "chat/line_editor.py": "TERM",
    "chat/repl.py": "TERM",
    "cli/context.py": "all of it, for the settings",
    "config/folders.py": "XDG_*, HOME",
    "providers/failures.py": "SSL_CERT_FILE, proxies",
    "providers/network.py": "proxies",
    "session/session.py": "TERM",
    "terminal/keyboard.py": "TERM",
}


#: The classes of errors, by name.
ERRORS = {name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.ChatError)}


class Import(NamedTuple):
    """One imported name: `at_import` says whether that happens when the module is imported."""

    name: str
    statement: str
    at_import: bool


class Module:
    """A file of the program, parsed once."""

    def __init__(self, path: Path) -> None:
        self.name = path.relative_to(SOURCE).as_posix()
        self.room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        self.dotted = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        self.text = path.read_text(encoding="utf-8")
        self.nodes = list(ast.walk(ast.parse(self.text)))
        self.imports = list(self._imports())

    def _imports(self) -> Iterator[Import]:
        later = {
            id(node)
            for outer in self.nodes
            if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef))
            or (isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING")
            for node in ast.walk(outer)
        }
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, ast.unparse(node), id(node) not in later)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} imports by a relative name"
                for alias in node.names:
                    yield Import(f"{node.module}.{alias.name}", ast.unparse(node), id(node) not in later)

    def own_imports(self) -> Iterator[tuple[str, Import]]:
        """The modules of this program that it imports, by dotted name without the package's."""
        for one in self.imports:
            package, _, name = one.name.partition(".")
            if package != "streaming_chat":
                continue
            while name and name not in by_name():
                name = name.rpartition(".")[0]
            if name != self.dotted:
                yield name, one


@cache
def by_name() -> dict[str, Module]:
    return {module.dotted: module for module in MODULES}


MODULES = [Module(path) for path in sorted(SOURCE.rglob("*.py"))]
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)


def test_every_module_has_its_room():
    assert {module.room for module in MODULES} - {"__init__"} == set(ROOMS)


@each_module
def test_imports_point_down(module):
    for name, one in module.own_imports():
        room = name.partition(".")[0]
        if module.room == "__init__" or not room or room == module.room:
            continue
        assert RANK[room] < RANK[module.room], one.statement


def test_modules_form_no_cycle():
    """Imports inside functions count too: a cycle that is put off is one all the same."""
    arrows = {module.dotted: {name for name, _ in module.own_imports() if name} for module in MODULES}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(arrows[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


@each_module
def test_each_heavy_library_has_one_importer(module):
    for one in module.imports:
        library = one.name.partition(".")[0]
        if library in ONE_IMPORTER:
            assert ONE_IMPORTER[library] in (module.name, module.room), one.statement
        if library in INSIDE_A_FUNCTION:
            assert not one.at_import, f"{module.name} imports {library} when it is imported itself"


@pytest.mark.parametrize("module", [one for one in MODULES if one.room in PURE], ids=lambda module: module.name)
def test_pure_rooms_do_no_input_or_output_and_read_no_clock(module):
    allowed = PURE_IMPORTS | {"streaming_chat"}
    allowed |= {library for library, place in ONE_IMPORTER.items() if place == module.name}
    used = {one.name.partition(".")[0] for one in module.imports}
    assert used <= allowed, used - allowed
    assert not {"open", "print", "input"} & {
        node.func.id for node in module.nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    # A moment is a value; which one it is now is not.
    assert not {"now", "today", "utcnow"} & {node.attr for node in module.nodes if isinstance(node, ast.Attribute)}


@each_module
def test_every_write_goes_through_the_one_place_for_outputs(module):
    used = set()
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sys":
            used.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == "sys":
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            used.add("stdout")
    outputs = used & {"stdout", "stderr", "__stdout__", "__stderr__"}
    assert not outputs or module.name in OUTPUTS, outputs


def test_only_one_place_changes_a_terminals_settings():
    assert [module.name for module in MODULES if "tcsetattr" in module.text] == ["terminal/keyboard.py"]


def test_the_environment_is_read_where_the_list_says():
    used = {
        module.name
        for module in MODULES
        for node in module.nodes
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "os.environb")
    }
    assert used == set(ENVIRONMENT)


def test_the_engine_knows_no_component():
    """Providers, observers and signals are passed in, so that another program can run a turn with its own."""
    rooms = {name.partition(".")[0] for module in MODULES if module.room == "engine" for name, _ in module.own_imports()}
    assert rooms - {""} <= {"core", "text", "wire", "engine"}


def test_the_python_api_reaches_the_engine_and_the_providers_alone():
    """Neither settings nor history nor terminal, whatever these import in turn."""
    seen: set[str] = set()
    waiting = ["api"]
    while waiting:
        for name, _ in by_name()[waiting.pop()].own_imports():
            if name and name not in seen:
                seen.add(name)
                waiting.append(name)
    assert {name.partition(".")[0] for name in seen} <= {"engine", "providers", "wire", "text", "core"}


#: Where a name may be looked up that is not written out, and what for.
BY_NAME = {
    "core/record.py": "the fields of a record, which its one list names",
    "providers/network.py": "the HTTP library has no public way to what it knows of a connection; options that systems lack",
    "providers/dial.py": "options of sockets that systems lack",
    "providers/socket_stream.py": "`select.poll`, which Windows lacks",
    "providers/sdk_import.py": "the parts of the SDK, by a table",
}


@pytest.mark.parametrize(
    "module",
    [one for one in MODULES if one.room in ("engine", "providers", "session", "observers", "renderers", "wire", "core")],
    ids=lambda one: one.name,
)
def test_no_method_of_a_provider_or_an_observer_is_found_by_its_name(module):
    """engine/protocols.py names them all."""
    calls = {node.func.id for node in module.nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not calls & {"getattr", "hasattr"} or module.name in BY_NAME


def test_commands_do_not_import_one_another():
    def command(dotted: str) -> str:
        return dotted.split(".")[2] if dotted.startswith("cli.commands.") else ""

    for module in MODULES:
        own = command(module.dotted)
        others = {command(name) for name, _ in module.own_imports()} - {"", own}
        assert not (own and others), f"{module.name} imports {others}"


#: Where a flag may be named below the command line and the chat, and why.
FLAGS = {"config/options.py": "the table of options defines them"}
_FLAG = re.compile(r"(?<![\w-])--[a-z]")
_CHAT_COMMAND = re.compile(r"(?<![\w./<:~-])/(?:set|model|retry|keep|stateful|undo|clear|history|config)\b(?!/)")


@pytest.mark.parametrize(
    "module", [one for one in MODULES if one.room not in ("cli", "chat", "__main__")], ids=lambda module: module.name
)
def test_below_the_command_line_and_the_chat_nothing_names_a_flag_or_a_command(module):
    """Errors carry facts; advice stands in cli/hints.py, in words that fit where the user is."""
    docstrings = {
        id(node.body[0].value)
        for node in module.nodes
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body and isinstance(node.body[0], ast.Expr)
    }
    said = [
        node.value
        for node in module.nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    named = [text for text in said if _FLAG.search(text) or _CHAT_COMMAND.search(text)]
    assert not named or module.name in FLAGS


def test_every_kind_of_error_has_advice_and_is_raised():
    assert set(HINTS) == set(Kind)
    assert set(HINTS_OF_OUTCOMES) == set(Outcome) - {Outcome.COMPLETE, Outcome.ERROR}
    raised = {
        node.attr
        for module in MODULES
        if module.name not in ("cli/hints.py", "core/error_kinds.py")
        for node in module.nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Kind"
    }
    assert raised == {kind.name for kind in Kind}


@pytest.mark.parametrize("module", [one for one in MODULES if one.room not in ("cli", "chat")], ids=lambda one: one.name)
def test_below_the_command_line_and_the_chat_no_error_is_given_a_hint(module):
    for node in module.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
            assert len(node.args) <= 1 or module.name == "history/playback.py", ast.unparse(node)
