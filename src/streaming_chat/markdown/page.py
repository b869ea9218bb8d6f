"""The rows on the screen: where the next one begins, and what stands before it."""

from __future__ import annotations

from collections.abc import Callable

from streaming_chat.markdown.containers import Containers
from streaming_chat.markdown.flow import Flow
from streaming_chat.markdown.links import Definitions
from streaming_chat.markdown.rows import Piece, RowWriter
from streaming_chat.markdown.style import FAINT
from streaming_chat.text.widths import fitting, most_columns


class Page:
    """What has been shown, as far as it matters for the next row. Blocks are shown on it, one after the other."""

    def __init__(self, rows: RowWriter, definitions: Definitions) -> None:
        self.rows = rows
        self.definitions = definitions
        self.containers = Containers()
        #: The text on the row of the cursor, as long as it may change.
        self.flow: Flow | None = None
        #: Something stands on the row of the cursor.
        self.has_row = False
        #: Nothing stands on it that would stay, and it is the next one.
        self.is_row_begun = False
        self._lead = (0, "")  # What stands before the text on such a row, and of how many containers.
        self._is_blank_wanted = False
        self._blank_depth = 0  # As many containers go on across the blank row.
        self._has_output = False
        self._follows_nothing = True  # The row of the cursor is the first one, or there is a blank one above.

    # Rows -------------------------------------------------------------------------------------------------------------

    def want_blank(self, depth: int | None = None) -> None:
        """The next row has a blank one above it, across which `depth` containers go on."""
        self._is_blank_wanted = True
        if depth is not None:
            self._blank_depth = depth

    def start_row(self) -> None:
        """Go to a row on which nothing stands, behind a blank one if there was a blank line."""
        if self.is_row_begun:
            self.is_row_begun = False
            return
        self._lead = (0, "")
        if self.has_row:
            self.rows.end()
        self._follows_nothing = not self._has_output
        if self._is_blank_wanted and self._has_output:
            self._follows_nothing = True
            bars = self.containers.hanging(self._blank_depth)
            self.rows.show(self._bars(bars))
            self.rows.end()
        self._is_blank_wanted = False
        self.has_row = self._has_output = True
        self.flow = None

    def start_flow(self, style: int = 0, prefix: Callable[[], list[Piece]] | None = None) -> Flow:
        """Begin a text on the row of the cursor."""
        self.flow = Flow(self.rows, prefix or self.prefix, self.definitions, style=style)
        return self.flow

    def begin_row(self) -> None:
        """Go to the next row, and draw its markers, before it is known what the line is."""
        self.start_row()
        self._lead = len(self.containers.open), "".join(piece.text for piece in self.prefix())
        self.is_row_begun = True

    def preview(self, text: str, style: int) -> None:
        """Show on such a row what is seen of the line."""
        lead = self._margin(self._lead[1])
        self.rows.show([*lead, Piece(text[: fitting(text, self.room(lead) - 1)], style)])

    def take_back_row(self) -> None:
        """What stood on the row of the cursor does not count."""
        self.has_row = False
        self._has_output = not self._follows_nothing

    def close_containers(self, count: int) -> None:
        """End all containers but the first `count`; a marker that has nothing behind it is shown."""
        if self.containers.has_undrawn_from(count):
            self.draw_leads()
        self.containers.end(count)
        self._blank_depth = min(self._blank_depth, count)

    def draw_leads(self) -> None:
        """Show a marker that has nothing behind it."""
        if self.containers.has_undrawn:
            self.start_row()
            self.rows.show(self.prefix())

    def end(self) -> None:
        """The text is over."""
        if self.has_row:
            self.rows.end()
            self.has_row = False

    # What stands before a row -----------------------------------------------------------------------------------------

    def prefix(self) -> list[Piece]:
        """What stands before the next row; what is drawn once is."""
        (count, text), self._lead = self._lead, (0, "")
        return self._margin(text + self.containers.draw(count))

    def hanging(self) -> list[Piece]:
        """What stands before a row that is not the first one in the containers."""
        return self._margin(self.containers.hanging())

    def room(self, prefix: list[Piece]) -> int:
        """The columns behind `prefix`."""
        width = self.rows.width
        return max(1, width - sum(most_columns(piece.text) for piece in prefix)) if prefix else width

    def _bars(self, text: str) -> list[Piece]:
        bars = "".join(piece.text for piece in self._margin(text)).rstrip()
        return [Piece(bars, FAINT)] if bars else []

    def _margin(self, text: str) -> list[Piece]:
        """What stands before a row: of deep nesting only as much as leaves half of the row to the text."""
        if not text:
            return []
        text = text[max(0, len(text) - self.rows.width // 2) :]
        return [Piece(text, FAINT)] if text else []
