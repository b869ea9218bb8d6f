"""What follows the text of a link: `(address "title")`, read character by character, and `[label]` definitions.

The grammar is CommonMark's: https://spec.commonmark.org/0.31.2/#links.
"""

from __future__ import annotations

import re
from html.entities import html5
from typing import Final

from streaming_chat.text.sanitize import sanitize

_ESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_LABEL: Final = r"\[((?:[^\[\]\\]|\\.){1,999})\]"
LABEL: Final = re.compile(_LABEL, re.DOTALL)
_DEFINITION: Final = re.compile(
    rf" {{0,3}}{_LABEL}:[ \t]*(?:<([^<>\n]*)>|([^\s<]\S*))"
    r"([ \t]+(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\((?:[^()\\]|\\.)*\)))?[ \t]*",
)
_LABEL_SO_FAR: Final = re.compile(r"\[((?:[^\[\]\\]|\\.){0,999})\\?")
_DEFINITION_SO_FAR: Final = re.compile(
    rf"{_LABEL}(?::[ \t]*(?:<[^<>\n]*>?|[^\s<]\S*)?"
    r"(?:[ \t]+(?:\"(?:[^\"\\]|\\.){0,100}\\?\"?|'(?:[^'\\]|\\.){0,100}\\?'?|\((?:[^()\\]|\\.){0,100}\\?\)?)?[ \t]*)?)?",
)
#: What an address has, and a note (`[Note]: important`) has not.
_LIKE_ADDRESS: Final = re.compile(r"[/.:#?%]")
#: More definitions, and more labels without one, are not remembered.
_MOST_LABELS: Final = 1000
#: Longer addresses are text.
_LONGEST_TAIL: Final = 4096
#: And so is a longer title: nobody sees it while it comes.
_LONGEST_TITLE: Final = 100

#: Addresses that are no links, as in markdown-it: they are code, or files of the reader's.
_UNSAFE: Final = re.compile(r"(?:javascript|vbscript|file|data):", re.IGNORECASE)


def is_safe(address: str) -> bool:
    """Whether an address may be that of a link; where it may not, the markup is shown as text."""
    return not _UNSAFE.match(address.strip())


def normalized(label: str) -> str:
    """A label as labels are compared."""
    return " ".join(label.split()).casefold().upper()


class Definitions:
    """The addresses of labels, and who has asked for them. Nothing may be lost: a definition that nothing uses is text."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        self._unused: dict[str, str] = {}
        self._missed: set[str] = set()

    def read(self, line: str) -> tuple[str, str] | None:
        """The label and the address that a line defines."""
        found = _DEFINITION.fullmatch(line)
        # A footnote (`[^1]: …`) is text: nobody would see it otherwise.
        if not found or not found[1].strip() or found[1].startswith("^"):
            return None
        label = normalized(found[1])
        is_known = label in self._missed or label in self._addresses
        if found[3] and not (found[4] or is_known or _LIKE_ADDRESS.search(found[3])):
            return None
        return label, unescaped(found[2] if found[2] is not None else found[3])

    def define(self, line: str, label: str, address: str) -> bool:
        """Remember the first address of a label; False when there was one already."""
        if label in self._addresses or len(self._addresses) >= _MOST_LABELS:
            return False
        self._addresses[label] = address
        self._unused[label] = line
        return True

    def find(self, label: str, *, asks: bool = True) -> str | None:
        """The address of a label that stands in the text; `asks` if it is missed there when it has none."""
        label = normalized(label)
        address = self._addresses.get(label)
        if address is not None:
            self._unused.pop(label, None)
            self._missed.discard(label)
        elif asks and len(self._missed) < _MOST_LABELS:
            self._missed.add(label)
        return address

    def is_missed(self, label: str) -> bool:
        """Whether the text has asked for the address of `label` in vain, and it is now to be shown where it is defined."""
        return label in self._missed

    def may_come(self, line: str) -> bool:
        """Whether more of `line` may make it the definition of a label that the text has asked for in vain."""
        if line.startswith("[^"):
            return False
        if found := _DEFINITION_SO_FAR.fullmatch(line):
            return normalized(found[1]) in self._missed
        found = _LABEL_SO_FAR.fullmatch(line)
        if not found:
            return False
        begun = normalized(found[1])
        return any(label.startswith(begun) for label in self._missed)

    def shown(self, label: str) -> None:
        """The definition of `label` is seen where it stands."""
        self._unused.pop(label, None)

    def unused(self) -> list[str]:
        """The lines of the definitions that the text never needed."""
        return list(self._unused.values())


def character_of(entity: str) -> str | None:
    """What is shown for an entity such as `&amp;`; None when there is no entity of that name."""
    if not _ENTITY.fullmatch(entity):
        return None
    if entity[1] == "#":
        digits = entity[2:-1]
        text = _character(int(digits[1:], 16) if digits[0] in "xX" else int(digits))
    else:
        text = html5.get(entity[1:], "")
    if text in ("\t", "\n", "\r"):
        return " "
    # What comes in the clothes of an entity has not been sanitised yet.
    return sanitize(text) or None


def _character(code: int) -> str:
    """The character of that number; U+FFFD where there is none."""
    is_control = code < 0x20 and code not in (0x09, 0x0A, 0x0C, 0x0D)
    if is_control or 0x7F <= code <= 0x9F or 0xD800 <= code <= 0xDFFF or code > 0x10FFFF or code & 0xFFFE == 0xFFFE:
        return "\ufffd"
    return chr(code)


def unescaped(text: str) -> str:
    """An address or a label without its backslashes and entities."""
    return _ENTITY.sub(lambda found: character_of(found[0]) or found[0], _ESCAPE.sub(r"\1", text))


class Tail:
    """Reads what stands behind `](`. `state` becomes "done" at the closing parenthesis, "no" when it is no address."""

    __slots__ = ("_depth", "_escaped", "_length", "_quote", "_title_length", "address", "state")

    def __init__(self) -> None:
        self.state = "before"
        self.address = ""
        self._depth = 0
        self._quote = ""
        self._escaped = False
        self._length = 0
        self._title_length = 0

    def copy(self) -> Tail:
        """The same, on its own."""
        twin = Tail()
        for name in Tail.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    def feed(self, char: str) -> None:
        """Read one character; a line end counts as a blank."""
        self._length += 1
        if self._length > _LONGEST_TAIL:
            self.state = "no"
            return
        self.state = getattr(self, f"_{self.state}")(char)

    @property
    def is_plain(self) -> bool:
        """Whether characters that mean nothing else are of the address."""
        return self.state == "plain" and not self._escaped

    def take(self, text: str) -> None:
        """Read characters of a plain address that mean nothing else."""
        self._length += len(text)
        self.address += text

    def _before(self, char: str) -> str:
        if char.isspace():
            return "before"
        if char == ")":
            return "done"
        if char == "<":
            return "angle"
        return self._plain(char)

    def _angle(self, char: str) -> str:
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == ">":
            return "closed"
        elif char in "<\n":
            return "no"
        self.address += char
        return "angle"

    def _closed(self, char: str) -> str:
        return "done" if char == ")" else "behind" if char.isspace() else "no"

    def _plain(self, char: str) -> str:
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char.isspace():
            return "behind" if not self._depth else "no"
        elif char == "(":
            self._depth += 1
        elif char == ")":
            if not self._depth:
                return "done"
            self._depth -= 1
        self.address += char
        return "plain"

    def _behind(self, char: str) -> str:
        if char.isspace():
            return "behind"
        if char == ")":
            return "done"
        if char in "\"'(":
            self._quote = ")" if char == "(" else char
            return "title"
        return "no"

    def _title(self, char: str) -> str:
        self._title_length += 1
        if self._title_length > _LONGEST_TITLE:
            return "no"
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == self._quote:
            return "end"
        elif char == "(" and self._quote == ")":
            return "no"
        return "title"

    def _end(self, char: str) -> str:
        if char.isspace():
            return "end"
        return "done" if char == ")" else "no"
