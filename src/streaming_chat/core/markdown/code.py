"""Lines of a code block → rows, coloured as they grow.

A line is not broken between words, and nothing stands before it: what is copied from the terminal is the code. A line
that is longer than the row goes on where the terminal puts it.

Strategy: Pygments' lexers are tables of states, and a stack of states is all that one line needs to know of those before
it. So each line is read on its own, with the stack that the last one left; what has come of it so far is read as a preview.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from streaming_chat.core.markdown.rows import Piece, RowWriter
from streaming_chat.core.markdown.style import CODE, ROLES, role
from streaming_chat.core.markdown.widths import char_columns, is_mark

_TAB: Final = 8
#: Longer lines are not coloured: no person wrote them.
_LONGEST_LINE: Final = 2000
#: Levels of a lexer's stack: a broken text must not let it grow for ever.
_DEEPEST: Final = 64
#: As many characters wait for the end of their word before they are coloured.
_LONGEST_UNREAD: Final = 12
#: The tokens of one match of a lexer, each a text and a style, and the stack behind it.
_Match = tuple[list[tuple[str, int]], tuple[str, ...]]
_ROLE_OF: Final = {name: role(name) for name in ROLES}


class Highlighter:
    """Colours the lines of one block. Without Pygments, or a lexer for the language, all of it is code and nothing more."""

    def __init__(self, language: str) -> None:
        self._lexer = _lexer(language)
        self._stack: tuple[str, ...] = ("root",)
        self._start_preview()

    def _start_preview(self) -> None:
        # What `preview` has read of the present line so far, and the part of it that it will not read again.
        self._seen: list[Piece] = []
        self._seen_to = 0
        self._settled: list[Piece] = []
        self._settled_to = 0
        self._inside = self._stack

    def preview(self, line: str) -> list[Piece]:
        """The pieces of a line that goes on: most likely those of the whole one, and soon found."""
        if self._lexer is None or len(line) > _LONGEST_LINE:
            return [Piece(line, CODE)]
        unread = line[self._seen_to :]
        if len(unread) > _LONGEST_UNREAD or unread[-1:].isspace():
            self._read_on(line)
            unread = ""
        # Half a word has no colour of its own, and reading is most of the work.
        return [*self._seen, Piece(unread, CODE)] if unread else self._seen

    def _read_on(self, line: str) -> None:
        matches = self._matches(line[self._settled_to :], self._inside)
        # What comes may still make something else of the last two.
        for tokens, stack in matches[:-2]:
            for text, style in tokens:
                _add(self._settled, text, style)
                self._settled_to += len(text)
            self._inside = stack
        self._seen, self._seen_to = list(self._settled), len(line)
        for tokens, _ in matches[-2:]:
            for text, style in tokens:
                _add(self._seen, text, style)

    def beginning(self, line: str) -> list[Piece]:
        """The pieces of a line that goes on, by nothing but its text so far."""
        return self._read(line)[0]

    def line(self, line: str) -> list[Piece]:
        """The pieces of a whole line, without its line end; the next line is read behind it."""
        pieces, self._stack = self._read(f"{line}\n")
        self._start_preview()
        return _cut(pieces, len(line))

    def _read(self, line: str) -> tuple[list[Piece], tuple[str, ...]]:
        if self._lexer is None or len(line) > _LONGEST_LINE:
            return [Piece(line, CODE)], self._stack
        pieces: list[Piece] = []
        matches = self._matches(line, self._stack)
        for tokens, _ in matches:
            for text, style in tokens:
                _add(pieces, text, style)
        return pieces, matches[-1][1] if matches else self._stack

    def _matches(self, text: str, stack: tuple[str, ...]) -> list[_Match]:
        """What the lexer makes of `text`, all of it."""
        try:
            matches = list(_matches(self._lexer, text, list(stack)))
        except Exception:  # noqa: BLE001 # there are five hundred lexers, and none of them is worth an answer
            matches = []
        if "".join(piece for tokens, _ in matches for piece, _ in tokens) == text:
            return matches
        self._lexer = None
        return [([(text, CODE)], stack)]


class CodeLine:
    """Shows one line of code while it grows."""

    def __init__(self, rows: RowWriter, highlighter: Highlighter) -> None:
        self._rows = rows
        self._highlighter = highlighter
        self._line = ""
        #: Where the row of the cursor begins in the line, and how many columns it has.
        self._row_start = 0
        self._columns = 0
        #: Whether it is known where on the screen each character stands.
        self._is_certain = True

    def feed(self, text: str) -> None:
        """Show more of the line."""
        if self._is_certain and text.isascii() and "\t" not in text and self._columns + len(text) <= self._rows.width:
            self._line += text
            self._columns += len(text)
            text = ""
        for place, char in enumerate(text):
            if not self._is_certain:
                self._rows.add(Piece(text[place:], CODE))
                self._line += text[place:]
                return
            self._take(char)
        if self._is_certain:
            self._show(self._highlighter.preview(self._line))

    def end(self) -> None:
        """The line is whole."""
        pieces = self._highlighter.line(self._line)
        if self._is_certain:
            self._show(pieces)

    def lose_place(self) -> None:
        """The terminal has another width, and has put the line somewhere else: it goes on without being put right."""
        self._is_certain = False

    def _take(self, char: str) -> None:
        rows = self._rows
        columns = char_columns(char)
        if char == "\t":
            columns = _TAB - self._columns % _TAB
            if self._columns + columns >= rows.width:
                # Where a tab ends at the edge, terminals differ.
                for _ in range(columns):
                    self._take(" ")
                return
        elif is_mark(char):
            # Joined to what is before it or not: terminals differ, and with it in where everything behind stands. So the
            # line is left as it is understood now, and goes on without colours.
            self._show(self._highlighter.beginning(self._line))
            self._is_certain = False
            rows.add(Piece(char, CODE))
        elif self._columns + columns > rows.width:
            # The row is full, and looks as is known by now, so that the cut does not matter.
            self._show(self._highlighter.beginning(self._line))
            if self._columns < rows.width:
                rows.add(Piece(" ", CODE))  # One column is left, and the character needs two: not all terminals see to that.
            rows.wrap()
            self._row_start, self._columns = len(self._line), 0
        self._line += char
        self._columns += columns

    def _show(self, pieces: list[Piece]) -> None:
        self._rows.show(_cut(pieces, len(self._line), self._row_start) if self._row_start else pieces)


def _cut(pieces: list[Piece], end: int, start: int = 0) -> list[Piece]:
    """The part of some pieces from one character to another."""
    cut: list[Piece] = []
    place = 0
    for piece in pieces:
        text = piece.text[max(0, start - place) : max(0, end - place)]
        place += len(piece.text)
        if text:
            cut.append(Piece(text, piece.style))
    return cut


def _lexer(language: str) -> Any:
    if not language:
        return None
    try:
        from pygments.lexers import get_lexer_by_name
        from pygments.util import ClassNotFound
    except ImportError:
        return None
    try:
        return get_lexer_by_name(language)
    except ClassNotFound:
        return None


def _add(pieces: list[Piece], text: str, style: int) -> None:
    if pieces and pieces[-1].style == style:
        pieces[-1] = Piece(pieces[-1].text + text, style)
    else:
        pieces.append(Piece(text, style))


def _matches(lexer: Any, text: str, stack: list[str]) -> Iterator[_Match]:
    """Read `text` with a lexer's own tables (`pygments.lexer.RegexLexer`)."""
    from pygments.lexer import ExtendedRegexLexer, RegexLexer
    from pygments.token import _TokenType

    if not isinstance(lexer, RegexLexer) or isinstance(lexer, ExtendedRegexLexer):
        # It has no tables, or keeps more than a stack, each in its own way (YAML its indentation): line by line then.
        for _, kind, piece in lexer.get_tokens_unprocessed(text):
            yield [(piece, _style_of(kind))], ("root",)
        return
    tables = lexer._tokens  # noqa: SLF001 # the tables have no other name
    place = 0
    while place < len(text):
        for match, action, new_state in tables[stack[-1]]:
            found = match(text, place)
            if not found:
                continue
            end = found.end()
            tokens = []
            if type(action) is _TokenType:
                if end > place:
                    tokens = [(text[place:end], _style_of(action))]
            elif action is not None:
                tokens = [(piece, _style_of(kind)) for _, kind, piece in action(lexer, found)]
            if new_state is not None:
                _change(stack, new_state)
            elif end == place:
                continue  # Nothing was read and nothing has changed: the next rule may.
            yield tokens, tuple(stack[-_DEEPEST:])
            place = end
            break
        else:
            if text[place] == "\n":
                stack[:] = ["root"]
            yield [(text[place], CODE)], tuple(stack[-_DEEPEST:])
            place += 1


def _change(stack: list[str], new_state: Any) -> None:
    if isinstance(new_state, tuple):
        for state in new_state:
            if state == "#pop":
                if len(stack) > 1:
                    stack.pop()
            elif state == "#push":
                stack.append(stack[-1])
            else:
                stack.append(state)
    elif isinstance(new_state, int):
        del stack[max(1, len(stack) + new_state) :]
    else:
        stack.append(stack[-1])


@lru_cache(maxsize=512)
def _style_of(kind: Any) -> int:
    while kind:
        style = _ROLE_OF.get(".".join(kind))
        if style is not None:
            return style
        kind = kind.parent
    return CODE
