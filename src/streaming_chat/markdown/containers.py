"""The quotes and items that are open, and what stands before a row in them."""

from __future__ import annotations

from typing import Final

from streaming_chat.markdown.lines import Container, Item, Line, LineKind, ListKind, Quote
from streaming_chat.text.widths import most_columns

_BULLETS: Final = ("• ", "◦ ", "▪ ")
_BAR: Final = "│ "


class Containers:
    """The open containers, from the outermost on, and the lists whose items they are."""

    def __init__(self) -> None:
        self.open: list[Container] = []
        #: The last list in each depth: its next item is counted on.
        self._lists: dict[int, ListKind] = {}

    @property
    def has_undrawn(self) -> bool:
        """Whether a marker has not been shown yet."""
        return self.has_undrawn_from(0)

    def has_undrawn_from(self, depth: int) -> bool:
        """Whether a marker has not been shown yet of a container behind the first `depth`."""
        for container in self.open[depth:] if depth else self.open:
            if isinstance(container, Item) and not container.is_drawn:
                return True
        return False

    def begin(self, line: Line) -> None:
        """Open the containers of a line."""
        for container in line.opened:
            depth = len(self.open)
            if isinstance(container, Item):
                self._number(container, depth)
            else:
                self._lists.pop(depth, None)
            self.open.append(container)
        if line.kind is LineKind.NOTHING:
            return
        for container in self.open:
            if isinstance(container, Item):
                container.is_empty = False
        if not line.opened and line.kind is not LineKind.UNDECIDED:
            self._lists.pop(len(self.open), None)

    def end(self, count: int) -> None:
        """Close all but the first `count`."""
        del self.open[count:]
        if self._lists:
            for depth in [depth for depth in self._lists if depth > count]:
                del self._lists[depth]

    def _number(self, item: Item, depth: int) -> None:
        """Give an item its number in the list, and what is drawn before it."""
        last = self._lists.get(depth)
        kind = item.kind
        if last is not None and last.marker == kind.marker:
            kind.number = last.number + 1
        self._lists[depth] = kind
        level = sum(isinstance(one, Item) and one.lead in _BULLETS for one in self.open)
        if kind.marker in ".)":
            item.lead = f"{kind.number}{kind.marker} {item.box}"
        else:
            item.lead = item.box or _BULLETS[min(level, len(_BULLETS) - 1)]

    def draw(self, start: int) -> str:
        """What stands before the next row, of the containers behind the first `start`; what is drawn once is, then."""
        text = ""
        for container in self.open[start:]:
            if isinstance(container, Quote):
                text += _BAR
            elif container.is_drawn:
                text += " " * most_columns(container.lead)
            else:
                text += container.lead
                container.is_drawn = True
        return text

    def hanging(self, depth: int | None = None) -> str:
        """What stands before a row that is not the first one in the containers, or in the first `depth` of them."""
        if not self.open:
            return ""
        return "".join(_BAR if isinstance(one, Quote) else " " * most_columns(one.lead) for one in self.open[:depth])
