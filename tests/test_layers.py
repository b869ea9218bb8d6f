"""The rules of docs/architecture.md: imports point down only, and each heavy library has one importer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "streaming_chat"

#: From the bottom up. A module may import what stands below it, and a family (core, renderers, providers) its own.
LAYERS = (
    {"core", "__init__"},
    {"signals", "values", "folders", "spelling", "standard_input", "deadline"},
    {"terminal", "price_list", "dotenv_file", "toml_file"},
    {"keyboard", "trust", "argument_parser"},
    {"settings", "notices", "turn", "line_reader", "adaptations"},
    {"renderers", "providers", "history", "local_server"},
    {"transcripts"},
    {
        "session_log",
        "session_transcript",
        "config_command",
        "dotenv_lines",
        "history_command",
        "replay",
        "editor",
        "usage_lines",
        "telemetry",
    },
    {"session", "trust_command"},
    {"commands"},
    {"line_editor"},
    {"repl"},
    {"cli"},
    {"__main__"},
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

#: Library → the one file, or folder, that may import it.
ONE_IMPORTER = {
    "openai": "providers/openai_sdk.py",
    "xllamacpp": "local_server.py",
    "prompt_toolkit": "line_editor.py",
    "sqlite3": "history",
    "dotenv": "dotenv_file.py",
    "platformdirs": "folders.py",
    "plotext": "history_command/stats/plot.py",
    "opentelemetry": "telemetry.py",
    "requests": "telemetry.py",
    "pygments": "core/markdown/lexing.py",
    "markdown_it": "transcripts/markup.py",
    "wcwidth": "core/markdown/widths.py",
}
#: Libraries that none of the program's imports may bring in before they are needed.
INSIDE_A_FUNCTION = {
    *("openai", "xllamacpp", "dotenv", "platformdirs", "plotext", "pygments", "markdown_it", "opentelemetry", "requests")
}

MODULES = sorted(SOURCE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, ast.stmt, bool]]:
    """Name, statement, and whether it runs when the module is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    later = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef))
        or (isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING")
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node, id(node) not in later
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports by a relative name"
            yield node.module or "", node, id(node) not in later


def family(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path):
    own = family(path)
    assert own in RANK, f"{own} has no place in the layers"
    for name, _, _ in imports(path):
        parts = name.split(".")
        if parts[0] != "streaming_chat":
            continue
        other = parts[1] if len(parts) > 1 else "__init__"
        assert other == own or RANK[other] < RANK[own], f"{own} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_heavy_library_has_one_importer(path):
    for name, node, at_import in imports(path):
        library = name.split(".")[0]
        if library in ONE_IMPORTER:
            assert ONE_IMPORTER[library] in (name_of(path), family(path)), ast.unparse(node)
        if library in INSIDE_A_FUNCTION:
            assert not at_import, f"{path.name} imports {library} when it is imported itself"


@pytest.mark.parametrize("path", sorted((SOURCE / "core").rglob("*.py")), ids=name_of)
def test_the_core_does_no_input_or_output_and_reads_no_clock(path):
    allowed = {
        "__future__",
        "streaming_chat",
        "array",
        "bisect",
        "codecs",
        "collections",
        "dataclasses",
        "email",
        "enum",
        "struct",
    }
    allowed |= {"fnmatch", "functools", "html", "itertools", "json", "math", "re", "struct", "typing", "unicodedata"}
    allowed |= {library for library, place in ONE_IMPORTER.items() if place == name_of(path)}
    used = {name.split(".")[0] for name, _, _ in imports(path)}
    assert used <= allowed, used - allowed
    assert not {"open", "print", "input"} & {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_write_goes_through_the_one_place_for_outputs(path):
    used = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sys":
            used.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == "sys":
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            used.add("stdout")
    outputs = used & {"stdout", "stderr", "__stdout__", "__stderr__"}
    assert not outputs or name_of(path) in ("terminal.py", "__main__.py"), outputs


def test_only_one_place_changes_a_terminals_settings():
    assert [name_of(path) for path in MODULES if "tcsetattr" in path.read_text(encoding="utf-8")] == ["keyboard.py"]


def test_the_streaming_loop_knows_neither_providers_nor_renderers():
    names = {name for name, _, _ in imports(SOURCE / "turn.py")}
    assert not [name for name in names if "providers" in name or "renderers" in name]


def test_every_module_has_its_place():
    assert {family(path) for path in MODULES} == set(RANK)
