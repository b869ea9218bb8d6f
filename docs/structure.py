"""Draws the structure of the source: rooms, and the imports between them.

    python docs/structure.py                      # docs/structure.svg, from src/
    python docs/structure.py --source FOLDER -o FILE.svg

A room is a file or folder directly in the package. It stands one floor above the highest room that it imports. An arrow is
drawn where a room imports another one, unless another way down says so already; the first line counts all of them. An upward
arrow leads to a room on the same floor or a higher one. A circle is a set of modules that import one another.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = "streaming_chat"

Graph = dict[str, set[str]]

_WIDTH, _ROW, _BOX, _GAP, _MARGIN = 1160, 104, 54, 18, 24
_STYLE: Final = """\
text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: #1f2328; }
.size { font-size: 11px; fill: #59636e; }
rect { fill: #f6f8fa; stroke: #8c959f; rx: 6px; }
path { fill: none; stroke: #8c959f; stroke-width: 1.1; opacity: .75; }
.up { stroke: #d1242f; stroke-width: 2; opacity: 1; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; }
  text { fill: #f0f6fc; } .size { fill: #9198a1; }
  rect { fill: #151b23; stroke: #656c76; } path { stroke: #656c76; } .up { stroke: #f85149; }
}"""


class Structure(NamedTuple):
    """What was measured. `modules` and `rooms` map a name to the names that it imports; `sizes` are numbers of modules."""

    modules: Graph
    rooms: Graph
    sizes: Mapping[str, int]


def measured(source: Path) -> Structure:
    """Read the package in `source`."""
    files = {".".join(path.relative_to(source).with_suffix("").parts): path for path in sorted(source.rglob("*.py"))}
    names = {name.removesuffix(".__init__"): path for name, path in files.items() if name != "__init__"}
    modules = {name: set(_imported(path, set(names))) - {name} for name, path in names.items()}
    rooms: Graph = {}
    sizes: dict[str, int] = {}
    for name in names:
        room = name.partition(".")[0]
        rooms.setdefault(room, set()).update(other.partition(".")[0] for other in modules[name])
        sizes[room] = sizes.get(room, 0) + 1
    return Structure(modules, {room: others - {room} for room, others in rooms.items()}, sizes)


def _imported(path: Path, names: set[str]) -> Iterator[str]:
    """The modules of the package that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        for one in found:
            package, _, name = one.partition(".")
            while name and name not in names:
                name = name.rpartition(".")[0]
            if package == PACKAGE and name:
                yield name


def circles(graph: Graph) -> list[set[str]]:
    """The sets of names that can be reached from one another, of two or more."""
    reach = {name: _reachable(name, graph) for name in graph}
    sets = {frozenset({name, *(other for other in reach[name] if name in reach[other])}) for name in graph}
    return [set(one) for one in sorted(sets, key=sorted) if len(one) > 1]


def _reachable(name: str, graph: Graph) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for other in graph[waiting.pop()] - found:
            found.add(other)
            waiting.append(other)
    return found


def floors(graph: Graph) -> dict[str, int]:
    """The floor of each name: one above the highest that it imports. Names of one circle stand on one floor."""
    reach = {name: _reachable(name, graph) for name in graph}
    height: dict[str, int] = {}

    def floor(name: str) -> int:
        if name not in height:
            below = {other for other in reach[name] if name not in reach[other]}
            height[name] = 1 + max((floor(other) for other in below), default=-1)
        return height[name]

    return {name: floor(name) for name in graph}


def needed(graph: Graph) -> list[tuple[str, str]]:
    """The arrows that no other way stands for."""
    return [
        (name, other)
        for name in sorted(graph)
        for other in sorted(graph[name])
        if not any(other in _reachable(between, graph) for between in graph[name] - {other} if between != name)
    ]


def counts(structure: Structure) -> tuple[int, int, int, int, int]:
    """Rooms, modules, arrows between rooms, upward ones among them, circles of modules."""
    rooms, floor = structure.rooms, floors(structure.rooms)
    arrows = [(one, other) for one in rooms for other in rooms[one]]
    upward = sum(floor[one] <= floor[other] for one, other in arrows)
    return len(rooms), len(structure.modules), len(arrows), upward, len(circles(structure.modules))


def summary(structure: Structure) -> str:
    """The counts, on one line."""
    rooms, modules, arrows, upward, loops = counts(structure)
    return f"{rooms} rooms, {modules} modules, {arrows} arrows between rooms, {upward} upward, {loops} circles of modules"


def _size(structure: Structure, name: str) -> str:
    modules = structure.sizes[name]
    return "1 module" if modules == 1 else f"{modules} modules"


def drawn(structure: Structure) -> str:
    """The picture, as SVG."""
    floor = floors(structure.rooms)
    top = max(floor.values())
    place: dict[str, tuple[float, float, float]] = {}
    for level in range(top + 1):
        row = sorted(name for name in floor if floor[name] == level)
        wide = [max(90.0, 8.2 * len(name) + 16, structure.sizes[name] * 7.0) for name in row]
        free = _WIDTH - 2 * _MARGIN - sum(wide) - _GAP * (len(row) - 1)
        left = _MARGIN + max(0.0, free / 2)
        for name, width in zip(row, wide, strict=True):
            place[name] = (left, 56 + (top - level) * _ROW, width)
            left += width + _GAP
    width = max(_WIDTH, max(left + wide for left, _, wide in place.values()) + _MARGIN)
    height = 56 + (top + 1) * _ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" role="img">',
        f"<title>{summary(structure)}</title>",
        f"<style>{_STYLE}</style>",
        f'<text x="{_MARGIN}" y="30">{summary(structure)}</text>',
    ]
    for one, other in needed(structure.rooms):
        (x1, y1, w1), (x2, y2, w2) = place[one], place[other]
        start, end = y1 + _BOX, y2
        style = ' class="up"' if floor[one] <= floor[other] else ""
        bend = (end - start) / 2
        x1, x2 = x1 + w1 / 2, x2 + w2 / 2
        curve = f"C{x1:.0f} {start + bend:.0f} {x2:.0f} {end - bend:.0f} {x2:.0f} {end:.0f}"
        parts.append(f'<path{style} d="M{x1:.0f} {start:.0f}{curve}"/>')
    for name, (x, y, wide) in place.items():
        middle = x + wide / 2
        parts += [
            f'<rect x="{x:.0f}" y="{y}" width="{wide:.0f}" height="{_BOX}"/>',
            f'<text x="{middle:.0f}" y="{y + 23}" text-anchor="middle">{escape(name)}</text>',
            f'<text class="size" x="{middle:.0f}" y="{y + 41}" text-anchor="middle">{_size(structure, name)}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Draw, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=ROOT / "src" / PACKAGE, help="folder of the package")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "structure.svg", help="picture to write")
    given = parser.parse_args()
    structure = measured(given.source)
    given.output.write_text(drawn(structure), encoding="utf-8")
    sys.stdout.write(summary(structure) + "\n")


if __name__ == "__main__":
    main()
