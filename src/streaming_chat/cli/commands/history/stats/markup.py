"""Elements of a page, as HTML and SVG in it. Whatever is not `Markup` is text: made harmless and escaped here, always."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from streaming_chat.text.sanitize import sanitize

_WITHOUT_CONTENT: Final = ("meta",)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, attributes: dict[str, object], *content: str) -> Markup:
    """One element; `content` that is no `Markup` is text, and attributes are."""
    opening = "".join(f' {key}="{_escaped(str(value))}"' for key, value in attributes.items())
    if name in _WITHOUT_CONTENT:
        return Markup(f"<{name}{opening}>")
    inner = "".join(part if isinstance(part, Markup) else _escaped(part) for part in content)
    return Markup(f"<{name}{opening}>{inner}</{name}>")


def joined(parts: Iterable[Markup]) -> Markup:
    """One behind the other, each on a line."""
    return Markup("\n".join(parts))


def _escaped(text: str) -> str:
    # A browser obeys no escape sequence, but it does obey bidirectional overrides, and copies what is invisible.
    return escape(sanitize(text), quote=True)
