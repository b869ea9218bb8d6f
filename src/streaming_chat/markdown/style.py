"""What text can look like, as a number of bits, and the themes, which say how that is written.

A style is a set of the attributes below; the bits above them hold a role of highlighted code. The colours are the sixteen
of the terminal's own palette, so that the user's choice of colours rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

STRONG: Final = 1
EMPHASIS: Final = 2
STRIKE: Final = 4
#: Not a part of the text: bullets, numbers, bars, rules, the address behind a link.
FAINT: Final = 8
UNDERLINE: Final = 16
CODE: Final = 32
#: The role of a piece of highlighted code stands above this many bits.
_ROLE_SHIFT: Final = 8

#: The roles of highlighted code, by the names of their Pygments tokens; one that is not here is what its parent is.
ROLES: Final = (
    "Keyword",
    "Name.Function",
    "Name.Class",
    "Name.Decorator",
    "Name.Builtin",
    "Name.Tag",
    "Name.Attribute",
    "Literal.String",
    "Literal.Number",
    "Operator.Word",
    "Comment",
    "Generic.Deleted",
    "Generic.Inserted",
    "Generic.Heading",
)

_ATTRIBUTES: Final = ((STRONG, "1"), (FAINT, "2"), (EMPHASIS, "3"), (UNDERLINE, "4"), (STRIKE, "9"))

#: Theme → the SGR parameters of code, then of each role. "" writes nothing.
_THEMES: Final[Mapping[str, Sequence[str]]] = {
    "dark": ("36", "35", "34", "34", "33", "36", "34", "36", "32", "33", "35", "90", "31", "32", "35"),
    # Yellow and cyan are hardly seen on white.
    "light": ("34", "35", "34", "34", "31", "34", "34", "31", "32", "31", "35", "90", "31", "32", "35"),
    # Attributes and no colours.
    "plain": ("", "1", "", "", "", "", "", "", "", "", "1", "3", "", "", "1"),
}
THEMES: Final = tuple(_THEMES)


def role(name: str) -> int:
    """The style of a piece of highlighted code."""
    return CODE | (ROLES.index(name) + 1) << _ROLE_SHIFT


def role_name(style: int) -> str:
    """The role of a piece of highlighted code, such as `name-function`; "" for one without."""
    number = style >> _ROLE_SHIFT
    return ROLES[number - 1].replace(".", "-").lower() if number else ""


#: An address that a terminal may be told of: nothing in it can end the sequence.
_SAFE_ADDRESS: Final = re.compile(r"(?:https?://|mailto:)[!-~]+", re.IGNORECASE)


class Palette:
    """Writes text in styles. Without `color` there are no escape sequences at all."""

    def __init__(self, theme: str, *, color: bool, hyperlinks: bool = False) -> None:
        self._codes = _THEMES[theme]
        self._color = color
        self._hyperlinks = color and hyperlinks
        self._begins: dict[int, str] = {0: ""}

    def painted(self, text: str, style: int, address: str = "") -> str:
        """`text` between the sequence that begins its style and the one that ends all styles; in a link, if it is one."""
        if address and self._hyperlinks and _SAFE_ADDRESS.fullmatch(address):
            return f"\x1b]8;;{address}\x1b\\{self.painted(text, style)}\x1b]8;;\x1b\\"
        begin = self._begins.get(style)
        if begin is None:
            begin = self._begins[style] = self._begin(style)
        return f"{begin}{text}\x1b[0m" if begin else text

    def _begin(self, style: int) -> str:
        if not self._color:
            return ""
        codes = [code for bit, code in _ATTRIBUTES if style & bit]
        if style & CODE:
            codes.append(self._codes[style >> _ROLE_SHIFT])
        written = ";".join(filter(None, codes))
        return f"\x1b[{written}m" if written else ""
