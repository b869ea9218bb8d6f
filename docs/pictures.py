"""Draws docs/answer-dark.svg and docs/answer-light.svg: what the program shows of an answer, in a terminal.

`python docs/pictures.py`, with the test requirements installed. The answer comes from the loopback server of the tests, and
the picture from the bytes that the program wrote to a real pseudo-terminal. tests/test_docs.py draws them anew and compares.
"""

from __future__ import annotations

import os
import sys
import tempfile
from html import escape
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "src")]

from pyte.screens import Char  # noqa: E402 # the path comes first

from markdown_screen import Paper  # noqa: E402
from screen import Screen  # noqa: E402
from server import Server, answer  # noqa: E402

COLUMNS = 76
ANSWER = """\
# Why the first token takes longest

Two phases, and only the **second** one streams:

1. *Prefill*: the model reads your whole prompt. Its time grows with the prompt.
2. *Decode*: one token after another, each shown the moment it arrives.
   - [x] measured here: `first_token` and `gaps`
   - [ ] ~~not measured~~: what the server did meanwhile

| Prompt | First token | Tokens/s |
|:-------|------------:|---------:|
| 200 tokens | **0.21 s** | 94 |
| 8,000 tokens | **1.90 s** | 88 |

```python
def tokens_per_second(count: int, first: float, last: float) -> float:
    return (count - 1) / (last - first)  # the first one starts the clock
```

> So measure both. 日本語 and emoji 🙂 keep their places, $t_1 * x_1$ its stars,
> and links show where they lead: [the definitions](https://example.com/latency).
"""
#: Background, text, faint text, and the colours that the themes use, as terminals have them.
LOOKS = {
    "dark": (
        *("#16181d", "#d8dee9", "#7f8794"),
        {
            "red": "#ff7b72",
            "green": "#7ee787",
            "brown": "#e3b341",
            "blue": "#79c0ff",
            "magenta": "#d2a8ff",
            "cyan": "#76e3ea",
            "brightblack": "#8b949e",
        },
    ),
    "light": (
        *("#ffffff", "#24292f", "#8a919a"),
        {
            "red": "#b31d28",
            "green": "#116329",
            "brown": "#7d4e00",
            "blue": "#0550ae",
            "magenta": "#8250df",
            "cyan": "#1b7c83",
            "brightblack": "#6e7781",
        },
    ),
}
_CELL = (8.4, 20)


def main() -> None:
    """Draw both."""
    for theme in LOOKS:
        path_of(theme).write_text(picture(theme), encoding="utf-8")


def path_of(theme: str) -> Path:
    """Where the picture lies."""
    return ROOT / "docs" / f"answer-{theme}.svg"


def picture(theme: str) -> str:
    """What the program shows in this theme, as SVG."""
    paper = Paper(shown(theme), COLUMNS)
    paper.write(shown(theme))
    background, text, faint, colors = LOOKS[theme]
    rows = paper.cursor.y
    size = (round(COLUMNS * _CELL[0] + 32), rows * _CELL[1] + 28)
    lines = []
    for y in range(rows):
        for look, run in groupby(range(COLUMNS), lambda x, y=y: _look(paper.buffer[y][x])):
            cells = [(x, paper.buffer[y][x].data) for x in run]
            # Blanks at the edge of a text do not count in every viewer.
            while cells and not cells[0][1].strip():
                cells.pop(0)
            if cells:
                written = "".join(data for _, data in cells).rstrip()
                lines.append(
                    f'<text x="{16 + cells[0][0] * _CELL[0]:.1f}" y="{30 + y * _CELL[1]}"'
                    f"{_style(look, text, faint, colors)}>{escape(written)}</text>"
                )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" font-size="14" xml:space="preserve"'
        f' font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" style="white-space:pre">\n'
        f'<rect width="{size[0]}" height="{size[1]}" rx="8" fill="{background}"/>\n' + "\n".join(lines) + "\n</svg>\n"
    )


def shown(theme: str) -> str:
    """What the program writes to a terminal for the answer, piece by piece as a model sends it."""
    pieces = [ANSWER[place : place + 4] for place in range(0, len(ANSWER), 4)]
    with tempfile.TemporaryDirectory() as folder, Server(answer(pieces)) as server:
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, "-m", "streaming_chat", "--quiet", "--theme", theme, "--base-url", server.base_url, "hi"]
        with Screen(command, env=environment, columns=COLUMNS, lines=60) as screen:
            screen.wait_for_exit()
            return screen.raw.decode()


def _look(cell: Char) -> tuple[str, bool, bool, bool, bool, bool]:
    return cell.fg, cell.bold, cell.italics, cell.underscore, cell.strikethrough, cell.reverse


def _style(look: tuple[str, bool, bool, bool, bool, bool], text: str, faint: str, colors: dict[str, str]) -> str:
    color, bold, italics, underscore, strike, is_faint = look
    style = f' fill="{faint if is_faint else colors.get(color, text)}"'
    decoration = " ".join(name for name, on in (("underline", underscore), ("line-through", strike)) if on)
    style += ' font-weight="bold"' if bold else ""
    style += ' font-style="italic"' if italics else ""
    return style + (f' text-decoration="{decoration}"' if decoration else "")


if __name__ == "__main__":
    main()
