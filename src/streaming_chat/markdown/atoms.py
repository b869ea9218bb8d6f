"""Atoms: what a text becomes."""

from __future__ import annotations

from typing import Final

from streaming_chat.markdown.emphasis import Run
from streaming_chat.markdown.style import FAINT
from streaming_chat.text.widths import has_marks, most_columns

#: The text of an atom that is a hard line break.
BREAK: Final = "\n"


class Atom:
    """A piece of the text: (a part of) a word, a blank, or a run of delimiters. `text` is what is seen, `style` how."""

    __slots__ = ("address", "columns", "has_marks", "has_spans", "own_style", "place", "run", "style", "text")

    def __init__(self, text: str, place: int, own_style: int, run: Run | None = None) -> None:
        self.text = text
        is_ascii = text.isascii()
        self.columns = (0 if text == BREAK else len(text)) if is_ascii else most_columns(text)
        self.has_marks = not is_ascii and has_marks(text)
        #: Where it stands in the source.
        self.place = place
        self.own_style = own_style
        self.style = own_style
        self.run = run
        #: Whether the spans that are open give it their style.
        self.has_spans = not own_style & FAINT
        #: Where the link leads that it is a part of.
        self.address = ""
