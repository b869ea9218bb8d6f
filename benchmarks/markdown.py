"""What formatting costs: this renderer beside plain printing, rich's Live and streamdown, token by token.

    python benchmarks/markdown.py [--others]

`--others` needs `pip install rich streamdown`. Times are CPU time, the better of two runs; the text comes in tokens of a
word or less, for a terminal of 80 columns. "4× text" is the time for 16,000 tokens over that for 4,000. streamdown is a
program that reads a pipe: its time is that of the process, less that of one without input.
"""

from __future__ import annotations

import argparse
import io
import platform
import random
import re
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from streaming_chat.markdown import MarkdownStream

WIDTH = 80
SIZES = (1_000, 4_000, 16_000)
#: The tokens that are given to others: rich renders all anew for each, and larger texts would take minutes.
MOST_FOR_OTHERS = 1_000
_WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "and",
    "then",
    "some",
    "more",
    "words",
    "in",
    "terminals",
]


def prose(count: int) -> list[str]:
    """One endless paragraph."""
    return [f" {random.choice(_WORDS)}" for _ in range(count)]  # noqa: S311 # no secret


def markup(count: int) -> list[str]:
    """Paragraphs with emphasis, code and links."""
    marked = {3: " **{}", 4: " {}**", 8: " *{}*", 12: " `{}`", 16: " [{0}](https://example.com/{0})", 59: " {}.\n\n"}
    return [
        marked.get(place % 60 if place % 60 == 59 else place % 20, " {}").format(word.strip())
        for place, word in enumerate(prose(count))
    ]


def code(count: int) -> list[str]:
    """One block of Python."""
    line = [
        "def",
        " f",
        "(x",
        ", y",
        "):\n",
        "    return",
        " x",
        " +",
        " 1",
        "\n",
        "    for",
        " i",
        " in",
        " range",
        "(10",
        "):\n",
    ]
    return ["```python\n", *(line[place % len(line)] for place in range(count))]


def rust(count: int) -> list[str]:
    """One block of Rust, as a person would write it."""
    text = """\
/// The value of `key`, if it is there.
pub fn get(&mut self, key: &K) -> Option<&V> {
    self.tick += 1; // newer than all others
    let tick = self.tick;
    self.map.get_mut(key).map(|entry| {
        entry.1 = tick;
        &entry.0
    })
}

println!("evicted {} of {}", "one", self.capacity);
"""
    line = re.findall(r"\n *| ?\w{1,7}| ?[^\s\w]{1,2}", text)
    return ["```rust\n", *(line[place % len(line)] for place in range(count))]


def items(count: int) -> list[str]:
    """One list."""
    return [
        f"{'- ' if place % 10 == 0 else ''}{word.strip()}{chr(10) if place % 10 == 9 else ' '}"
        for place, word in enumerate(prose(count))
    ]


def table(count: int) -> list[str]:
    """One table."""
    cells = "| one| two| |three| | four| five| |\n".replace(" |", " |\0").replace("\n", "\n\0").split("\0")
    return ["| a | b | c |\n|---|---|---|\n", *(cells[place % len(cells)] for place in range(count))]


def nested(count: int) -> list[str]:
    """Items eight levels deep."""
    return [
        ("  " * (place // 8 % 8) + "- " if place % 8 == 0 else " ") + word.strip() + ("\n" if place % 8 == 7 else "")
        for place, word in enumerate(prose(count))
    ]


def stars(count: int) -> list[str]:
    """One run of stars, which grows by one to five at a time."""
    return ["a ", *("*" * (1 + place % 5) for place in range(count))]


def brackets(count: int) -> list[str]:
    """Brackets that are open, and may begin a link until the row is full."""
    return ["[a "] * count


TEXTS: dict[str, Callable[[int], list[str]]] = {
    "paragraph": prose,
    "markup": markup,
    "code": code,
    "rust": rust,
    "list": items,
    "table": table,
    "nested": nested,
    "stars": stars,
    "brackets": brackets,
}


def ours(tokens: list[str]) -> int:
    """This program; the bytes that it writes."""
    stream = MarkdownStream(WIDTH)
    written = sum(len(stream.feed(token).encode()) for token in tokens)
    return written + len(stream.finish().encode())


def plain(tokens: list[str]) -> int:
    """Nothing but writing."""
    out = io.BytesIO()
    for token in tokens:
        out.write(token.encode())
        out.flush()
    return out.tell()


def rich_live(tokens: list[str]) -> int:
    """rich.live with rich.markdown, as clients built on it do: the text so far, rendered anew for each token."""
    from rich.console import Console
    from rich.live import Live
    from rich.markdown import Markdown

    out = io.StringIO()
    text = ""
    with Live(console=Console(file=out, width=WIDTH, force_terminal=True), auto_refresh=False) as live:
        for token in tokens:
            text += token
            live.update(Markdown(text), refresh=True)
    return len(out.getvalue().encode())


def streamdown(tokens: list[str]) -> int:
    """streamdown, from the environment of this interpreter."""
    program = Path(sys.executable).with_name("sd")
    return len(subprocess.run([program], input="".join(tokens).encode(), capture_output=True, check=True).stdout)


def cpu(render: Callable[[list[str]], int], tokens: list[str]) -> tuple[float, int]:
    """The CPU seconds of one run, the better of two, and the bytes written."""
    best = float("inf")
    for _ in range(2):
        start = _spent()
        size = render(tokens)
        best = min(best, _spent() - start)
    return best, size


def _spent() -> float:
    """The CPU seconds of this process and of those that it has waited for."""
    return sum(sum(resource.getrusage(whose)[:2]) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def peak(tokens: list[str]) -> int:
    """The most memory that the stream held, bytes."""
    stream = MarkdownStream(WIDTH)
    tracemalloc.start()
    for token in tokens:
        stream.feed(token)
    stream.finish()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def lines(*, others: bool) -> Iterator[str]:
    """The table, line by line."""
    yield f"{platform.machine()}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}; width {WIDTH}"
    yield (
        "| text | "
        + " | ".join(f"{size:,} tokens, µs/token" for size in SIZES)
        + " | 4× text | bytes/text | peak KiB | plain µs/token |"
        + (" rich Live, times ours | streamdown, times ours |" if others else "")
    )
    yield "| --- |" + " ---: |" * (len(SIZES) + 4 + 2 * others)
    for name, make in TEXTS.items():
        texts = [make(size) for size in SIZES]
        ours(texts[0])  # Imports and caches.
        figures = [cpu(ours, tokens) for tokens in texts]
        each = [took / len(tokens) * 1e6 for (took, _), tokens in zip(figures, texts, strict=True)]
        size = sum(len(token.encode()) for token in texts[-1])
        row = [
            name,
            *(f"{one:.1f}" for one in each),
            f"{figures[2][0] / figures[1][0]:.2f}×",
            f"{figures[-1][1] / size:.2f}",
        ]
        row += [f"{peak(texts[-1]) / 1024:,.0f}", f"{cpu(plain, texts[0])[0] / len(texts[0]) * 1e6:.1f}"]
        if others:
            tokens = make(MOST_FOR_OTHERS)
            own = cpu(ours, tokens)[0]
            row.append(f"{cpu(rich_live, tokens)[0] / own:,.0f}")
            row.append(f"{(cpu(streamdown, tokens)[0] - cpu(streamdown, [])[0]) / own:,.0f}")
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--others", action="store_true", help="measure rich and streamdown as well")
    random.seed(1)
    for line in lines(others=parser.parse_args().others):
        print(line, flush=True)
