"""Lines that define the address of a label: they are remembered, and shown only where no link shows the address."""

from __future__ import annotations

from streaming_chat.markdown.links import Definitions
from streaming_chat.markdown.page import Page
from streaming_chat.markdown.rows import Piece
from streaming_chat.markdown.style import FAINT
from streaming_chat.text.widths import fitting


class DefinitionLines:
    """Reads the lines that are definitions."""

    def __init__(self, page: Page, definitions: Definitions) -> None:
        self._page = page
        self._definitions = definitions
        #: The line before this one is a definition that is shown.
        self.follows_shown = False

    def take(self, line: str) -> None:
        """A line that is known to be a definition."""
        found = self._definitions.read(line)
        assert found is not None
        if self._define(line, *found):
            self._show(line)

    def end(self, line: str) -> bool:
        """A line, which was shown as it came, is whole; whether it turns out to be no text but a definition."""
        page, found = self._page, self._definitions.read(line)
        if found is None:
            return False
        flow, page.flow = page.flow, None
        assert flow is not None
        if not flow.is_on_one_row:
            flow.end()
            self._define(line, *found)
            self._definitions.shown(found[0])
            return True
        flow.retract()
        page.take_back_row()
        if self._define(line, *found):
            self._show(line)
        return True

    def show_unused(self) -> None:
        """Nothing is lost: a definition that no link has used is text after all."""
        self._page.want_blank()
        for line in self._definitions.unused():
            self._show(line)

    def _define(self, line: str, label: str, address: str) -> bool:
        """Remember what a line defines. Whether it is to be shown: text that cannot be changed any more refers to it."""
        if not self._definitions.define(line, label, address):
            return False
        flow = self._page.flow
        if flow is not None and self._page.has_row:
            flow.inline.look_again()
            flow.show()
        if not (self.follows_shown or self._definitions.is_missed(label)):
            return False
        self._definitions.shown(label)
        return True

    def _show(self, line: str) -> None:
        """Show a definition as it was typed."""
        self.follows_shown = True
        page = self._page
        page.start_row()
        prefix = page.prefix()
        while line:
            taken = max(1, fitting(line, page.room(prefix)))
            page.rows.show([*prefix, Piece(line[:taken], FAINT)])
            line = line[taken:]
            if line:
                page.rows.end()
                prefix = page.hanging()
