"""What must be visible of a Markdown document, by markdown-it-py: the characters in reading order, each with its styles.

What the renderer may draw as it likes is left out here, and is faint on the screen (see `markdown_screen.py`): bullets,
numbers, quote bars, rules, task boxes, the URL behind a link, the language of a code block. HTML is plain text.

Two things differ from markdown-it's HTML on purpose. An entity can name a character that the sanitiser would not have let
pass (`&#x202E;`, `&#12;`): it has to be as harmless as elsewhere. And an autolink is shown as it was written, as the
specification has it; markdown-it would turn `xn--…` and `%C3%A4` into the letters that they stand for.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import groupby

from markdown_it import MarkdownIt
from markdown_it.token import Token
from wcwidth import wcwidth

from streaming_chat.text.sanitize import sanitize

Glyph = tuple[str, frozenset[str]]
"""A visible character (after canonical decomposition) and its styles: `strong`, `emphasis`, `strike`, `code`, and of where
it stands `heading` (also the head of a table), `table` and `block` (of code)."""

# The preset gives up at 20 levels of nesting, and drops the text.
_parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 200}).enable(["table", "strikethrough"])
_parser.normalizeLinkText = lambda url: url

_PLACES = frozenset({"heading", "table", "block"})
_STYLES = {"strong": "strong", "em": "emphasis", "s": "strike"}
_TASK_BOX = re.compile(r"\[[ xX]\](?=[ \t])")


def expected(markdown: str) -> list[Glyph]:
    """Return the visible characters of a document, without white space."""
    glyphs: list[Glyph] = []
    tokens = _parser.parse(markdown)
    for number, token in enumerate(tokens):
        if token.type in ("fence", "code_block"):
            _add(glyphs, [(token.content, frozenset({"code", "block"}))])
        elif token.type == "inline":
            before = [earlier.type for earlier in tokens[max(0, number - 2) : number]]
            base = {"table"} if before[-1] in ("th_open", "td_open") else set()
            if before[-1] in ("heading_open", "th_open"):
                base.add("heading")
            pieces = list(_inline(token.children or [], base))
            # The source is what tells a box from an escaped bracket.
            if before == ["list_item_open", "paragraph_open"] and _TASK_BOX.match(token.content):
                text, styles = pieces[0]
                pieces[0] = (text[3:], styles)
            _add(glyphs, pieces)
    return glyphs


def equal(wanted: list[Glyph], seen: list[Glyph]) -> bool:
    """Say whether the screen shows what it should.

    Bold is free in a heading, all is free in a block of code. Where the cells of a table are wrapped, the screen's rows go
    across them: there the characters count without their order, and bold is free.
    """
    if len(wanted) != len(seen):
        return False
    start = 0
    for in_table, run in groupby(wanted, lambda glyph: "table" in glyph[1]):
        here = list(run)
        there = seen[start : start + len(here)]
        start += len(here)
        if not all(map(_equal, here, there)) and not (in_table and _unordered(here) == _unordered(there)):
            return False
    return True


def _equal(wanted: Glyph, seen: Glyph) -> bool:
    if wanted[0] != seen[0] or "block" in wanted[1]:
        return wanted[0] == seen[0]
    free = _PLACES | {"strong"} if "heading" in wanted[1] else _PLACES
    return wanted[1] - free == seen[1] - free


def _unordered(glyphs: list[Glyph]) -> Counter[Glyph]:
    return Counter((char, styles - _PLACES - {"strong"}) for char, styles in glyphs)


def _inline(tokens: Iterable[Token], base: set[str]) -> Iterable[Glyph]:
    open_styles = Counter(base)
    for token in tokens:
        styles = frozenset(+open_styles)
        kind, _, edge = token.type.rpartition("_")
        if kind in _STYLES:
            open_styles[_STYLES[kind]] += 1 if edge == "open" else -1
        elif token.type == "code_inline":
            yield token.content, styles | {"code"}
        elif token.type == "image":
            yield "".join(_plain(token.children or [])), styles
        elif token.type in ("softbreak", "hardbreak"):
            yield "\n", styles
        else:
            yield token.content, styles


def _plain(tokens: Iterable[Token]) -> Iterable[str]:
    for token in tokens:
        if token.type == "image":
            yield from _plain(token.children or [])
        else:
            yield "\n" if token.type in ("softbreak", "hardbreak") else token.content


def _add(glyphs: list[Glyph], pieces: Iterable[Glyph]) -> None:
    # A character without a width of its own looks like the one that it stands on, and is nowhere without one.
    stands = False
    for text, styles in pieces:
        for char in unicodedata.normalize("NFD", sanitize(text)):
            if wcwidth(char) > 0:
                stands = not char.isspace()
                if stands:
                    glyphs.append((char, styles))
            elif char.isspace():
                stands = False
            elif stands:
                glyphs.append((char, glyphs[-1][1]))
