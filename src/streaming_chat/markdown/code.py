"""Lines of a code block → rows, coloured as they grow.

A line is not broken between words, and nothing stands before it: what is copied from the terminal is the code. A line
that is longer than the row goes on where the terminal puts it.

Each line is read on its own, with what the last one left open (lexing.py); what has come of it so far is read as a preview.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streaming_chat.markdown.lexing import LexerState, LineLexer, Match
from streaming_chat.markdown.rows import Piece, RowWriter
from streaming_chat.markdown.style import CODE
from streaming_chat.text.widths import char_columns, is_mark

_TAB: Final = 8
#: Longer lines are not coloured: no person wrote them.
_LONGEST_LINE: Final = 1000
#: As many characters wait for the end of their word before they are coloured.
_LONGEST_UNREAD: Final = 12


class Highlighter:
    """Colours the lines of one block. Without Pygments, or a lexer for the language, all of it is code and nothing more."""

    def __init__(self, language: str) -> None:
        self._lexer = _lexer(language)
        self._state = LexerState()
        self._start_preview()

    def _start_preview(self) -> None:
        # What `preview` has read of the present line so far, and the part of it that it will not read again.
        self._seen: list[Piece] = []
        self._seen_to = 0
        self._settled: list[Piece] = []
        self._settled_to = 0
        self._inside = self._state

    def is_plain(self, length: int) -> bool:
        """Whether a line of so many characters has one style, and does not matter to the next one."""
        return self._lexer is None or length > _LONGEST_LINE

    def preview(self, line: str) -> list[Piece]:
        """The pieces of a line that goes on: most likely those of the whole one, and soon found."""
        if self.is_plain(len(line)):
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
        for tokens, state in matches[:-2]:
            for text, style in tokens:
                _add(self._settled, text, style)
                self._settled_to += len(text)
            self._inside = state
        self._seen, self._seen_to = list(self._settled), len(line)
        for tokens, _ in matches[-2:]:
            for text, style in tokens:
                _add(self._seen, text, style)

    def beginning(self, line: str) -> list[Piece]:
        """The pieces of a line that goes on, by nothing but its text so far."""
        return self._read(line)[0]

    def line(self, line: str) -> list[Piece]:
        """The pieces of a whole line, without its line end; the next line is read behind it."""
        pieces, self._state = self._read(f"{line}\n")
        self._start_preview()
        return _cut(pieces, len(line))

    def skip(self) -> None:
        """A whole line that `is_plain`."""
        self._start_preview()

    def _read(self, line: str) -> tuple[list[Piece], LexerState]:
        if self.is_plain(len(line)):
            return [Piece(line, CODE)], self._state
        pieces: list[Piece] = []
        matches = self._matches(line, self._state)
        for tokens, _ in matches:
            for text, style in tokens:
                _add(pieces, text, style)
        return pieces, matches[-1][1] if matches else self._state

    def _matches(self, text: str, state: LexerState) -> list[Match]:
        if self._lexer is not None:
            try:
                return self._lexer.read(text, state)
            except ValueError:
                self._lexer = None
        return [([(text, CODE)], state)]


class CodeLine:
    """Shows one line of code while it grows."""

    def __init__(self, rows: RowWriter, highlighter: Highlighter) -> None:
        self._rows = rows
        self._highlighter = highlighter
        self._line = ""
        #: How many characters before those are not kept: they matter for nothing any more.
        self._dropped = 0
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
                self._drop()
                return
            self._take(char)
        if self._is_certain:
            self._show(self._highlighter.preview)

    def end(self) -> None:
        """The line is whole."""
        if self._is_certain:
            self._show(self._highlighter.line)
        elif not self._is_plain:
            self._highlighter.line(self._line)
        if self._is_plain:
            self._highlighter.skip()

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
            self._show(self._highlighter.beginning)
            self._is_certain = False
            rows.add(Piece(char, CODE))
        elif self._columns + columns > rows.width:
            # The row is full, and looks as is known by now, so that the cut does not matter.
            self._show(self._highlighter.beginning)
            if self._columns < rows.width:
                rows.add(Piece(" ", CODE))  # One column is left, and the character needs two: not all terminals see to that.
            rows.wrap()
            self._row_start, self._columns = len(self._line), 0
            self._drop()
        self._line += char
        self._columns += columns

    @property
    def _is_plain(self) -> bool:
        return self._highlighter.is_plain(self._dropped + len(self._line))

    def _drop(self) -> None:
        """Keep nothing of a line that has one style but what stands on the row of the cursor."""
        if self._is_plain:
            self._dropped += len(self._line)
            self._line = ""
            self._row_start = 0

    def _show(self, read: Callable[[str], list[Piece]]) -> None:
        """Bring the row of the cursor up to date; `read` gives the pieces of the line."""
        start, end = self._row_start, len(self._line)
        pieces = [Piece(self._line, CODE)] if self._is_plain else read(self._line)
        self._rows.show(_cut(pieces, end, start) if start or self._dropped else pieces)


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


def _lexer(language: str) -> LineLexer | None:
    if not language:
        return None
    try:
        return LineLexer(language)
    except ValueError:
        return None


def _add(pieces: list[Piece], text: str, style: int) -> None:
    if pieces and pieces[-1].style == style:
        pieces[-1] = Piece(pieces[-1].text + text, style)
    else:
        pieces.append(Piece(text, style))
